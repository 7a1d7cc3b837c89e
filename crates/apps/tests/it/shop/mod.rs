//! `shop`: three services over a real log, in each kind of store.

mod admin;
mod crashes;
mod front;
mod once;
mod rules;
mod shuffled;
mod statements;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use headwater_apps::shop::audit::{Report, audit};
use headwater_apps::shop::{FrontSettings, ShopSettings, inventory, order, routes};
use headwater_event::{Bus, Clock, Event, EventId, Headers, Principal, Publication, Time, Topic};
use headwater_eventlog::disk::RealDisk;
use headwater_eventlog::{EventLog, OpenOptions, SlowDisk};
use headwater_hub::access::{Openness, Policy, Rules, Users};
use headwater_hub::{Access, Hub, Settings};
use headwater_service::testing::Postgres;
use headwater_service::{Reader, Running, Service, Statement, Store, StoreUrl};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tower_service::Service as _;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A whole shop in one process.
pub struct Shop {
    pub log: Arc<EventLog>,
    pub hub: Arc<Hub>,
    pub clock: Clock,
    pub router: Router,
    pub stock: Reader,
    pub orders: Reader,
    url: StoreUrl,
    settings: ShopSettings,
    inventory: Option<Running>,
    order: Option<Running>,
    _folder: TempDir,
}

/// What a test may choose.
pub struct Choice {
    pub settings: ShopSettings,
    pub clock: Clock,
    pub root_paths: bool,
    pub access: Access,
    pub inventory: bool,
    pub order: bool,
    /// So much longer takes each sync of the log.
    pub sync_delay: Duration,
}

impl Default for Choice {
    fn default() -> Self {
        let clock = Clock::system();
        let policy = Policy::new(Openness::ThisMachine, Rules::default(), Users::default(), None);
        Self {
            settings: ShopSettings::default(),
            access: Access::keeping(policy, clock.clone()),
            clock,
            root_paths: true,
            inventory: true,
            order: true,
            sync_delay: Duration::ZERO,
        }
    }
}

/// Where the tables of a test's shops are: of each engine, new for each shop.
#[derive(Clone, Copy)]
pub enum Place {
    Sqlite,
    Postgres(&'static Postgres),
}

impl Place {
    pub async fn shop(self) -> Shop {
        self.shop_with(Choice::default()).await
    }

    pub async fn shop_with(self, choice: Choice) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let url = match self {
            Self::Sqlite => StoreUrl::sqlite(folder.path()),
            Self::Postgres(server) => server.database().await,
        };
        Shop::open(folder, &url, choice).await
    }
}

/// Makes two tests of each function: one with SQLite, one with PostgreSQL where it is installed.
macro_rules! on_each_store {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
                async fn $name() {
                    super::$name(crate::shop::Place::Sqlite).await;
                }
            )*
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
                async fn $name() {
                    if let Some(server) = headwater_service::testing::Postgres::shared() {
                        super::$name(crate::shop::Place::Postgres(server)).await;
                    }
                }
            )*
        }
    };
}
pub(crate) use on_each_store;

/// An answer of the front.
pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }
}

impl Shop {
    /// One in this store, which must be empty.
    pub async fn open(folder: TempDir, url: &StoreUrl, choice: Choice) -> Self {
        let mut options = OpenOptions::new(folder.path().join("log"));
        if choice.sync_delay > Duration::ZERO {
            let disk = RealDisk::new(&folder.path().join("log")).unwrap();
            options.disk = Some(Arc::new(SlowDisk::new(Arc::new(disk), choice.sync_delay)));
        }
        let log = Arc::new(EventLog::open(options).unwrap());
        let bus: Arc<dyn Bus> = log.clone();
        let hub = Hub::start(bus.clone(), Settings { access: choice.access, ..Settings::default() });
        let stock = Store::open(url, inventory::NAME).await.unwrap();
        let orders = Store::open(url, order::NAME).await.unwrap();
        let settings = FrontSettings {
            root_paths: choice.root_paths,
            inventory: stock.reader(),
            orders: orders.reader(),
            bus,
            callers: Arc::new(|_| Principal::anonymous()),
        };
        let router = routes(hub.clone(), settings);
        let (stock, orders) = (stock.reader(), orders.reader());
        let mut shop = Self {
            log,
            hub,
            clock: choice.clock,
            router,
            stock,
            orders,
            url: url.clone(),
            settings: choice.settings,
            inventory: None,
            order: None,
            _folder: folder,
        };
        if choice.inventory {
            shop.start_inventory().await;
        }
        if choice.order {
            shop.start_order().await;
        }
        shop
    }

