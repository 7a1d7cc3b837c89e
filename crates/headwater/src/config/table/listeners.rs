//! Where clients come in, and what a connection may take.

use std::time::Duration;

use headwater_edge::tls::Asked;

use super::{A_CENTURY, LONGEST, PAYLOAD_MAX, SHORTEST, U32_MAX};
use crate::config::Config;
use crate::config::key::{Key, Kind, Number};

/// These settings.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "http.addr",
        flag: Some("http"),
        kind: Kind::Address(|c| &mut c.http),
        help: "Where it listens; `off` switches it off, port 0 picks a free port.",
    },
    Key {
        name: "http.tls_addr",
        flag: None,
        kind: Kind::Address(|c| &mut c.tls.http),
        help: "Where it listens with TLS beside `addr`, which then speaks plain text. `off`: `addr` is the only one.",
    },
    Key {
        name: "http.origins",
        flag: None,
        kind: Kind::Texts(|c| &mut c.ws.origins.allowed),
        help: "Pages of which other sites may use this hub from a browser, as `https://app.example.com`; a list, or `none`. \
               Pages that it serves itself always may.",
    },
    Key {
        name: "http.hosts",
        flag: None,
        kind: Kind::Texts(|c| &mut c.hosts),
        help: "Names under which the hub answers beside addresses and `localhost`; a list, or `none`. Other names are \
               refused when some are listed here, and while everybody on this machine may everything: a page of another \
               site could have its own name lead here.",
    },
    Key {
        name: "http.first_byte_timeout",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.http_edge.first_byte, min: SHORTEST, max: LONGEST },
        help: "How long a fresh connection may stay silent.",
    },
    Key {
        name: "http.head_timeout",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.http_edge.head, min: SHORTEST, max: LONGEST },
        help: "How long the first request's head may take.",
    },
    Key {
        name: "http.keep_alive",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.http_edge.further_head, min: SHORTEST, max: LONGEST },
        help: "How long a connection may rest between two requests.",
    },
    Key {
        name: "http.body_timeout",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.http_edge.body, min: SHORTEST, max: LONGEST },
        help: "How long a body may take.",
    },
    Key {
        name: "http.stalled_timeout",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.http_edge.stalled, min: SHORTEST, max: LONGEST },
        help: "How long a client may refuse to take a byte of its answer.",
    },
    Key {
        name: "http.batch_len_max",
        flag: None,
        kind: Kind::Size { at: Number::Usize(|c| &mut c.http_edge.batch_len_max), min: 1, max: 1 << 30 },
        help: "The largest body where a request may carry several events.",
    },
    Key {
        name: "websocket.message_len_max",
        flag: None,
        kind: Kind::Size { at: Number::Usize(|c| &mut c.ws.message_len_max), min: 1, max: 1 << 28 },
        help: "The longest message, over all its fragments; a longer one ends the connection.",
    },
    Key {
        name: "websocket.message_timeout",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.ws.message_time_max, min: SHORTEST, max: LONGEST },
        help: "How long a message may take from its first byte to its last.",
    },
    Key {
        name: "websocket.in_flight_max",
        flag: None,
        kind: Kind::Count { at: Number::Usize(|c| &mut c.ws.in_flight_max), min: 1, max: 1 << 20 },
        help: "How many publishes of one connection may wait for their answer before no more is read from it.",
    },
    Key {
        name: "websocket.subscriptions_max",
        flag: None,
        kind: Kind::Count { at: Number::Usize(|c| &mut c.ws.subscriptions_max), min: 1, max: 1 << 20 },
        help: "How many subscriptions one connection may have.",
    },
    Key {
        name: "websocket.ping_every",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.ws.ping_every, min: SHORTEST, max: LONGEST },
        help: "How often an otherwise silent connection is pinged.",
    },
    Key {
        name: "websocket.silence_max",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.ws.silence_max, min: SHORTEST, max: LONGEST },
        help: "After how long without a word from the client a connection is dead; a pong is a word.",
    },
    Key {
        name: "socketio.enabled",
        flag: None,
        kind: Kind::Switch(|c| &mut c.socketio.is_on),
        help: "Whether Socket.IO is served.",
    },
    Key {
        name: "socketio.path",
        flag: None,
        kind: Kind::Text(|c| &mut c.socketio.edge.path),
        help: "Where it is served: the `path` of its clients, without the last slash.",
    },
    Key {
        name: "socketio.ping_every",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.socketio.edge.ping_every, min: SHORTEST, max: LONGEST },
        help: "How long after the handshake, and after each pong, a client is pinged.",
    },
    Key {
        name: "socketio.pong_max",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.socketio.edge.pong_max, min: SHORTEST, max: LONGEST },
        help: "How long a client may take for its pong before its session ends.",
    },
    Key {
        name: "socketio.payload_max",
        flag: None,
        kind: Kind::Size { at: Number::Usize(|c| &mut c.socketio.edge.payload_max), min: 1_024, max: PAYLOAD_MAX },
        help: "The largest packet of a client; with long polling, the largest payload of packets.",
    },
    Key {
        name: "socketio.connect_timeout",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.socketio.edge.connect_timeout, min: SHORTEST, max: LONGEST },
        help: "How long a newcomer may take to enter a namespace.",
    },
    Key {
        name: "socketio.connects_per_second",
        flag: None,
        kind: Kind::Count { at: Number::U32(|c| &mut c.socketio.edge.connects_per_second), min: 1, max: U32_MAX },
        help: "How many sessions begin in a second at the most, with twice as many at once; others are told when to come back.",
    },
    Key {
        name: "socketio.drain",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.socketio.edge.drain, min: Duration::ZERO, max: LONGEST },
        help: "Over which time clients are sent away when the program ends, so that they come back spread over it.",
    },
    Key {
        name: "frames.addr",
        flag: Some("frames"),
        kind: Kind::Address(|c| &mut c.frames),
        help: "Where it listens; `off` switches it off, port 0 picks a free port.",
    },
    Key {
        name: "frames.tls_addr",
        flag: None,
        kind: Kind::Address(|c| &mut c.tls.frames),
        help: "Where it listens with TLS beside `addr`, which then speaks plain text. `off`: `addr` is the only one.",
    },
    Key {
        name: "frames.max_payload",
        flag: None,
        kind: Kind::Size { at: Number::Usize(|c| &mut c.frames_edge.payload_max), min: 1, max: PAYLOAD_MAX },
        help: "The longest message that is taken.",
    },
    Key {
        name: "frames.idle_timeout",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.frames_edge.idle_timeout, min: SHORTEST, max: LONGEST },
        help: "How long a connection may be silent with nothing owed to it.",
    },
    Key {
        name: "frames.hello_timeout",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.frames_edge.hello_timeout, min: SHORTEST, max: LONGEST },
        help: "How long a newcomer may take for its HELLO.",
    },
    Key {
        name: "frames.in_flight_max",
        flag: None,
        kind: Kind::Count { at: Number::Usize(|c| &mut c.frames_edge.in_flight_max), min: 1, max: 1 << 20 },
        help: "How many messages of one connection may wait for their answers before no more is read from it.",
    },
    Key {
        name: "frames.in_flight_bytes_max",
        flag: None,
        kind: Kind::Size { at: Number::Usize(|c| &mut c.frames_edge.in_flight_bytes_max), min: 1, max: 1 << 30 },
        help: "How many bytes of one connection may wait for their answers before no more is read from it.",
    },
    Key {
        name: "mqtt.addr",
        flag: Some("mqtt"),
        kind: Kind::Address(|c| &mut c.mqtt),
        help: "Where it listens; `off` switches it off, port 0 picks a free port. (MQTT over WebSocket is at `/mqtt` of the \
               HTTP listener.)",
    },
    Key {
        name: "mqtt.tls_addr",
        flag: None,
        kind: Kind::Address(|c| &mut c.tls.mqtt),
        help: "Where it listens with TLS beside `addr`, which then speaks plain text; 8883 is the usual port. `off`: `addr` is \
               the only one.",
    },
    Key {
        name: "mqtt.connect_timeout",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.mqtt_edge.connect_timeout, min: SHORTEST, max: LONGEST },
        help: "How long a newcomer may take for its CONNECT.",
    },
    Key {
        name: "mqtt.packet_len_max",
        flag: None,
        kind: Kind::Size { at: Number::Usize(|c| &mut c.mqtt_edge.packet_len_max), min: 128, max: 256 << 20 },
        help: "The largest packet that is taken.",
    },
    Key {
        name: "mqtt.in_flight_max",
        flag: None,
        kind: Kind::Count { at: Number::U16(|c| &mut c.mqtt_edge.in_flight_max), min: 1, max: u16::MAX as u64 },
        help: "How many publications of one client may wait for their acknowledgements, and how many deliveries to it for \
               its own.",
    },
    Key {
        name: "mqtt.in_flight_bytes_max",
        flag: None,
        kind: Kind::Size { at: Number::Usize(|c| &mut c.mqtt_edge.in_flight_bytes_max), min: 1, max: 1 << 30 },
        help: "How many bytes of one client may wait for the disk before no more is read from it.",
    },
    Key {
        name: "mqtt.subscriptions_max",
        flag: None,
        kind: Kind::Count { at: Number::Usize(|c| &mut c.mqtt_edge.subscriptions_max), min: 1, max: 1 << 20 },
        help: "How many subscriptions one client may have.",
    },
    Key {
        name: "mqtt.keep_alive_max",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.mqtt_edge.keep_alive_max, min: Duration::ZERO, max: LONGEST },
        help: "The longest keep alive: an MQTT 5 client that asks for more, or for none, is told this one. 0 sets no limit.",
    },
    Key {
        name: "mqtt.session_expiry_max",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.mqtt_edge.session_expiry_max, min: Duration::ZERO, max: A_CENTURY },
        help: "How long a session is kept at the most after its connection has ended; a 3.1.1 client that wants one gets \
               this long.",
    },
    Key {
        name: "mqtt.sys_every",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.mqtt_edge.sys_every, min: Duration::ZERO, max: LONGEST },
        help: "How often the `$SYS` topics are told; 0 tells none.",
    },
    Key {
        name: "tls.cert",
        flag: Some("tls"),
        kind: Kind::Cert(|c| &mut c.tls),
        help: "The certificate that listeners show: a file in PEM, our own certificate first, then those between it and the \
               authority. `CERT,KEY` names the key's file too. `auto` makes one in the data folder, for development: clients \
               have no reason to believe it. `off`: no TLS.",
    },
    Key {
        name: "tls.key",
        flag: None,
        kind: Kind::OptionalFile(|c| &mut c.tls.key),
        help: "The certificate's key: a file in PEM that others on the machine can't read.",
    },
    Key {
        name: "tls.listeners",
        flag: None,
        kind: Kind::Protocols(|c| &mut c.tls.listeners),
        help: "Whose `addr` speaks TLS, once there is a certificate. One that has a `tls_addr` speaks it there instead.",
    },
    Key {
        name: "tls.client_ca",
        flag: None,
        kind: Kind::OptionalFile(|c| &mut c.tls.client_ca),
        help: "The authorities whose certificates clients show: a file in PEM.",
    },
    Key {
        name: "tls.client_cert",
        flag: None,
        kind: Kind::Word {
            words: &["off", "optional", "required"],
            set: set_client_cert,
            get: |c| c.tls.client_cert as usize,
        },
        help: "Whether clients are asked for a certificate. `optional`: one that is shown must be good, and who shows none \
               comes in as well. `required`: nobody comes in without a good one.",
    },
    Key {
        name: "tls.handshake_timeout",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.tls.settings.handshake, min: SHORTEST, max: LONGEST },
        help: "How long a handshake may take.",
    },
    Key {
        name: "tls.handshakes_max",
        flag: None,
        kind: Kind::Count { at: Number::Usize(|c| &mut c.tls.settings.handshakes_max), min: 1, max: U32_MAX },
        help: "Handshakes that may go on at once; further connections are closed. Each holds 16 KiB at the most.",
    },
];

fn set_client_cert(config: &mut Config, word: usize) {
    config.tls.client_cert = [Asked::No, Asked::May, Asked::Must][word];
}
