//! How much the hub takes in: each limit with its unit, its default and the reason for it.

/// The limits of admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest payload in bytes.
    pub payload_max: usize,
    /// How many events may be on their way to the disk at once.
    pub waiting_events_max: usize,
    /// How many bytes (payloads, topics and headers) may be on their way to the disk at once.
    pub waiting_bytes_max: usize,
    /// How many events a second one principal may publish; 0 sets no limit.
    pub rate_events_per_s: u32,
    /// How many events one principal may publish at once before the rate counts; 0 takes one second's worth.
    pub rate_burst_events: u32,
    /// Topics that never wait for others, nor are refused because of them.
    pub lane: Option<Lane>,
}

/// A lane of its own: what begins with its prefix has no rate, and a room that nothing else can fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// How its topics begin, as `alerts-raw/`.
    pub prefix: String,
    /// How many of its events may be on their way to the disk at once.
    pub events_max: usize,
    /// How many bytes of them.
    pub bytes_max: usize,
}

impl Lane {
    /// A lane with room for what comes in a few syncs from every source of a country at once: 4,096 events, 8 MiB.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), events_max: 4_096, bytes_max: 8 << 20 }
    }
}

impl Limits {
    /// 1 MiB: what MQTT brokers usually take; larger things belong into a file store, with an event that names them.
    pub const PAYLOAD_MAX: usize = 1 << 20;

    /// 16,384 events: 16 connections with 1,000 in flight each are never refused, and at 1,000,000 events/s the last of
    /// them waits 16 ms.
    pub const WAITING_EVENTS_MAX: usize = 16_384;

    /// 64 MiB: what a disk of 500 MB/s takes in an eighth of a second, and what the smallest supported host can spare.
    pub const WAITING_BYTES_MAX: usize = 64 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_max: Self::PAYLOAD_MAX,
            waiting_events_max: Self::WAITING_EVENTS_MAX,
            waiting_bytes_max: Self::WAITING_BYTES_MAX,
            rate_events_per_s: 0,
            rate_burst_events: 0,
            lane: None,
        }
    }
}