    /// Starts the inventory; what ran before is killed.
    pub async fn start_inventory(&mut self) {
        drop(self.inventory.take());
        self.inventory = Some(self.started(inventory::service()).await);
    }

    /// The same for the order service.
    pub async fn start_order(&mut self) {
        drop(self.order.take());
        self.order = Some(self.started(order::service(self.settings)).await);
    }

    async fn started(&self, service: Service) -> Running {
        let store = Store::open(&self.url, service.name()).await.unwrap();
        service.start(self.log.clone(), store, self.clock.clone()).await.unwrap()
    }

    /// Ends the inventory in good order.
    pub async fn stop_inventory(&mut self) {
        self.inventory.take().unwrap().stop().await;
    }

    /// An event from outside, under an id of its own.
    pub async fn say(&self, topic: &str, body: Value) {
        self.say_as(EventId::generate(), topic, body.to_string()).await;
    }

    pub async fn say_as(&self, id: EventId, topic: &str, payload: String) {
        let (topic, headers) = (Topic::new(topic).unwrap(), Headers::none());
        let event = Event { id, topic, headers, payload: payload.into(), at: Time::default() };
        let publication = Publication { event, sticky: false };
        self.hub.publish(&Principal::anonymous(), vec![publication]).unwrap().await.unwrap();
    }

    pub async fn send(&self, order: &Value, items: &[(i64, i64)]) {
        self.say("public-front/order-send", order_send(order, items)).await;
    }

