//! The table of settings: every one, once.

use std::time::Duration;

use headwater_edge::tls::Asked;
use headwater_event::Durability;

use headwater_hub::access::LEEWAY_MAX;

use super::key::{Key, Kind, Number};
use super::{Anonymous, Config};

/// The sections of the settings file, with what they are about; the reference follows this order.
pub const SECTIONS: &[(&str, &str)] = &[
    ("", "What the process is. These stand above the first section."),
    ("data", "Where things are kept."),
    ("http", "The HTTP listener: routes and server-sent events."),
    ("websocket", "WebSockets of the HTTP listener (`/v1/ws`)."),
    (
        "socketio",
        "Socket.IO on the HTTP listener ([socketio.md](socketio.md)); pages of which sites may connect is said by `http.origins`.",
    ),
    ("frames", "The frame protocol listener."),
    ("mqtt", "The MQTT listener."),
    (
        "tls",
        "Encryption in front of the listeners ([tls.md](tls.md)). Certificates are read anew on SIGHUP and when their files change.",
    ),
    ("limits", "How much is taken in. What is beyond is refused at once, in the words of the client's protocol."),
    ("fanout", "How what became durable reaches those who watch."),
    ("log", "The log: how resent events are recognised, how much is kept, how often a checkpoint is written."),
    ("shutdown", "How it ends."),
    ("apps", "The applications that ship with the hub."),
    ("shop", "The web shop ([shop.md](shop.md))."),
    ("alerts", "The public alerts ([alerts.md](alerts.md))."),
    ("access", "Who may do what."),
    ("logging", "What the program tells on stderr."),
];

/// The largest payload that can be allowed: an event is held in memory as a whole, on its way in and for each who watches.
const PAYLOAD_MAX: u64 = 64 << 20;
/// The largest number of 32 bits.
const U32_MAX: u64 = u32::MAX as u64;
/// Below this a timeout only closes good connections.
const SHORTEST: Duration = Duration::from_millis(100);
/// Beyond this a timeout is none.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Longer than any deployment.
const A_CENTURY: Duration = Duration::from_secs(36_500 * 86_400);

/// Engines beside the embedded one.
const ENGINES: &[&str] = &["mqtt", "nats"];
/// Stores.
const STORES: &[&str] = &["sqlite", "postgres", "postgresql"];

