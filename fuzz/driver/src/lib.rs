//! What is fed with hostile bytes: one target a decoder, each with valid inputs to start from.
//!
//! A target looks at any bytes and panics when a promise is broken: a decoder that panics itself, that judges the same
//! bytes differently in other pieces, or that takes what it must refuse. Two drivers run them: `cargo run -p
//! headwater-fuzz -- TARGET SECONDS` on any Rust, and cargo-fuzz with coverage on nightly (`fuzz/README.md`).

pub mod access;
pub mod alerts;
pub mod disk;
pub mod events;
pub mod frames;
pub mod http;
pub mod log;
pub mod mqtt;
pub mod mutate;
pub mod random;
pub mod ws;

/// One decoder under test.
pub struct Target {
    /// Its name on the command line and in `fuzz_targets/`.
    pub name: &'static str,
    /// Looks at any bytes; panics when a promise is broken.
    pub look: fn(&[u8]),
    /// Valid inputs, to be broken.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces that mean something to this decoder.
    pub words: &'static [&'static [u8]],
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "ws_frames", look: ws::frames, seeds: ws::frame_seeds, words: ws::FRAME_WORDS },
    Target { name: "ws_json", look: ws::json, seeds: ws::json_seeds, words: ws::JSON_WORDS },
    Target { name: "ws_handshake", look: ws::handshake, seeds: ws::handshake_seeds, words: ws::HANDSHAKE_WORDS },
    Target { name: "frames", look: frames::frames, seeds: frames::seeds, words: frames::WORDS },
    Target { name: "http_framing", look: http::framing, seeds: http::seeds, words: http::WORDS },
    Target { name: "log_reader", look: log::reader, seeds: log::seeds, words: log::WORDS },
    Target { name: "mqtt_packets", look: mqtt::packets, seeds: mqtt::packet_seeds, words: mqtt::WORDS },
    Target { name: "mqtt_replies", look: mqtt::replies, seeds: mqtt::reply_seeds, words: mqtt::WORDS },
    Target { name: "filter", look: events::filter, seeds: events::filter_seeds, words: events::FILTER_WORDS },
    Target { name: "access", look: access::access, seeds: access::seeds, words: access::WORDS },
    Target { name: "cap", look: alerts::cap, seeds: alerts::cap_seeds, words: alerts::WORDS },
    Target { name: "report", look: alerts::report, seeds: alerts::report_seeds, words: alerts::WORDS },
    Target { name: "names", look: events::names, seeds: events::name_seeds, words: &[b"\0\0\0\x01", b":", b"/"] },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
