//! What can be set on the frame edge.

use std::time::Duration;

use super::wire::CLAIM_LEN_MAX;

/// Limits of the frame edge, for every connection alike.
#[derive(Clone, Debug)]
pub struct FrameSettings {
    /// The longest payload that is taken, in bytes.
    pub payload_max: usize,
    /// How long a connection may be silent, once it has said HELLO, with nothing owed to it; zero sets no limit.
    pub idle_timeout: Duration,
    /// How long a newcomer may take for its HELLO.
    pub hello_timeout: Duration,
    /// How many messages of one connection may wait for their answers before the edge stops reading from it.
    pub in_flight_max: usize,
    /// How many payload bytes of one connection may wait for their answers before the edge stops reading from it.
    pub in_flight_bytes_max: usize,
}

impl Default for FrameSettings {
    fn default() -> Self {
        Self {
            // A log line; who sends more raises it (`frames.max_payload`).
            payload_max: 256,
            // Twice the usual keep-alive of half a minute.
            idle_timeout: Duration::from_secs(60),
            // Enough for the slowest mobile link, too short to hoard connections with.
            hello_timeout: Duration::from_secs(10),
            // Four times the deepest window of the benches: the log takes many thousands with one sync, and the hub's own
            // limit on what waits is what refuses. This one only keeps a single connection from filling that alone.
            in_flight_max: 4_096,
            // 4,096 messages of the default size are 1 MiB; larger payloads shouldn't be throttled to a handful.
            in_flight_bytes_max: 4 * 1_024 * 1_024,
        }
    }
}

impl FrameSettings {
    /// The same, within what the protocol and one connection's share of memory can bear.
    #[must_use]
    pub fn sane(mut self) -> Self {
        self.payload_max = self.payload_max.min(CLAIM_LEN_MAX);
        // Nothing would ever be read otherwise.
        self.in_flight_max = self.in_flight_max.max(1);
        self.in_flight_bytes_max = self.in_flight_bytes_max.max(1);
        self
    }
}
