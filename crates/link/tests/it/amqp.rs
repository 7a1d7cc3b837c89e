//! RabbitMQ with Redis keeps the contract of the bus.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use headwater_event::contract::Harness;
use headwater_event::{Bus, Clock, Durability, Health, Later, Time};
use headwater_link::{Engine, LinkError, Options, open};
use tokio::sync::OwnedMutexGuard;

use super::given::{WITHOUT_A_LOG, done, event, join, keeps_all_but, next, payload, soon};
use super::rabbit::{Rabbit, Redis};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_rabbitmq_the_contract_of_the_bus_is_kept() {
    let servers = Arc::new(tokio::sync::Mutex::new(Servers::start()));
    let make = move || -> Later<'static, _> {
        let servers = Arc::clone(&servers);
        Box::pin(async move { Box::new(Linked::new(servers.lock_owned().await).await) as Box<dyn Harness> })
    };
    keeps_all_but(&make, WITHOUT_A_LOG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_rabbitmq_an_event_goes_to_its_group_once_and_is_settled() {
    let servers = shared();
    let engine = link(&servers, "thin", &Clock::system()).await;
    let bus = engine.bus();
    assert_eq!(bus.abilities().durability, Durability::Synced);
    let mut member = join(&bus, "g/#").await;
    soon(bus.append((0..50).map(|at| event("g/x", &at.to_string())).collect())).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 50 {
        let deliveries = next(&mut member, 16).await;
        seen.extend(deliveries.iter().map(|delivery| payload(delivery).parse::<u32>().unwrap()));
        done(&mut member, &deliveries).await;
    }
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
    assert_eq!(bus.health(), Health::Good);
    engine.close().await;
}

/// Both servers.
pub struct Servers {
    pub rabbit: Rabbit,
    pub redis: Redis,
}

impl Servers {
    pub fn start() -> Self {
        Self { redis: Redis::start(), rabbit: Rabbit::start() }
    }

    pub fn options(&self) -> Options {
        Options { state: Some(self.redis.url()), ..Options::new("test") }
    }

    pub fn url(&self, name: &str) -> String {
        format!("amqp://{}?name={name}", self.rabbit.addr())
    }
}

/// Servers that nobody kills, for the tests that run beside each other: RabbitMQ takes its time to start.
pub fn shared() -> Arc<Servers> {
    static SHARED: Mutex<Weak<Servers>> = Mutex::new(Weak::new());
    tokio::task::block_in_place(|| {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let servers = Arc::new(Servers::start());
            *shared = Arc::downgrade(&servers);
            servers
        })
    })
}

pub async fn link(servers: &Servers, name: &str, clock: &Clock) -> Engine {
    let opened = async {
        loop {
            match open(&servers.url(name), Options { clock: clock.clone(), ..servers.options() }).await {
                Ok(engine) => return engine,
                // It listens before it takes anybody in.
                Err(LinkError::Unreachable(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    soon(opened).await
}

struct Linked {
    servers: OwnedMutexGuard<Servers>,
    name: String,
    engine: Option<Engine>,
    clock: Clock,
}

impl Linked {
    /// An installation of its own on the servers that all cases share.
    async fn new(servers: OwnedMutexGuard<Servers>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("case{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let clock = Clock::manual(Time(1_800_000_000_000_000));
        let engine = Some(link(&servers, &name, &clock).await);
        Self { servers, name, engine, clock }
    }
}

impl Harness for Linked {
    fn bus(&self) -> Arc<dyn Bus> {
        self.engine.as_ref().unwrap().bus()
    }

    fn crash(&mut self) -> Later<'_, ()> {
        Box::pin(async {
            // The servers first: this process then has no chance to give anything back.
            tokio::task::block_in_place(|| {
                self.servers.rabbit.kill();
                self.servers.redis.kill();
            });
            drop(self.engine.take());
            tokio::task::block_in_place(|| {
                self.servers.redis.start_again();
                self.servers.rabbit.start_again();
            });
            self.engine = Some(link(&self.servers, &self.name, &self.clock).await);
        })
    }

    fn pass(&mut self, time: Duration) -> Later<'_, ()> {
        self.clock.advance(time);
        Box::pin(std::future::ready(()))
    }

    fn span(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn too_large(&self) -> Option<usize> {
        Some(17 << 20)
    }

    fn close(&mut self) -> Later<'_, bool> {
        Box::pin(async {
            self.engine.as_ref().unwrap().close().await;
            true
        })
    }
}
