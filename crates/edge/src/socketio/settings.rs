//! What a Socket.IO client may do and how long it may take: each limit with its reason.

use std::time::Duration;

/// How the Socket.IO edge behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is served, without the last slash; requests may have it or not.
    pub path: String,
    /// How long after the handshake, and after each pong, the next ping is sent.
    pub ping_every: Duration,
    /// How long a client may take for its pong.
    pub pong_max: Duration,
    /// The longest packet in bytes; over HTTP the longest payload of packets; with attachments, all of them together.
    pub payload_max: usize,
    /// How long a client may take until it is in a namespace.
    pub connect_timeout: Duration,
    /// How long an upgrade to WebSocket may take from its first byte.
    pub upgrade_timeout: Duration,
    /// How many attachments an event may have.
    pub attachments_max: usize,
    /// How many sessions begin in a second at the most, with twice as many at once.
    pub connects_per_second: u32,
    /// Within which time clients are sent away when the program ends.
    pub drain: Duration,
    /// Whether packets are Engine.IO's alone, and each message is echoed: for the conformance cases.
    pub is_engine_echo: bool,
}

impl Settings {
    /// Where every client looks for it.
    pub const PATH: &'static str = "/socket.io";

    /// 25 s, as the reference server has it: below the 30 to 60 s after which proxies forget a silent connection.
    pub const PING_EVERY: Duration = Duration::from_secs(25);

    /// 20 s, as the reference server has it.
    pub const PONG_MAX: Duration = Duration::from_secs(20);

    /// 1,000,000, as the reference server has it: what a client that stops in the middle can make the edge hold.
    pub const PAYLOAD_MAX: usize = 1_000_000;

    /// 45 s, as the reference server has it.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);

    /// 10 s, as the reference server has it.
    pub const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

    /// 10: the reference parser's limit since 2026.
    pub const ATTACHMENTS_MAX: usize = 10;

    /// 10,000: a restart with 100,000 clients is through in ten seconds, and those who are connected keep their share.
    pub const CONNECTS_PER_SECOND: u32 = 10_000;

    /// 1 s: ten thousand clients that come back within their own second of patience come back over this time as well.
    pub const DRAIN: Duration = Duration::from_secs(1);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: Self::PATH.into(),
            ping_every: Self::PING_EVERY,
            pong_max: Self::PONG_MAX,
            payload_max: Self::PAYLOAD_MAX,
            connect_timeout: Self::CONNECT_TIMEOUT,
            upgrade_timeout: Self::UPGRADE_TIMEOUT,
            attachments_max: Self::ATTACHMENTS_MAX,
            connects_per_second: Self::CONNECTS_PER_SECOND,
            drain: Self::DRAIN,
            is_engine_echo: false,
        }
    }
}
