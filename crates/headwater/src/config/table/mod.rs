//! The table of settings: every one, once, a file for what belongs together.

mod access;
mod apps;
mod hub;
mod listeners;
mod process;

use std::time::Duration;

use super::key::Key;

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
pub(super) const PAYLOAD_MAX: u64 = 64 << 20;

/// The largest number of 32 bits.
pub(super) const U32_MAX: u64 = u32::MAX as u64;

/// Below this a timeout only closes good connections.
pub(super) const SHORTEST: Duration = Duration::from_millis(100);

/// Beyond this a timeout is none.
pub(super) const LONGEST: Duration = Duration::from_secs(86_400);

/// Longer than any deployment.
pub(super) const A_CENTURY: Duration = Duration::from_secs(36_500 * 86_400);

/// The parts in the order of the settings file.
const PARTS: [&[Key]; 5] = [process::KEYS, listeners::KEYS, hub::KEYS, apps::KEYS, access::KEYS];

/// Every setting.
pub static KEYS: &[Key] = &joined::<{ len() }>();

const fn len() -> usize {
    let (mut len, mut part) = (0, 0);
    while part < PARTS.len() {
        len += PARTS[part].len();
        part += 1;
    }
    len
}

/// The parts as one table, put together by the compiler.
const fn joined<const N: usize>() -> [Key; N] {
    let mut all = [PARTS[0][0]; N];
    let (mut at, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut key = 0;
        while key < PARTS[part].len() {
            all[at] = PARTS[part][key];
            at += 1;
            key += 1;
        }
        part += 1;
    }
    all
}

/// The setting of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
