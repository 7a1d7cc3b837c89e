//! What a WebSocket connection may do and how long it may take: each limit with its reason.

use std::time::Duration;

use super::origin::Origins;
use super::present::Present;

/// How the hub's WebSocket edge behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which pages of which sites may connect.
    pub origins: Origins,
    /// The longest message in bytes, over all fragments; a longer one ends the connection with 1009.
    pub message_len_max: usize,
    /// How long a message may take from its first byte to its last.
    pub message_time_max: Duration,
    /// How many publishes of one connection may wait for their answer; beyond that nothing more is read.
    pub in_flight_max: usize,
    /// How many subscriptions one connection may have.
    pub subscriptions_max: usize,
    /// How often an otherwise silent connection is pinged.
    pub ping_every: Duration,
    /// After how long without a word from the client the connection is dead. A pong is a word.
    pub silence_max: Duration,
    /// Who is connected under these settings; clones share it.
    pub present: Present,
}

impl Settings {
    /// A payload of 1 MiB (the hub's limit) in base64 takes 1.34 MiB, one of escaped quotes 2 MiB; and there are headers.
    pub const MESSAGE_LEN_MAX: usize = (2 << 20) + (64 << 10);

    /// 30 s: the longest message at 70 KB/s. Without a bound, 10,000 clients that stop in the middle hold 20 GiB.
    pub const MESSAGE_TIME_MAX: Duration = Duration::from_secs(30);

    /// 1,000: with 1 ms a sync one connection reaches a million events a second; more only lengthens the wait.
    pub const IN_FLIGHT_MAX: usize = 1_000;

    /// 1,024: they are found by searching a sorted list, and a client that wants more wants a wildcard.
    pub const SUBSCRIPTIONS_MAX: usize = 1_024;

    /// 25 s: below the 30 to 60 s after which load balancers and mobile networks forget a silent connection.
    pub const PING_EVERY: Duration = Duration::from_secs(25);

    /// 60 s: two pings may get lost.
    pub const SILENCE_MAX: Duration = Duration::from_secs(60);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            origins: Origins::default(),
            message_len_max: Self::MESSAGE_LEN_MAX,
            message_time_max: Self::MESSAGE_TIME_MAX,
            in_flight_max: Self::IN_FLIGHT_MAX,
            subscriptions_max: Self::SUBSCRIPTIONS_MAX,
            ping_every: Self::PING_EVERY,
            silence_max: Self::SILENCE_MAX,
            present: Present::default(),
        }
    }
}