    pub async fn cancel(&self, order: &Value) {
        self.say("public-front/order-canceled", json!({ "order_id": order })).await;
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask(Request::delete(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.ask(Request::builder().method(Method::POST).uri(path).body(body.into()).unwrap()).await
    }

    /// Waits until an order is decided.
    pub async fn decided(&self, order: &str) -> String {
        self.status_other_than(order, "unknown").await
    }

    pub async fn status_other_than(&self, order: &str, word: &str) -> String {
        timeout(PATIENCE, async {
            loop {
                let answer = self.get(&format!("/shop/order/{order}")).await;
                if answer.status == StatusCode::OK && answer.json()["order_status"] != word {
                    return answer.json()["order_status"].as_str().unwrap().to_owned();
                }
                sleep(Duration::from_millis(2)).await; // sleep: what is tested here is that one may poll
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{order} stayed {word}"))
    }

    /// Waits until this holds for the balance of a product.
    pub async fn balance_is(&self, product: i64, wanted: i64) {
        let mut last = None;
        let waiting = timeout(PATIENCE, async {
            loop {
                last = self.found(product).await;
                if last == Some(wanted) {
                    return;
                }
                sleep(Duration::from_millis(2)).await; // sleep: what is tested here is that one may poll
            }
        });
        assert!(waiting.await.is_ok(), "product {product} has {last:?} and never {wanted}");
    }

    pub async fn balance(&self, product: i64) -> i64 {
        self.found(product).await.unwrap_or_else(|| panic!("no product {product}"))
    }

    async fn found(&self, product: i64) -> Option<i64> {
        let goods = self.get("/shop/inventory").await.json();
        goods.as_array().unwrap().iter().find(|shown| shown["id"] == product)?["balance"].as_i64()
    }

    pub async fn audit(&self) -> Report {
        audit(&self.stock, Some(&self.orders)).await.unwrap()
    }

    pub async fn assert_books(&self) {
        let report = self.audit().await;
        assert!(report.is_balanced(), "{report}");
    }

    /// Waits until nothing more happens: all that both services want is settled, and so is what they made of it.
    pub async fn quiet(&self) {
        let waiting = timeout(PATIENCE, async {
            let mut calm = 0;
            let mut last = self.log.head();
            while calm < 3 {
                sleep(Duration::from_millis(10)).await; // sleep: no event says that none will come
                let now = self.log.head();
                let is_calm = now == last && self.is_settled().await;
                calm = if is_calm { calm + 1 } else { 0 };
                last = now;
            }
        });
        assert!(waiting.await.is_ok(), "it never became quiet: {:?}", self.log.groups(None, 10));
    }

    async fn is_settled(&self) -> bool {
        let groups = self.log.groups(None, 10);
        let mut last = vec![0; groups.len()];
        let mut tail = self.log.tail(self.log.oldest()).unwrap();
        while let Some(batch) = tail.next_now(&|_| true).await.unwrap() {
            for event in &batch.events {
                for (group, last) in groups.iter().zip(&mut last) {
                    if group.filters.iter().any(|filter| filter.matches(event.event.topic.as_str())) {
                        *last = event.position.seq;
                    }
                }
            }
        }
        let mut both = groups.iter().zip(&last);
        both.all(|(group, last)| group.in_flight == 0 && group.waiting_retry == 0 && group.settled.seq >= *last)
            && sorted(&self.stock).await + sorted(&self.orders).await == 0
    }

    /// The dead letters of a service: why each was given up.
    pub async fn dead_letters(&self, service: &str) -> Vec<String> {
        let group = headwater_event::GroupName::new(format!("service/{service}")).unwrap();
        let letters = self.log.dead_letters(&group, 0, 100).await.unwrap();
        letters.into_iter().map(|letter| letter.why).collect()
    }

    /// All events of a topic so far, as JSON.
    pub async fn said(&self, topic: &str) -> Vec<Value> {
        let mut tail = self.log.tail(self.log.oldest()).unwrap();
        let mut all = Vec::new();
        while let Some(batch) = tail.next_now(&|have| have == topic).await.unwrap() {
            all.extend(batch.events.iter().map(|event| serde_json::from_slice(&event.event.payload).unwrap()));
        }
        all
    }

    /// Waits until something was said on a topic for which this holds.
    pub async fn until_said(&self, topic: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut tail = self.log.tail(self.log.oldest()).unwrap();
        let hearing = async {
            loop {
                for recorded in tail.next(&|have| have == topic).await.unwrap().events {
                    let said = serde_json::from_slice(&recorded.event.payload).unwrap();
                    if is_it(&said) {
                        return said;
                    }
                }
            }
        };
        timeout(PATIENCE, hearing).await.unwrap_or_else(|_| panic!("that was never said on {topic}"))
    }

    /// Both services end; their tables stay to be read.
    pub async fn stop_services(&mut self) {
        for running in [self.inventory.take(), self.order.take()].into_iter().flatten() {
            running.stop().await;
        }
    }
}

/// How many events a service on PostgreSQL has taken from the bus into its store, and not handled yet.
pub async fn sorted(store: &Reader) -> i64 {
    static SORTED: Statement = Statement::new("SELECT COUNT(*) FROM kit_work");
    // One that was never started has no tables.
    store.query_opt(&SORTED, &[]).await.map_or(0, |row| row.unwrap().int(0).unwrap())
}

pub fn order_send(order: &Value, items: &[(i64, i64)]) -> Value {
    let items: Vec<Value> =
        items.iter().map(|(product, count)| json!({ "inventoryId": product, "count": count })).collect();
    json!({ "orderId": order, "items": items })
}

pub fn order_body(items: &[(i64, i64)]) -> String {
    let mut body = order_send(&Value::Null, items);
    body.as_object_mut().unwrap().remove("orderId");
    body.to_string()
}