/// Every setting.
pub static KEYS: &[Key] = &[
    Key {
        name: "roles",
        flag: Some("roles"),
        kind: Kind::Roles(|c| &mut c.roles),
        help: "What this process does: `all`, or a list of `edge` (clients come in), `console`, `front`, `inventory`, `order` \
               (the shop's parts), `listener`, `processor`, `notifier` (those of the alerts), `work` (all handlers), `log` \
               (the embedded log alone).",
    },
    Key {
        name: "engine",
        flag: Some("engine"),
        kind: Kind::Server { at: |c| &mut c.engine, word: "embedded", schemes: ENGINES },
        help: "What keeps the events: the embedded log, or a server that you run already ([engines.md](engines.md)).",
    },
    Key {
        name: "require_durability",
        flag: Some("require-durability"),
        kind: Kind::Word {
            words: &["auto", "written", "quorum", "synced"],
            set: set_durability,
            get: |c| c.require_durability.map_or(0, |least| 1 + least as usize),
        },
        help: "What an engine's acknowledgement must mean at the least; one that means less is refused at the start. `auto` asks \
               NATS for a quorum, and takes what an MQTT broker has.",
    },
    Key {
        name: "store",
        flag: Some("store"),
        kind: Kind::Server { at: |c| &mut c.store, word: "sqlite", schemes: STORES },
        help: "Where services keep their tables: `sqlite` is a file a service in the data folder, `sqlite:FOLDER` in another \
               one; `postgres://USER:PASSWORD@HOST/DATABASE` is a schema a service.",
    },
    Key {
        name: "data.dir",
        flag: Some("data"),
        kind: Kind::Folder(|c| &mut c.log.folder),
        help: "The folder of the log and of what is derived from it; made when it's missing. One process at a time.",
    },
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
    Key {
        name: "apps.enabled",
        flag: Some("apps"),
        kind: Kind::Apps(|c| &mut c.apps),
        help: "Applications to run: a list of names, or `none`. There are `intake`, `shop` and `alerts`.",
    },
    Key {
        name: "shop.root_paths",
        flag: None,
        kind: Kind::Switch(|c| &mut c.shop.root_paths),
        help: "Whether its routes also stand at `/inventory` and `/order`, without `/shop`.",
    },
    Key {
        name: "shop.release_after",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.shop.release_after, min: Duration::from_secs(1), max: A_CENTURY },
        help: "After how long a reservation is released whose order never came.",
    },
    Key {
        name: "alerts.window",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.alerts.window, min: Duration::ZERO, max: LONGEST },
        help: "The same content within this time counts as one report; 0 counts each.",
    },
    Key {
        name: "alerts.record_kept",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.alerts.record_kept, min: LONGEST, max: A_CENTURY },
        help: "For how long it is on record who sent what.",
    },
    Key {
        name: "alerts.cap_sender",
        flag: None,
        kind: Kind::Text(|c| &mut c.alerts.cap_sender),
        help: "The sender in CAP files that are given out: without spaces, commas, `<` and `&`.",
    },
    Key {
        name: "access.anonymous",
        flag: None,
        kind: Kind::Word { words: &["auto", "all", "none"], set: set_anonymous, get: |c| c.anonymous as usize },
        help: "What clients may do that show nothing: `all` lets everybody publish and watch everywhere but on reserved \
               topics, whatever the rules say; `none` lets none of them in; `auto` leaves it to the role `anonymous`. \
               While there is no settings file, no rules' file, and every listener is on loopback, `auto` is `all`.",
    },
    Key {
        name: "access.users_file",
        flag: None,
        kind: Kind::AutoFile(|c| &mut c.access.users_file),
        help: "The users, as `headwater user` writes them; `auto` is `users.toml` in the data folder, where there is one.",
    },
    Key {
        name: "access.rules_file",
        flag: None,
        kind: Kind::AutoFile(|c| &mut c.access.rules_file),
        help: "What each role may publish and watch; `auto` is `rules.toml` in the data folder, where there is one. \
               Without rules nobody may anything.",
    },
    Key {
        name: "access.token_keys_file",
        flag: None,
        kind: Kind::OptionalFile(|c| &mut c.access.token_keys_file),
        help: "The keys that tokens are signed with, a JWK set; without it no token is taken.",
    },
    Key {
        name: "access.token_issuer",
        flag: None,
        kind: Kind::Text(|c| &mut c.access.tokens.issuer),
        help: "Who must have made a token (`iss`), letter by letter.",
    },
    Key {
        name: "access.token_audience",
        flag: None,
        kind: Kind::Text(|c| &mut c.access.tokens.audience),
        help: "Whom a token must be meant for (`aud`).",
    },
    Key {
        name: "access.token_user_claim",
        flag: None,
        kind: Kind::Text(|c| &mut c.access.tokens.user_claim),
        help: "Which claim of a token is the user's name.",
    },
    Key {
        name: "access.token_roles_claim",
        flag: None,
        kind: Kind::Text(|c| &mut c.access.tokens.roles_claim),
        help: "Which claim of a token lists the user's roles; a dot leads into an object (`realm_access.roles`).",
    },
    Key {
        name: "access.token_leeway",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.access.tokens.leeway, min: Duration::ZERO, max: LEEWAY_MAX },
        help: "How far the issuer's clock may be from ours.",
    },
    Key {
        name: "access.ask_service",
        flag: None,
        kind: Kind::Switch(|c| &mut c.access.asks_service),
        help: "Whether those whom users and keys don't know are asked about: a service that watches `$auth/ask` answers \
               ([access.md](access.md)).",
    },
    Key {
        name: "access.service_wait",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.access.asking.wait, min: SHORTEST, max: Duration::from_secs(60) },
        help: "How long its answer may take.",
    },
    Key {
        name: "access.service_holds",
        flag: None,
        kind: Kind::Span { at: |c| &mut c.access.asking.holds, min: Duration::from_secs(1), max: LONGEST },
        help: "For how long an answer holds that doesn't say so itself.",
    },
    Key {
        name: "logging.level",
        flag: None,
        kind: Kind::Levels(|c| &mut c.logging.level),
        help: "How much is told: `error`, `warn`, `info`, `debug`, `trace`, `off`, also by module (`info,headwater_hub=debug`).",
    },
    Key {
        name: "logging.json",
        flag: None,
        kind: Kind::Switch(|c| &mut c.logging.json),
        help: "One JSON object a line in place of text.",
    },
];

fn set_client_cert(config: &mut Config, word: usize) {
    config.tls.client_cert = [Asked::No, Asked::May, Asked::Must][word];
}

fn set_durability(config: &mut Config, word: usize) {
    config.require_durability =
        [None, Some(Durability::Written), Some(Durability::Quorum), Some(Durability::Synced)][word];
}

fn set_anonymous(config: &mut Config, word: usize) {
    config.anonymous = [Anonymous::Auto, Anonymous::All, Anonymous::None][word];
}

/// The setting of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
