//! What a node says of itself, as JSON on `$SYS/nodes/ID`; what others say is read as any stranger's word.

use std::time::Duration;

use bytes::Bytes;
use headwater_event::{Event, EventId, Headers, Publication, Text, Time, Topic};
use serde_json::{Value, json};
use uuid::Uuid;

use super::id::check_id;
use super::{BEAT_EVERY, PREFIX};
use crate::console::moment;

/// The longest word of a node that is read: twenty groups and a reason why it isn't ready, twice over.
pub const BEAT_LEN_MAX: usize = 16 * 1_024;

/// How many groups, and roles, of a node are told.
pub const LISTED_MAX: usize = 32;

/// The longest text within a beat that is kept; longer ones are cut.
const TEXT_LEN_MAX: usize = 256;

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It says so.
    Alive,
    /// Nothing was heard of it for too long.
    Missed,
    /// It has said that it ends.
    Ended,
}

impl State {
    /// Its word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Missed => "missed",
            Self::Ended => "ended",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Alive, Self::Missed, Self::Ended].into_iter().find(|state| state.name() == name)
    }
}

/// How one group stands with a node.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupLag {
    /// The group.
    pub name: String,
    /// How many events it is behind.
    pub backlog: u64,
    /// Whether that is the very number.
    pub is_exact: bool,
    /// The age of the oldest that isn't settled, in seconds; 0 where none waits.
    pub oldest_unsettled_s: f64,
}

/// A node's word.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    /// Who.
    pub id: String,
    /// How it is.
    pub state: State,
    /// Which of its lives: another after every start.
    pub life: String,
    /// Counts its beats in this life.
    pub number: u64,
    /// How often it says so, in milliseconds.
    pub every_ms: u64,
    /// When it began.
    pub started: Time,
    /// When it said this, by its own clock.
    pub at: Time,
    /// What it is the program of.
    pub version: String,
    /// What it does.
    pub roles: Vec<String>,
    /// Where its events are; without a password.
    pub engine: String,
    /// What an acknowledgement means there.
    pub durability: String,
    /// Why it can't do its work, when it can't.
    pub failing: Option<String>,
    /// Present connections.
    pub connections: u64,
    /// Events that became durable by it, a second.
    pub events_per_s: f64,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// Processor time a second, in cores.
    pub cpu: f64,
    /// The groups that it works in.
    pub groups: Vec<GroupLag>,
}

impl Beat {
    /// What a node says before it has said anything.
    pub fn first(id: &str, every: Duration, now: Time, roles: Vec<String>, engine: &str, durability: &str) -> Self {
        Self {
            id: id.to_owned(),
            state: State::Alive,
            life: Uuid::now_v7().simple().to_string(),
            number: 0,
            every_ms: u64::try_from(every.as_millis()).unwrap_or(u64::MAX),
            started: now,
            at: now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            roles,
            engine: engine.to_owned(),
            durability: durability.to_owned(),
            failing: None,
            connections: 0,
            events_per_s: 0.0,
            memory_bytes: 0,
            cpu: 0.0,
            groups: Vec::new(),
        }
    }

    /// The topic of a node's state.
    pub fn topic(id: &str) -> Option<Topic> {
        Topic::new(format!("{PREFIX}{id}")).ok()
    }

    /// As it's written; what `more` says stands beside it.
    pub fn to_json(&self) -> Value {
        let groups = self.groups.iter().map(|group| {
            json!({
                "name": group.name,
                "backlog": group.backlog,
                "backlog_exact": group.is_exact,
                "oldest_unsettled_s": thousandths(group.oldest_unsettled_s),
            })
        });
        json!({
            "id": self.id,
            "state": self.state.name(),
            "life": self.life,
            "beat": self.number,
            "every_ms": self.every_ms,
            "started": moment(self.started),
            "started_us": self.started.as_micros(),
            "at": moment(self.at),
            "at_us": self.at.as_micros(),
            "version": self.version,
            "roles": self.roles,
            "engine": self.engine,
            "durability": self.durability,
            "ready": self.failing.is_none(),
            "failing": self.failing,
            "load": {
                "connections": self.connections,
                "events_per_s": thousandths(self.events_per_s),
                "memory_bytes": self.memory_bytes,
                "cpu": thousandths(self.cpu),
            },
            "groups": groups.collect::<Vec<_>>(),
        })
    }

