//! The table of settings: every one, once.

use super::key::{Key, Kind};
use super::{Anonymous, Config};

/// The sections of the settings file, with what they are about; the reference follows this order.
pub const SECTIONS: &[(&str, &str)] = &[
    ("", "What the process is. These stand above the first section."),
    ("data", "Where things are kept."),
    ("http", "The HTTP listener: routes, server-sent events, WebSocket."),
    ("frames", "The frame protocol listener."),
    ("mqtt", "The MQTT listener."),
    ("apps", "The applications that ship with the hub."),
    ("access", "Who may do what."),
    ("logging", "What the program tells on stderr."),
];

/// Every setting.
pub static KEYS: &[Key] = &[
    Key {
        name: "roles",
        flag: Some("roles"),
        kind: Kind::NotYet {
            only: "all",
            sentence: "this version does everything in one process: leave it out, or say \"all\"",
        },
        help: "What this process does. This version does everything in one process.",
    },
    Key {
        name: "engine",
        flag: Some("engine"),
        kind: Kind::NotYet {
            only: "embedded",
            sentence: "this version has one engine: leave it out, or say \"embedded\"",
        },
        help: "What keeps the events. This version has the embedded log alone.",
    },
    Key {
        name: "store",
        flag: Some("store"),
        kind: Kind::NotYet {
            only: "none",
            sentence: "this version has no services that need a store: leave it out, or say \"none\"",
        },
        help: "Where services keep their tables. This version has no services.",
    },
    Key {
        name: "data.dir",
        flag: Some("data"),
        kind: Kind::Folder(|c| &mut c.data_dir),
        help: "The folder of the log and of what is derived from it; made when it's missing. One process at a time.",
    },
    Key {
        name: "http.addr",
        flag: Some("http"),
        kind: Kind::Address(|c| &mut c.http),
        help: "Where it listens; `off` switches it off, port 0 picks a free port.",
    },
    Key {
        name: "frames.addr",
        flag: Some("frames"),
        kind: Kind::Address(|c| &mut c.frames),
        help: "Where it listens; `off` switches it off, port 0 picks a free port.",
    },
    Key {
        name: "mqtt.addr",
        flag: Some("mqtt"),
        kind: Kind::NotYet { only: "off", sentence: "this version has no MQTT yet: leave it out, or say \"off\"" },
        help: "Where it listens. This version has no MQTT yet, so it is always `off`.",
    },
    Key {
        name: "apps.enabled",
        flag: Some("apps"),
        kind: Kind::Apps(|c| &mut c.apps),
        help: "Applications to run: a list of names, or `none`. There is `intake`.",
    },
    Key {
        name: "access.anonymous",
        flag: None,
        kind: Kind::Word { words: &["auto", "all", "none"], set: set_anonymous, get: |c| c.anonymous as usize },
        help: "What clients may do: `all` lets everybody publish and watch everywhere but on reserved topics, `none` \
               nobody anywhere. `auto` is `all` while there is no settings file and every listener is on loopback, and \
               `none` otherwise. Users and rules come with a later version.",
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

fn set_anonymous(config: &mut Config, word: usize) {
    config.anonymous = [Anonymous::Auto, Anonymous::All, Anonymous::None][word];
}

/// The setting of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
