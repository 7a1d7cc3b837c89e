//! How long and how much an HTTP connection may take: each limit with its reason.

use std::time::Duration;

/// How an HTTP connection is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a fresh connection may stay silent.
    pub first_byte: Duration,
    /// How long the first request's head may take from its first byte to its last.
    pub head: Duration,
    /// How long a further request's head may take, counted from the answer before it: also how long a connection that is
    /// kept alive may rest.
    pub further_head: Duration,
    /// How long a body may take.
    pub body: Duration,
    /// How long a client may refuse to take a byte of its answer.
    pub stalled: Duration,
    /// The largest body in bytes where a request may carry several events.
    pub batch_len_max: usize,
}

impl Limits {
    /// A request's head in bytes: what HTTP servers usually take. Before its first good head a connection costs no more.
    pub const HEAD_LEN_MAX: usize = 16 * 1_024;

    /// Headers of one request: hyper's own bound, so that a first head and a further one are judged alike.
    pub const HEADERS_MAX: usize = 100;

    /// 10 s: the slowest phone says something within three; 5,000 silent sockets are gone after ten.
    pub const FIRST_BYTE: Duration = Duration::from_secs(10);

    /// 10 s: 16 KiB at 1.6 KB/s.
    pub const HEAD: Duration = Duration::from_secs(10);

    /// 60 s: browsers and client libraries keep a connection for about a minute.
    pub const FURTHER_HEAD: Duration = Duration::from_secs(60);

    /// 60 s: 1 MiB at 17 KB/s, 16 MiB at 280 KB/s.
    pub const BODY: Duration = Duration::from_secs(60);

    /// 60 s: longer than a phone's change of network; nobody reads a page of history that slowly.
    pub const STALLED: Duration = Duration::from_secs(60);

    /// 16 MiB: a batch of 16,000 events of 1 KiB, as many as may wait for the disk at once.
    pub const BATCH_LEN_MAX: usize = 16 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_byte: Self::FIRST_BYTE,
            head: Self::HEAD,
            further_head: Self::FURTHER_HEAD,
            body: Self::BODY,
            stalled: Self::STALLED,
            batch_len_max: Self::BATCH_LEN_MAX,
        }
    }
}
