//! The shop as three processes over the bus of another program: front, inventory and orders, each killed and started again.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use headwater_service::StoreUrl;
use headwater_service::testing::Postgres;
use serde_json::{Value, json};

use crate::http_client::{HttpClient, Response, get, post};
use crate::mosquitto::Mosquitto;
use crate::program::{PATIENCE, Place};
use crate::worker::{Worker, kills};

/// How many orders of two the stock is enough for.
const STOCK_FOR: usize = 100;

/// The three, and what they share.
struct Shop {
    front: Worker,
    inventory: Worker,
    order: Worker,
    store: String,
}

fn worker(roles: &str, engine: &str, store: &str) -> Worker {
    let mut arguments = vec!["--store", store];
    if !engine.is_empty() {
        arguments.extend(["--engine", engine]);
    }
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    Worker::start(roles, "shop", &arguments)
}

fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Shop {
    /// All three over a broker.
    fn over(engine: &str, store: &str) -> Self {
        let inventory = worker("inventory", engine, store);
        let order = worker("order", engine, store);
        Self { front: worker("front", engine, store), inventory, order, store: store.to_owned() }
    }

    /// The front's process is the hub, and the two others are its clients.
    fn over_its_front(store: &str) -> Self {
        let mqtt = free_addr();
        let front = Place::new().arg("--roles").arg("edge,front").arg("--apps").arg("shop").arg("--store").arg(store);
        let front = front.mqtt_at(mqtt);
        let front = Worker::at(front);
        let engine = format!("mqtt://{mqtt}");
        Self {
            front,
            inventory: worker("inventory", &engine, store),
            order: worker("order", &engine, store),
            store: store.to_owned(),
        }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let mut client = HttpClient::connect(self.front.http())?;
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = client.request(method, path, &[("content-type", "application/json")], &body)?;
        let json = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Ok((answer.status, json))
    }

    /// Places an order as a client does that can't be sure: with a key, until it's told that the order is taken.
    fn order(&self, key: usize, product: i64, count: i64) -> String {
        let body = json!({ "items": [{ "inventoryId": product, "count": count }] }).to_string();
        let key = format!("order-{key}");
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "order {key} is never taken");
            let Ok(mut client) = HttpClient::connect(self.front.http()) else { continue };
            let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
            match client.request("POST", "/shop/order", &headers, body.as_bytes()) {
                Ok(answer) if answer.status == 201 => {
                    return answer.json()["orderId"].as_str().expect("an id").to_owned();
                }
                // 409: the first attempt is still under way; 503: not stored.
                Ok(answer) => assert!(matches!(answer.status, 409 | 503), "{}: {}", answer.status, answer.text()),
                Err(_) => {}
            }
            std::thread::yield_now();
        }
    }

    /// Places so many orders of two, each known by its number.
    fn orders(&self, count: usize, ids: &mut Vec<String>) {
        for _ in 0..count {
            ids.push(self.order(1_000 + ids.len(), 2, 2));
        }
    }

    /// Waits until the order has a status other than `unknown`, and another than this.
    fn status_beyond(&self, id: &str, not: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Ok((200, answer)) = self.ask("GET", &format!("/shop/order/{id}"), &Value::Null) {
                let status = answer["order_status"].as_str().unwrap_or_default().to_owned();
                if status != "unknown" && status != not {
                    return status;
                }
            }
            assert!(begun.elapsed() < PATIENCE, "order {id} stays as it is; {}", self.said());
            std::thread::yield_now();
        }
    }

    fn said(&self) -> String {
        let [front, inventory, order] = [&self.front, &self.inventory, &self.order].map(Worker::said);
        format!("front: {front}\ninventory: {inventory}\norder: {order}")
    }

    fn balance(&self, product: i64) -> i64 {
        let (_, products) = self.ask("GET", "/shop/inventory", &Value::Null).expect("the catalogue");
        let products = products.as_array().expect("a list").iter();
        products.clone().find(|found| found["id"] == product).expect("the product")["balance"]
            .as_i64()
            .expect("a number")
    }

    /// Waits until the front's catalogue says so: it hears of changes by events.
    fn balance_becomes(&self, product: i64, expected: i64) {
        let begun = Instant::now();
        while self.balance(product) != expected {
            assert!(begun.elapsed() < PATIENCE, "{} and never {expected}; {}", self.balance(product), self.said());
            std::thread::yield_now();
        }
    }

    fn audit(&self) {
        let output = self.front.place.run(&["shop", "audit", "--store", &self.store]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// An order, its success, its cancel, and the stock that returns.
fn an_order_goes_its_way(shop: &Shop) {
    let id = shop.order(0, 1, 150);
    assert_eq!(shop.status_beyond(&id, ""), "successful");
    shop.balance_becomes(1, 50);
    let too_many = shop.order(1, 1, 51);
    assert_eq!(shop.status_beyond(&too_many, ""), "unsuccessful");
    let (status, _) = shop.ask("DELETE", &format!("/shop/order/{id}"), &Value::Null).expect("an answer");
    assert!(matches!(status, 202 | 204), "{status}");
    assert_eq!(shop.status_beyond(&id, "successful"), "canceled");
    shop.balance_becomes(1, 200);
    shop.audit();
}

/// Orders come while one process after the other is killed at any moment; each that was taken is decided, and the books
/// balance.
fn orders_outlive_kills(shop: &mut Shop) {
    let seed = fastrand::u64(..);
    println!("the kills are those of seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut ids = Vec::new();
    for _ in 0..kills() {
        shop.orders(chance.usize(1..10), &mut ids);
        spin_for(Duration::from_micros(chance.u64(0..5_000)));
        match chance.u8(0..3) {
            0 => shop.inventory.kill(),
            1 => shop.order.kill(),
            _ => shop.front.kill(),
        }
        if shop.front.is_running() {
            // The others' work waits for them.
            shop.orders(chance.usize(0..10), &mut ids);
        }
        [&mut shop.inventory, &mut shop.order, &mut shop.front].into_iter().for_each(Worker::start_again);
    }
    // More than there is stock for.
    shop.orders((STOCK_FOR + 1).saturating_sub(ids.len()), &mut ids);
    let decided: Vec<_> = ids.iter().map(|id| shop.status_beyond(id, "")).collect();
    let successful = decided.iter().filter(|status| *status == "successful").count();
    assert_eq!(successful, STOCK_FOR, "200 of it are enough for 100 orders of 2: {decided:?}");
    shop.balance_becomes(2, 0);
    shop.audit();
}

/// Lets a time pass that is shorter than a sleep can be.
fn spin_for(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn sqlite(folder: &Path) -> String {
    format!("sqlite:{}", folder.display())
}

#[test]
fn the_shop_is_three_processes_over_a_hub() {
    let folder = tempfile::tempdir().unwrap();
    let mut shop = Shop::over_its_front(&sqlite(folder.path()));
    an_order_goes_its_way(&shop);
    orders_outlive_kills(&mut shop);
}

#[test]
fn the_shop_is_three_processes_over_mosquitto() {
    let mosquitto = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let mut shop = Shop::over(&mosquitto.url(), &sqlite(folder.path()));
    an_order_goes_its_way(&shop);
    orders_outlive_kills(&mut shop);
}

fn database(postgres: &Postgres) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let StoreUrl::Postgres { config } = runtime.block_on(postgres.database()) else { unreachable!() };
    config
}

#[test]
fn the_shop_is_three_processes_over_mosquitto_on_postgresql() {
    let Some(postgres) = Postgres::start() else { return };
    let mosquitto = Mosquitto::start();
    let mut shop = Shop::over(&mosquitto.url(), &database(&postgres));
    an_order_goes_its_way(&shop);
    orders_outlive_kills(&mut shop);
}

#[test]
fn the_shop_is_three_processes_over_a_hub_on_postgresql() {
    let Some(postgres) = Postgres::start() else { return };
    let mut shop = Shop::over_its_front(&database(&postgres));
    an_order_goes_its_way(&shop);
    orders_outlive_kills(&mut shop);
}

#[test]
fn readyz_says_what_the_shop_waits_for_when_another_program_holds_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let shop = worker("all", "", &sqlite(folder.path()));
    let other = rusqlite::Connection::open(folder.path().join("shop_inventory.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let body = br#"{"items":[{"inventoryId":1,"count":150}]}"#;
    let answer = post(shop.http(), "/shop/order", &[("content-type", "application/json")], body);
    assert_eq!(answer.status, 201, "the log has it: {}", answer.text());
    let ready = until(|| get(shop.http(), "/readyz"), |ready| ready.status == 503);
    assert!(ready.text().contains("another program holds the file"), "{}", ready.text());
    let id = answer.json()["orderId"].as_str().unwrap().to_owned();
    let status = || get(shop.http(), &format!("/shop/order/{id}"));
    assert_eq!(status().json()["order_status"], "unknown");
    other.execute_batch("ROLLBACK").unwrap();
    until(status, |answer| answer.json()["order_status"] == "successful");
    until(|| get(shop.http(), "/readyz"), |ready| ready.status == 200);
}

/// Asks again until the answer is as wanted.
fn until(ask: impl Fn() -> Response, is_it: impl Fn(&Response) -> bool) -> Response {
    let begun = Instant::now();
    loop {
        let answer = ask();
        if is_it(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{}: {}", answer.status, answer.text());
        std::thread::yield_now();
    }
}
