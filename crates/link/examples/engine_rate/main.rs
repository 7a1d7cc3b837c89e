//! What an engine takes through our bus beside what its bare client library takes: the same server, the same promise, the
//! same payload, as many on their way, in turns.
//!
//!     cargo run --release -p headwater-link --features engines --example engine_rate
#![allow(clippy::unwrap_used, reason = "a measurement that fails ends")]

mod amqp;
mod nats;
#[path = "../../tests/it/network.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod network;
#[path = "../../tests/it/rabbit.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod rabbit;

/// Where what starts the servers finds a port.
mod mosquitto {
    pub use crate::nats::free_port;
}

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_event::{Bus, Clock, Event, EventId, Headers, Publication};
use tokio::task::JoinSet;
use uuid::Uuid;

/// As long as a reading of a device.
pub const PAYLOAD_LEN: usize = 256;

/// Publishers side by side, and how many events each hands over at a time: what an edge's connections and our producer do.
const PUBLISHERS: usize = 32;
const BATCH: usize = 16;

/// As many are on their way without us.
pub const IN_FLIGHT: usize = PUBLISHERS * BATCH;

const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    println!("events of {PAYLOAD_LEN} B, {IN_FLIGHT} on their way, medians of {ROUNDS} rounds in turns");
    nats::measure().await;
    amqp::measure().await;
}

/// One side of a comparison.
pub struct Side {
    name: &'static str,
    rates: Vec<f64>,
}

impl Side {
    /// Nothing yet.
    pub const fn new(name: &'static str) -> Self {
        Self { name, rates: Vec::new() }
    }

    /// A round of so many events that took so long.
    pub fn took(&mut self, events: usize, time: Duration) {
        self.rates.push(events as f64 / time.as_secs_f64());
    }

    fn median(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }
}

/// Prints what came out, each beside the first.
pub fn tell(what: &str, sides: &[Side]) {
    println!("{what}");
    let whole = sides[0].median();
    for side in sides {
        let (low, high) =
            side.rates.iter().fold((f64::MAX, 0_f64), |(low, high), rate| (low.min(*rate), high.max(*rate)));
        let median = side.median();
        println!("  {:<28} {median:>9.0}/s  ({low:.0} to {high:.0})  {:.2} x", side.name, median / whole);
    }
}

/// One round through the bus.
pub async fn through_the_bus(bus: &Arc<dyn Bus>, events: usize) -> Duration {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let bus = Arc::clone(bus);
        tasks.spawn(async move {
            let mut left = events / PUBLISHERS + usize::from(publisher < events % PUBLISHERS);
            while left > 0 {
                let batch: Vec<_> = (0..left.min(BATCH)).map(|_| publication(publisher)).collect();
                left -= batch.len();
                bus.append(batch).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    began.elapsed()
}

fn publication(publisher: usize) -> Publication {
    let event = Event {
        id: EventId::Uuid(Uuid::now_v7()),
        topic: format!("rate/{publisher}").parse().unwrap(),
        headers: Headers::none(),
        payload: vec![b'x'; PAYLOAD_LEN].into(),
        at: Clock::system().now(),
    };
    Publication { event, sticky: false }
}
