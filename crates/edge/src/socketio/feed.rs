//! A namespace that tells everybody in it what happens on one filter.

use std::fmt;
use std::sync::Arc;

use headwater_event::{Filter, Recorded, Refusal, Topic};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::namespaces::{Deed, Namespace, Said, Welcome, Wish};

/// How the event about a topic is called; `None` when clients aren't told of it.
pub type Naming = Arc<dyn Fn(&Topic) -> Option<&'static str> + Send + Sync>;

/// How a state is spelled in place of its payload; `None` when it's told as it is.
pub type Respelling = Arc<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// What belongs to a room.
pub type Rooming = Arc<dyn Fn(&str) -> Option<Filter> + Send + Sync>;

/// A namespace whose clients need not ask: whoever is in it is told what happens on its filter.
///
/// A client that shows `withState: true` gets the latest states first; one that emits `join` with a room's name, or an
/// object with the name as `location` or `room`, gets those of that room.
#[derive(Clone)]
pub struct Feed {
    /// The namespace's name.
    pub name: String,
    /// What everybody is told.
    pub filter: Filter,
    /// How the event about a topic is called; `None` when clients aren't told of it.
    pub event: Naming,
    /// How a state is spelled in place of its payload; `None` when it's told as it is.
    pub state: Respelling,
    /// What belongs to a room.
    pub room: Rooming,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("name", &self.name).field("filter", &self.filter).finish_non_exhaustive()
    }
}

#[derive(Default, Deserialize)]
struct Shown {
    #[serde(default, rename = "withState")]
    with_state: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Room {
    Name(String),
    Named {
        #[serde(alias = "room")]
        location: String,
    },
}

impl Namespace for Feed {
    fn name(&self) -> &str {
        &self.name
    }

    fn welcome(&self, auth: &RawValue) -> Welcome {
        let shown: Shown = serde_json::from_str(auth.get()).unwrap_or_default();
        let wish = Wish::now(self.filter.clone(), shown.with_state == true);
        Welcome { watch: Some(wish), ..Welcome::default() }
    }

    fn recovers(&self) -> bool {
        true
    }

    fn tells_offset_apart(&self) -> bool {
        true
    }

    fn on(&self, said: &Said<'_>) -> Vec<Deed> {
        let room = said.arguments.first().and_then(|room| serde_json::from_str(room.get()).ok());
        let named = room.and_then(|(Room::Name(name) | Room::Named { location: name })| (self.room)(&name));
        vec![match (said.name, named) {
            ("join", Some(filter)) => Deed::Watch(Wish::states(filter)),
            // Whoever is here is told of all rooms.
            ("leave", Some(_)) => Deed::Ack("{\"ok\":true}".into(), Vec::new()),
            ("join" | "leave", None) => Deed::Refuse(Refusal::Malformed("there is no such room".into())),
            _ => Deed::Refuse(Refusal::Malformed("clients may say `join` and `leave` here".into())),
        }]
    }

    fn spell(&self, recorded: &Recorded, is_state: bool, out: &mut Vec<u8>) {
        let payload = &recorded.event.payload;
        let Some(name) = (self.event)(&recorded.event.topic).filter(|_| !payload.is_empty()) else { return };
        let changed = is_state.then(|| (self.state)(payload)).flatten();
        let payload = changed.as_deref().unwrap_or(payload);
        // What is no JSON can't be an argument as it is.
        let Ok(json) = serde_json::from_slice::<&RawValue>(payload) else { return };
        headwater_event::json::write_str(name, out);
        out.push(b',');
        out.extend_from_slice(json.get().as_bytes());
    }
}
