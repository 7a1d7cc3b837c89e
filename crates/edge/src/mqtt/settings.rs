//! What an MQTT connection may do and how long it may take: each limit with its reason.

use std::time::Duration;

/// How the MQTT edge behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MqttSettings {
    /// How long a newcomer may take for its CONNECT.
    pub connect_timeout: Duration,
    /// The largest packet that is taken, in bytes, once a client is known.
    pub packet_len_max: usize,
    /// How many publications of one client may wait for their acknowledgements (its receive maximum, MQTT 5.0 section
    /// 3.1.2.11.3); and how many deliveries to it may wait for its own, if it doesn't ask for fewer.
    pub in_flight_max: u16,
    /// How many bytes of one client may wait for the disk before no more is read from it.
    pub in_flight_bytes_max: usize,
    /// How many subscriptions one client may have.
    pub subscriptions_max: usize,
    /// The longest keep alive; a client that asks for more, or for none, is told this one where it can be (5.0). 0 sets no
    /// limit.
    pub keep_alive_max: Duration,
    /// The longest time that a session is kept after its connection has ended; 3.1.1 clients that ask for a session get
    /// this one.
    pub session_expiry_max: Duration,
    /// How often the `$SYS` topics are told.
    pub sys_every: Duration,
}

impl MqttSettings {
    /// 10 s, as for every listener.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// A payload of 1 MiB (the hub's limit), its topic and 64 KiB of properties.
    pub const PACKET_LEN_MAX: usize = (1 << 20) + (68 << 10);

    /// 1,000: with 1 ms a sync one connection reaches a million events a second; more only lengthens the wait.
    pub const IN_FLIGHT_MAX: u16 = 1_000;

    /// 4 MiB: 64 connections that fill it fill the hub's own room of 64 MiB four times, so it's the room that refuses.
    pub const IN_FLIGHT_BYTES_MAX: usize = 4 << 20;

    /// 65,536: DESIGN, limits.
    pub const SUBSCRIPTIONS_MAX: usize = 65_536;

    /// 30 days: a device that comes back from repair finds its session, and one that never comes is forgotten.
    pub const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(30 * 86_400);

    /// 10 s, as clients of other brokers are used to.
    pub const SYS_EVERY: Duration = Duration::from_secs(10);
}

impl Default for MqttSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Self::CONNECT_TIMEOUT,
            packet_len_max: Self::PACKET_LEN_MAX,
            in_flight_max: Self::IN_FLIGHT_MAX,
            in_flight_bytes_max: Self::IN_FLIGHT_BYTES_MAX,
            subscriptions_max: Self::SUBSCRIPTIONS_MAX,
            keep_alive_max: Duration::ZERO,
            session_expiry_max: Self::SESSION_EXPIRY_MAX,
            sys_every: Self::SYS_EVERY,
        }
    }
}
