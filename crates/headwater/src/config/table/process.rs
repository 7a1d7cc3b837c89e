//! What the process is, and where its data lies.

use std::time::Duration;

use headwater_event::Durability;

use super::A_CENTURY;
use crate::config::Config;
use crate::config::key::{Key, Kind};

/// Engines beside the embedded one.
const ENGINES: &[&str] = &["mqtt", "nats", "amqp"];
/// Where an engine's state may be.
const STATES: &[&str] = &["redis"];
/// Stores.
const STORES: &[&str] = &["sqlite", "postgres", "postgresql"];

/// These settings.
pub(super) const KEYS: &[Key] = &[
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
        name: "state",
        flag: Some("state"),
        kind: Kind::Server { at: |c| &mut c.state, word: "none", schemes: STATES },
        help: "Where RabbitMQ's latest states, ids and dead letters are kept: a Redis, `redis://USER:PASSWORD@HOST:PORT`. \
               `amqp://` can't do without; the other engines have no use for it.",
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
        name: "start_wait",
        flag: Some("start-wait"),
        kind: Kind::Span { at: |c| &mut c.start_wait, min: Duration::ZERO, max: A_CENTURY },
        help: "For how long a start waits for an engine, its state or a PostgreSQL that can't be reached yet: it's tried again \
               with back-off. With `0 s` the program ends at once, with exit code 2. A server that is reached and says no (a \
               wrong password, one that is too old) ends it at once in any case.",
    },
    Key {
        name: "node_id",
        flag: Some("node-id"),
        kind: Kind::Text(|c| &mut c.node_id),
        help: "What this process is called among others, on `$SYS/nodes/ID` and in the console ([operating.md](operating.md)): up \
               to 128 letters, digits, `-`, `_` and `.`, of no other process. `auto` makes one of the host's name, the roles \
               and a suffix that stays with the data folder.",
    },
    Key {
        name: "data.dir",
        flag: Some("data"),
        kind: Kind::Folder(|c| &mut c.log.folder),
        help: "The folder of the log and of what is derived from it; made when it's missing. One process at a time.",
    },
];

fn set_durability(config: &mut Config, word: usize) {
    config.require_durability =
        [None, Some(Durability::Written), Some(Durability::Quorum), Some(Durability::Synced)][word];
}
