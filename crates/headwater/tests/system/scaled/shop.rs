//! The shop: two fronts, two inventories and two order services over an engine and PostgreSQL. Each order that was taken is decided,
//! whoever is killed, and the books balance.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headwater_service::StoreUrl;
use headwater_service::testing::Postgres;
use serde_json::{Value, json};

use super::a_moment;
use super::answered::Answered;
use super::engine::{Engine, Kind};
use crate::http_client::HttpClient;
use crate::program::PATIENCE;
use crate::worker::{Door, Worker, kills};

/// The products that are ordered, and how many of each there are at first.
const PRODUCTS: [i64; 2] = [1, 2];
const STOCK: i64 = 200;
/// How many of a product an order wants.
const COUNT: i64 = 2;

/// How many customers order at once, and how long each rests: a load, and not a flood.
const CUSTOMERS: usize = 3;
const REST: Duration = Duration::from_millis(15);

/// Every so many orders are canceled when they were just placed.
const CANCELED_EVERY: usize = 5;

/// How many orders are placed between two faults.
const BETWEEN: usize = 12;

/// An order that was taken.
struct Order {
    id: String,
    product: i64,
    is_canceled: bool,
}

/// Those who order.
struct Customers {
    counter: Arc<Counter>,
    threads: Vec<JoinHandle<Vec<Order>>>,
}

/// Where they do it.
struct Counter {
    fronts: Vec<Door>,
    answered: Answered,
}

impl Customers {
    fn begin(fronts: Vec<Door>) -> Self {
        let counter = Arc::new(Counter { fronts, answered: Answered::default() });
        let customer = |at| {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || counter.serve(at))
        };
        let threads = (0..CUSTOMERS).map(customer).collect();
        Self { counter, threads }
    }

    /// Ends it; gives all orders that were taken.
    fn end(self) -> Vec<Order> {
        self.counter.answered.enough();
        self.threads.into_iter().flat_map(|customer| customer.join().unwrap()).collect()
    }
}

impl Counter {
    fn serve(&self, customer: usize) -> Vec<Order> {
        let mut orders = Vec::new();
        while !self.answered.is_enough() {
            let number = orders.len();
            let key = format!("customer-{customer}-{number}");
            let product = PRODUCTS[number % PRODUCTS.len()];
            let id = self.order(number, &key, product);
            let is_canceled = number % CANCELED_EVERY == CANCELED_EVERY - 1;
            if is_canceled {
                self.cancel(number, &id);
            }
            orders.push(Order { id, product, is_canceled });
            self.answered.one_more();
            std::thread::sleep(REST); // sleep: the load's own rate
        }
        orders
    }

    /// Asks the fronts in turn, one after the other, until one answers so.
    fn ask(&self, first: usize, request: &Request<'_>, wanted: u16) -> Value {
        let begun = Instant::now();
        for at in first.. {
            assert!(begun.elapsed() < PATIENCE, "{request:?} is never answered");
            let front = *self.fronts[at % self.fronts.len()].lock().unwrap();
            match front.map(|front| request.send(front)) {
                Some(Ok((status, answer))) if status == wanted => return answer,
                // 409: the first attempt is still under way; 503: not stored, or the store is away.
                Some(Ok((status, answer))) => assert!(matches!(status, 409 | 503), "{request:?}: {status}, {answer}"),
                Some(Err(_)) | None => a_moment(),
            }
        }
        unreachable!()
    }

    /// Places an order as a client does that can't be sure: with a key, until it's told that the order is taken.
    fn order(&self, first: usize, key: &str, product: i64) -> String {
        let body = json!({ "items": [{ "inventoryId": product, "count": COUNT }] });
        let request = Request { method: "POST", path: "/shop/order", key, body };
        self.ask(first, &request, 201)["orderId"].as_str().expect("an id").to_owned()
    }

    fn cancel(&self, first: usize, id: &str) {
        let path = format!("/shop/order/{id}");
        self.ask(first, &Request { method: "DELETE", path: &path, key: "", body: Value::Null }, 202);
    }
}

#[derive(Debug)]
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    key: &'a str,
    body: Value,
}

impl Request<'_> {
    fn send(&self, front: SocketAddr) -> std::io::Result<(u16, Value)> {
        let mut client = HttpClient::connect(front)?;
        let mut headers = vec![("content-type", "application/json")];
        if !self.key.is_empty() {
            headers.push(("idempotency-key", self.key));
        }
        let body = if self.body.is_null() { Vec::new() } else { self.body.to_string().into_bytes() };
        let answer = client.request(self.method, self.path, &headers, &body)?;
        Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }
}

/// All processes, and the servers that they are connected to.
struct Shop {
    /// Two of each role: front, inventory, order.
    workers: Vec<Worker>,
    engine: Engine,
    postgres: Postgres,
    store: String,
}