    /// As it's told.
    pub fn event(&self) -> Option<Event> {
        event(Self::topic(&self.id)?, EventId::generate(), &self.to_json())
    }

    /// As the node's state, under an id that follows from what it says: two that write the same write one.
    pub fn sticky(&self) -> Option<Publication> {
        let id = format!("node/{}/{}/{}/{}", self.id, self.life, self.number, self.state.name());
        let event = event(Self::topic(&self.id)?, EventId::Text(Text::from(id)), &self.to_json())?;
        Some(Publication { event, sticky: true })
    }

    /// What a node said; `None` for what no node says.
    pub fn read(topic: &str, payload: &[u8]) -> Option<Self> {
        let id = topic.strip_prefix(PREFIX)?;
        if payload.len() > BEAT_LEN_MAX {
            return None;
        }
        let said: Value = serde_json::from_slice(payload).ok()?;
        if said.get("id")?.as_str()? != id || check_id(id).is_err() {
            return None;
        }
        let life = said.get("life")?.as_str().filter(|life| check_id(life).is_ok())?;
        let load = said.get("load");
        let of_load = |name: &str| load.and_then(|load| load.get(name));
        let groups = said.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Some(Self {
            id: id.to_owned(),
            state: State::of(said.get("state")?.as_str()?)?,
            life: life.to_owned(),
            number: said.get("beat")?.as_u64()?,
            // A node that says it beats every week would never be missed.
            every_ms: said.get("every_ms")?.as_u64()?.clamp(EVERY_MS_MIN, EVERY_MS_MAX),
            started: Time(said.get("started_us").and_then(Value::as_u64).unwrap_or(0).min(TIME_MAX)),
            at: Time(said.get("at_us").and_then(Value::as_u64).unwrap_or(0).min(TIME_MAX)),
            version: text(said.get("version")),
            roles: texts(said.get("roles")),
            engine: text(said.get("engine")),
            durability: text(said.get("durability")),
            failing: said.get("failing").filter(|why| why.is_string()).map(|why| text(Some(why))),
            connections: whole(of_load("connections")),
            events_per_s: real(of_load("events_per_s")),
            memory_bytes: whole(of_load("memory_bytes")),
            cpu: real(of_load("cpu")),
            groups: groups.iter().take(LISTED_MAX).filter_map(GroupLag::read).collect(),
        })
    }

    /// Whether something is other than before that doesn't change from beat to beat.
    pub fn is_other_than(&self, before: &Self) -> bool {
        let what = |beat: &Self| (beat.state, beat.life.clone(), beat.version.clone(), beat.roles.clone());
        let how = |beat: &Self| (beat.engine.clone(), beat.durability.clone(), beat.failing.is_some());
        what(self) != what(before) || how(self) != how(before)
    }
}

impl GroupLag {
    fn read(said: &Value) -> Option<Self> {
        Some(Self {
            name: said.get("name").filter(|name| name.is_string()).map(|name| text(Some(name)))?,
            backlog: said.get("backlog")?.as_u64()?,
            is_exact: said.get("backlog_exact").and_then(Value::as_bool).unwrap_or(false),
            oldest_unsettled_s: real(said.get("oldest_unsettled_s")),
        })
    }
}

/// Between these a node may beat.
const EVERY_MS_MIN: u64 = 100;
const EVERY_MS_MAX: u64 = 60_000;
const _: () = assert!(BEAT_EVERY.as_millis() as u64 > EVERY_MS_MIN && (BEAT_EVERY.as_millis() as u64) < EVERY_MS_MAX);

/// The year 9999: what lies behind can't be written.
const TIME_MAX: u64 = 253_402_300_799_000_000;

/// An event that is JSON.
pub fn event(topic: Topic, id: EventId, payload: &Value) -> Option<Event> {
    let headers = Headers::from_pairs([(Headers::CONTENT_TYPE, "application/json")]).ok()?;
    Some(Event { id, topic, headers, payload: Bytes::from(payload.to_string()), at: Time(0) })
}

