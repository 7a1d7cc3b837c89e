//! How much is taken in, how it is handed out, how long it is kept, how it ends.

use std::time::Duration;

use super::{A_CENTURY, PAYLOAD_MAX, U32_MAX};
use crate::config::key::{Key, Kind, Number};

/// These settings.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "limits.payload_max",
        flag: None,
        kind: Kind::Size { at: Number::Usize(|c| &mut c.hub.limits.payload_max), min: 1, max: PAYLOAD_MAX },
        help: "The largest payload of an event.",
    },
    Key {
        name: "limits.waiting_events_max",
        flag: None,
        kind: Kind::Count { at: Number::Usize(|c| &mut c.hub.limits.waiting_events_max), min: 1, max: 1 << 24 },
        help: "How many events may be on their way to the disk at once.",
    },
    Key {
        name: "limits.waiting_bytes_max",
        flag: None,
        kind: Kind::Size { at: Number::Usize(|c| &mut c.hub.limits.waiting_bytes_max), min: 1, max: 16 << 30 },
        help: "How many bytes may be on their way to the disk at once; at least one event of the largest size.",
    },
    Key {
        name: "limits.rate_events_per_s",
        flag: None,
        kind: Kind::Count { at: Number::U32(|c| &mut c.hub.limits.rate_events_per_s), min: 0, max: U32_MAX },
        help: "How many events a second one principal may publish; 0 sets no limit.",
    },
    Key {
        name: "limits.rate_burst_events",
        flag: None,
        kind: Kind::Count { at: Number::U32(|c| &mut c.hub.limits.rate_burst_events), min: 0, max: U32_MAX },
        help: "How many events one principal may publish at once before the rate counts; 0 takes one second's worth.",
    },
    Key {
        name: "limits.connections_max",
        flag: None,
        kind: Kind::Count { at: Number::Usize(|c| &mut c.accept.connections_max), min: 0, max: U32_MAX },
        help: "Present connections of one listener; further ones are closed at once. 0 sets no limit.",
    },
    Key {
        name: "limits.connections_per_s",
        flag: None,
        kind: Kind::Count { at: Number::U32(|c| &mut c.accept.rate_per_s), min: 0, max: U32_MAX },
        help: "New connections a second on one listener; further ones wait in the kernel. 0 sets no limit.",
    },
    Key {
        name: "limits.connections_burst",
        flag: None,
        kind: Kind::Count { at: Number::U32(|c| &mut c.accept.burst), min: 0, max: U32_MAX },
        help: "Connections that may come at once before the rate counts.",
    },
    Key {
        name: "fanout.ring_bytes_max",
        flag: None,
        kind: Kind::Size { at: Number::Usize(|c| &mut c.hub.fanout.ring_bytes_max), min: 4 << 10, max: 1 << 30 },
        help: "How much of one wanted filter is kept in memory for watchers that lag; who falls behind it reads from the log.",
    },
    Key {
        name: "fanout.rings_bytes_max",
        flag: None,
        kind: Kind::Size { at: Number::Usize(|c| &mut c.hub.fanout.rings_bytes_max), min: 64 << 10, max: 64 << 30 },
        help: "The same for all filters together.",
    },
    Key {
        name: "fanout.shards",
        flag: None,
        kind: Kind::Count { at: Number::Usize(|c| &mut c.hub.fanout.shards), min: 0, max: 1_024 },
        help: "How many tasks share the work of writing to sockets; 0 takes one a core.",
    },
    Key {
        name: "fanout.tick",
        flag: None,
        kind: Kind::Span {
            at: |c| &mut c.hub.fanout.tick,
            min: Duration::from_millis(10),
            max: Duration::from_secs(60),
        },
        help: "How exactly heartbeats and idle times are kept.",
    },
    Key {
        name: "fanout.watches_max",
        flag: None,
        kind: Kind::Count { at: Number::Usize(|c| &mut c.hub.fanout.watches_max), min: 1, max: 1 << 20 },
        help: "How many filters one connection may watch.",
    },
    Key {
        name: "log.dedup_ids",
        flag: None,
        kind: Kind::Count { at: Number::Usize(|c| &mut c.log.ids_max), min: 0, max: 100_000_000 },
        help: "How many event ids are remembered, so that a resent event is recognised; 32 bytes of memory each. 0 \
               remembers none. (Ids that the hub gave needn't be; the frame protocol's numbers are remembered for ever, whatever stands here.)",
    },
    Key {
        name: "log.dedup_age",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.log.ids_age_max, min: Duration::ZERO, max: A_CENTURY },
        help: "For how long an event id is remembered.",
    },
    Key {
        name: "log.retention_bytes",
        flag: None,
        kind: Kind::OptionalSize { at: |c| &mut c.log.retain_bytes, min: 1 << 20, max: 1 << 60 },
        help: "How much of the log is kept at the most; the oldest part is freed.",
    },
    Key {
        name: "log.retention_age",
        flag: None,
        kind: Kind::OptionalSpan { at: |c| &mut c.log.retain_age, min: Duration::from_secs(1), max: A_CENTURY },
        help: "For how long events are kept at the most.",
    },
    Key {
        name: "log.checkpoint_bytes",
        flag: None,
        kind: Kind::Size { at: Number::U64(|c| &mut c.log.checkpoint_bytes), min: 1 << 20, max: 1 << 40 },
        help: "After how much log a checkpoint is written; so much is read back at the start after a crash.",
    },
    Key {
        name: "shutdown.drain",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.accept.drain, min: Duration::ZERO, max: Duration::from_secs(3_600) },
        help: "How long connections have to end by themselves once the hub was told to stop.",
    },
];
