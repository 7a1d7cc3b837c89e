//! The namespace of the hub's topics: publish and subscribe, with the members that `/v1/ws` has.

use headwater_event::{Event, EventId, Publication, Recorded, Refusal, Time, json};
use serde_json::value::RawValue;

use super::namespaces::{Deed, Namespace, Said, Welcome, Wish};
use crate::ws::request::{self, Request};

/// A namespace whose rooms are filters. A client emits `subscribe`, `unsubscribe` or `publish` with one object.
#[derive(Clone, Debug)]
pub struct Topics {
    name: String,
}

impl Topics {
    /// Under this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

impl Namespace for Topics {
    fn name(&self) -> &str {
        &self.name
    }

    fn welcome(&self, _: &RawValue) -> Welcome {
        Welcome::default()
    }

    fn on(&self, said: &Said<'_>) -> Vec<Deed> {
        let op = match said.name {
            "join" => "subscribe",
            "leave" => "unsubscribe",
            name @ ("subscribe" | "unsubscribe" | "publish") => name,
            _ => return vec![refuse("clients may say `subscribe`, `unsubscribe` and `publish` here")],
        };
        let Some(members) = said.arguments.first().and_then(|argument| argument.get().strip_prefix('{')) else {
            return vec![refuse("the first argument is an object, as of the requests of /v1/ws")];
        };
        let comma = if members.trim_start().starts_with('}') { "" } else { "," };
        let asked = request::read(&format!("{{\"op\":\"{op}\"{comma}{members}"));
        vec![match asked.request {
            Ok(Request::Subscribe(asked)) => Deed::Watch(Wish {
                filter: asked.filter,
                from: asked.from,
                sticky: asked.sticky,
                is_only_states: false,
                behind: asked.behind,
            }),
            Ok(Request::Unsubscribe(filter)) => Deed::Unwatch(filter),
            Ok(Request::Publish(publish)) => {
                let request::Publish { topic, id, headers, mut payload, sticky } = *publish;
                // Bytes may come as an attachment behind the object, as it is.
                if let Some(bytes) = said.arguments.get(1).and_then(|argument| said.packet.attachment(argument)) {
                    payload = bytes.clone();
                }
                let id = id.unwrap_or_else(EventId::generate);
                // The hub stamps the time.
                let event = Event { id, topic, headers, payload, at: Time::default() };
                Deed::Publish(Box::new(Publication { event, sticky }))
            }
            Ok(Request::Ping) => Deed::Ack("{\"ok\":true}".into(), Vec::new()),
            Err(refusal) => Deed::Refuse(refusal),
        }]
    }

    fn spell(&self, recorded: &Recorded, is_state: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(if is_state { b"\"state\"," } else { b"\"event\"," });
        json::write_event(recorded, out);
    }
}

fn refuse(why: &str) -> Deed {
    Deed::Refuse(Refusal::Malformed(why.into()))
}
