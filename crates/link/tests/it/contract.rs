//! The contract of the bus over brokers: Headwater's own, and Debian's mosquitto.

use std::sync::Arc;
use std::time::Duration;

use headwater_event::contract::Harness;
use headwater_event::{Bus, Clock, Later, Time};
use headwater_link::{Engine, Options, open};

use super::given::{WITHOUT_A_LOG, keeps_all_but};
use super::headwater::Broker;
use super::mosquitto::Mosquitto;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_mosquitto_the_contract_of_the_bus_is_kept() {
    let make = || -> Later<'static, _> {
        Box::pin(async { Box::new(Linked::over(Mosquitto::start()).await) as Box<dyn Harness> })
    };
    keeps_all_but(&make, WITHOUT_A_LOG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_headwaters_own_broker_the_contract_of_the_bus_is_kept() {
    let make = || -> Later<'static, _> {
        Box::pin(async { Box::new(Linked::over(Broker::start()).await) as Box<dyn Harness> })
    };
    keeps_all_but(&make, WITHOUT_A_LOG).await;
}

/// A broker that can die.
trait Mortal: Send + Sync + 'static {
    fn url(&self) -> String;
    fn die(&mut self);
    fn rise(&mut self);
}

impl Mortal for Mosquitto {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn die(&mut self) {
        // In good order: what it acknowledged it has in memory alone, as is declared.
        self.stop();
    }

    fn rise(&mut self) {
        self.start_again();
    }
}

impl Mortal for Broker {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn die(&mut self) {
        self.kill();
    }

    fn rise(&mut self) {
        self.start_again();
    }
}

struct Linked<B> {
    broker: B,
    engine: Option<Engine>,
    clock: Clock,
}

impl<B: Mortal> Linked<B> {
    async fn over(broker: B) -> Self {
        let clock = Clock::manual(Time(1_800_000_000_000_000));
        let engine = Some(link(&broker.url(), &clock).await);
        Self { broker, engine, clock }
    }
}

async fn link(url: &str, clock: &Clock) -> Engine {
    let options = Options { clock: clock.clone(), ..Options::new("test") };
    open(url, options).await.expect("a broker")
}

impl<B: Mortal> Harness for Linked<B> {
    fn bus(&self) -> Arc<dyn Bus> {
        self.engine.as_ref().unwrap().bus()
    }

    fn crash(&mut self) -> Later<'_, ()> {
        Box::pin(async {
            // The broker first: this process then has no chance to say goodbye.
            tokio::task::block_in_place(|| self.broker.die());
            drop(self.engine.take());
            tokio::task::block_in_place(|| self.broker.rise());
            self.engine = Some(link(&self.broker.url(), &self.clock).await);
        })
    }

    fn pass(&mut self, time: Duration) -> Later<'_, ()> {
        self.clock.advance(time);
        Box::pin(std::future::ready(()))
    }

    fn span(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn too_large(&self) -> Option<usize> {
        Some(3_000_000)
    }

    fn close(&mut self) -> Later<'_, bool> {
        Box::pin(async {
            self.engine.as_ref().unwrap().close().await;
            true
        })
    }
}
