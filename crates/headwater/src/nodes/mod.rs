//! Which processes there are: each says every two seconds that it is there, and those that watch say when one is missed.
//!
//! `docs/decisions/nodes.md` has the reasons. In short: a beat is told to whoever listens and kept nowhere, since one sync and
//! one record every two seconds and process would be most of what an idle log does; the sticky topic `$SYS/nodes/ID` is written
//! when something about a process changes: it comes, it is another than before, it is missed, it ends. A process that is alone
//! with its embedded log writes nothing at all: its state is remembered in memory.

mod beat;
mod id;
mod known;
mod lags;
mod node;
mod roster;
mod sample;

pub use beat::State;
pub use id::{AUTO, check_id};
pub use known::{Nodes, Start, Watching};
pub use lags::Lags;
pub use roster::Seen;

use std::time::Duration;

/// How often a process says that it is there: a person who looks sees a node that has gone within seconds, and the cost is
/// a few hundred bytes that go to no disk.
pub const BEAT_EVERY: Duration = Duration::from_secs(2);

/// How many beats may be missing before a node is missed: one may be lost, a second may be late.
pub const MISSED_BEATS: u32 = 3;

/// How often it's looked who is overdue. A missed node is told within `MISSED_BEATS * BEAT_EVERY` and this: seven seconds.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many nodes are known at once: others are not listed. A hub of so many processes is none that we have seen.
pub const NODES_MAX: usize = 1_024;

/// How long a node that has ended, or is missed, stays on the list.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What all topics of nodes begin with.
pub const PREFIX: &str = "$SYS/nodes/";

/// The filter of the nodes' states.
pub const STATES: &str = "$SYS/nodes/+";

/// What other processes' words begin with where they come by our own MQTT edge.
pub const OVERHEARD: &str = "_headwater/talk/";