/// A number as people read it.
fn thousandths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_LEN_MAX)].to_owned()
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).map(cut).unwrap_or_default()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().take(LISTED_MAX).filter_map(Value::as_str).map(cut).collect()
}

fn whole(value: Option<&Value>) -> u64 {
    value.and_then(Value::as_u64).unwrap_or(0)
}

fn real(value: Option<&Value>) -> f64 {
    value.and_then(Value::as_f64).filter(|value| value.is_finite() && *value >= 0.0).unwrap_or(0.0)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A node's word for tests.
    pub fn beat(id: &str, life: &str, number: u64) -> Beat {
        Beat {
            id: id.into(),
            state: State::Alive,
            life: life.into(),
            number,
            every_ms: 2_000,
            started: Time(1_700_000_000_000_000),
            at: Time(1_700_000_001_000_000),
            version: "0.1.0".into(),
            roles: vec!["edge".into(), "console".into()],
            engine: "embedded".into(),
            durability: "synced".into(),
            failing: None,
            connections: 3,
            events_per_s: 12.5,
            memory_bytes: 1 << 20,
            cpu: 0.25,
            groups: vec![GroupLag {
                name: "service/\"a\"".into(),
                backlog: 7,
                is_exact: true,
                oldest_unsettled_s: 0.125,
            }],
        }
    }

    #[test]
    fn a_beat_reads_back_and_is_small() {
        let said = beat("web-1", "l1", 9);
        let event = said.event().unwrap();
        assert_eq!(event.topic.as_str(), "$SYS/nodes/web-1");
        assert!(event.payload.len() < 1_024, "{}", event.payload.len());
        assert_eq!(Beat::read(event.topic.as_str(), &event.payload), Some(said));
    }

    #[test]
    fn what_no_node_says_is_passed_over_and_what_is_too_long_is_cut() {
        let topic = "$SYS/nodes/a";
        let good = beat("a", "l", 1).to_json();
        assert!(Beat::read(topic, good.to_string().as_bytes()).is_some());
        let with = |name: &str, value: Value| {
            let mut said = good.clone();
            said[name] = value;
            Beat::read(topic, said.to_string().as_bytes())
        };
        for (name, value) in [
            ("id", json!("b")),
            ("id", json!(7)),
            ("state", json!("asleep")),
            ("life", json!("a/b")),
            ("beat", json!(-1)),
            ("every_ms", json!("2000")),
        ] {
            assert_eq!(with(name, value.clone()), None, "{name} {value}");
        }
        assert_eq!(with("every_ms", json!(0)).unwrap().every_ms, EVERY_MS_MIN);
        assert_eq!(with("every_ms", json!(u64::MAX)).unwrap().every_ms, EVERY_MS_MAX);
        assert_eq!(with("engine", json!("ü".repeat(1_000))).unwrap().engine.len(), TEXT_LEN_MAX);
        assert_eq!(with("roles", json!(vec!["x"; 1_000])).unwrap().roles.len(), LISTED_MAX);
        assert_eq!(with("load", json!({"cpu": -1.0, "connections": "many"})).unwrap().connections, 0);
        assert!(with("started_us", json!(u64::MAX)).is_some_and(|beat| beat.event().is_some()));
        for payload in [&b""[..], b"{", b"[]", b"null", &[0xff; 32], &vec![b' '; BEAT_LEN_MAX + 1]] {
            assert_eq!(Beat::read(topic, payload), None);
        }
        for topic in ["$SYS/nodes/", "$SYS/nodes/a/b", "$SYS/broker/a", "a", "$SYS/nodes/b"] {
            assert_eq!(Beat::read(topic, good.to_string().as_bytes()), None, "{topic}");
        }
    }

    #[test]
    fn load_is_no_change_and_all_else_is() {
        let before = beat("a", "l", 1);
        let mut after = Beat { number: 2, cpu: 3.0, groups: Vec::new(), ..before.clone() };
        assert!(!after.is_other_than(&before));
        after.failing = Some("the disk is full".into());
        assert!(after.is_other_than(&before));
        let ended = Beat { state: State::Ended, ..before.clone() };
        assert!(ended.is_other_than(&before));
    }
}