impl Shop {
    fn start(kind: Kind) -> Option<Self> {
        let postgres = Postgres::start()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let StoreUrl::Postgres { config: store } = runtime.block_on(postgres.database()) else { unreachable!() };
        let engine = Engine::start(kind);
        let mut arguments = engine.arguments();
        arguments.extend(["--store".to_owned(), store.clone()]);
        let roles = ["inventory", "order", "front"].into_iter().flat_map(|role| [role; 2]);
        let mut workers: Vec<_> = roles.map(|role| Worker::start(role, "shop", &arguments)).collect();
        workers.rotate_right(2);
        Some(Self { workers, engine, postgres, store })
    }

    fn fronts(&self) -> Vec<Door> {
        self.workers[..2].iter().map(Worker::door).collect()
    }

    /// How many faults there are to choose from.
    fn faults(&self) -> usize {
        self.workers.len() + self.engine.servers() + 1
    }

    /// Kills something, lets customers order meanwhile, and starts it again.
    fn fault(&mut self, number: usize, customers: &Customers) {
        let answered = &customers.counter.answered;
        if let Some(worker) = self.workers.get_mut(number) {
            worker.kill();
            answered.more(BETWEEN / 2);
            worker.start_again();
        } else if number - self.workers.len() < self.engine.servers() {
            let server = number - self.workers.len();
            self.engine.kill(server);
            self.engine.start_again(server);
        } else {
            self.postgres.restart();
        }
        answered.more(BETWEEN);
    }

    /// The end of an order.
    fn end_of(&self, order: &Order) -> String {
        let path = format!("/shop/order/{}", order.id);
        let request = Request { method: "GET", path: &path, key: "", body: Value::Null };
        let begun = Instant::now();
        loop {
            for front in &self.workers[..2] {
                let Ok((200, answer)) = request.send(front.http()) else { continue };
                match answer["order_status"].as_str() {
                    Some("unknown") | None => {}
                    Some("successful") if order.is_canceled => {}
                    Some(status) => return status.to_owned(),
                }
            }
            assert!(begun.elapsed() < PATIENCE, "order {} has no end: {}", order.id, self.said());
            a_moment();
        }
    }

    /// Waits until both catalogues say so: they hear of changes by events.
    fn balance_becomes(&self, product: i64, expected: i64) {
        let request = Request { method: "GET", path: "/shop/inventory", key: "", body: Value::Null };
        for front in &self.workers[..2] {
            let begun = Instant::now();
            loop {
                let (_, products) = request.send(front.http()).expect("the catalogue");
                let found =
                    products.as_array().and_then(|all| all.iter().find(|found| found["id"] == product).cloned());
                if found.as_ref().is_some_and(|found| found["balance"] == expected) {
                    break;
                }
                assert!(begun.elapsed() < PATIENCE, "{found:?} and never {expected}; {}", self.said());
                a_moment();
            }
        }
    }

    fn audit(&self) {
        let output = self.workers[0].place.run(&["shop", "audit", "--store", &self.store]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    fn said(&self) -> String {
        self.workers.iter().map(Worker::said).collect::<Vec<_>>().join("---\n")
    }
}

/// Each in turn, and then by chance as often as is asked for.
fn orders_outlive_kills(kind: Kind) {
    let Some(mut shop) = Shop::start(kind) else { return };
    let seed = fastrand::u64(..);
    println!("the kills are those of seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let customers = Customers::begin(shop.fronts());
    customers.counter.answered.more(BETWEEN);
    for number in 0..shop.faults() {
        shop.fault(number, &customers);
    }
    for _ in shop.faults()..kills() {
        shop.fault(chance.usize(0..shop.faults()), &customers);
    }
    let again = customers.counter.order(1, "customer-0-0", PRODUCTS[0]);
    let orders = customers.end();
    assert_eq!(orders[0].id, again, "the same key is the same order, on whatever front");
    let mut left = PRODUCTS.map(|_| STOCK);
    for order in &orders {
        let end = shop.end_of(order);
        let ends: &[&str] =
            if order.is_canceled { &["canceled", "unsuccessful"] } else { &["successful", "unsuccessful"] };
        assert!(ends.contains(&end.as_str()), "{} ended as {end}", order.id);
        if end == "successful" {
            let at = PRODUCTS.iter().position(|product| *product == order.product).expect("one of ours");
            left[at] -= COUNT;
        }
    }
    println!("{} orders; what is left of {STOCK}: {left:?}", orders.len());
    for (product, left) in PRODUCTS.into_iter().zip(left) {
        assert!(left < STOCK, "none was successful");
        shop.balance_becomes(product, left);
    }
    shop.audit();
}

#[test]
fn over_a_hub_orders_outlive_the_kill_of_each_role_and_server() {
    orders_outlive_kills(Kind::Hub);
}

#[cfg(feature = "engines")]
#[test]
fn over_nats_orders_outlive_the_kill_of_each_role_and_server() {
    orders_outlive_kills(Kind::Nats);
}

#[cfg(feature = "engines")]
#[test]
fn over_rabbitmq_orders_outlive_the_kill_of_each_role_and_server() {
    orders_outlive_kills(Kind::Rabbit);
}
