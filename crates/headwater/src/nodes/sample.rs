//! What this process has to do at present, for its heartbeat.

use std::time::Duration;

use headwater_edge::process;
use headwater_hub::Hub;
use tokio::time::Instant;

/// Processor time is told as a share of the time since the last look.
#[derive(Debug, Default)]
pub struct Sampler {
    last: Option<(Instant, Duration)>,
}

/// A process's load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Present connections.
    pub connections: u64,
    /// Events that became durable by it, a second.
    pub events_per_s: f64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Processor time a second, in cores.
    pub cpu: f64,
}

impl Sampler {
    /// The load now.
    pub fn load(&mut self, hub: &Hub) -> Load {
        let usage = process::usage();
        let cpu_now = usage.map_or(Duration::ZERO, |usage| usage.cpu);
        let now = Instant::now();
        let cpu = self.last.replace((now, cpu_now)).map_or(0.0, |(at, before)| {
            let took = now.duration_since(at).as_secs_f64().max(1e-3);
            cpu_now.saturating_sub(before).as_secs_f64() / took
        });
        Load {
            connections: hub.presence().len() as u64,
            events_per_s: hub.rates().events,
            memory_bytes: usage.map_or(0, |usage| usage.rss_bytes),
            cpu,
        }
    }
}
