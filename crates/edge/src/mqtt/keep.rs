//! Where sessions are kept: each as the latest state of a topic of its own, in the one log, closed to clients.

use headwater_event::{Event, EventId, Filter, Headers, Publication, Refusal, Text, Time, Topic};
use headwater_hub::Hub;
use sha1::{Digest, Sha1};

use super::seats::Key;
use super::session::{Saved, Session};

/// What all of them begin with.
const PREFIX: &str = "$session/mqtt/";

/// How much of the hash marks a client: 64 bits.
const MARK_LEN: usize = 16;

/// How many sessions are read at a time when all are looked through.
const PAGE: usize = 64;

/// The topic of a session. Client ids may have any character, so it is named by a hash; the session itself tells whose it is.
fn topic_of(key: &Key) -> Topic {
    use std::fmt::Write as _;
    let mut hash = Sha1::new();
    hash.update((key.principal().len() as u64).to_be_bytes());
    hash.update(key.principal());
    hash.update(key.client());
    let mut text = PREFIX.to_owned();
    for byte in hash.finalize() {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    Topic::new(text).expect("a prefix and hexadecimal digits are a good topic")
}

/// What a client's publications are marked with, once it has a subscription that leaves its own out: the same on each of its
/// connections, and nothing that tells others who it is.
pub(super) fn mark_of(key: &Key) -> Text {
    let topic = topic_of(key);
    topic.as_str().get(PREFIX.len()..PREFIX.len() + MARK_LEN).unwrap_or_default().into()
}

fn note(key: &Key, payload: Vec<u8>) -> Publication {
    Publication {
        event: Event {
            id: EventId::generate(),
            topic: topic_of(key),
            headers: Headers::none(),
            payload: payload.into(),
            at: Time::default(),
        },
        sticky: true,
    }
}

/// What is to be noted so that the session is kept as it is now.
pub(super) fn keep(hub: &Hub, session: &Session, ended: Option<Time>) -> Publication {
    note(&session.key, session.to_bytes(hub.head().epoch, ended))
}

/// What is to be noted so that there is no session any more.
pub(super) fn forget(key: &Key) -> Publication {
    note(key, Vec::new())
}

/// The session of this client, and when it was saved.
///
/// # Errors
/// When the log can't be read.
pub(super) async fn load(hub: &Hub, key: &Key) -> Result<Option<(Saved, Time)>, Refusal> {
    let page = hub.recall(&Filter::from(&topic_of(key)), None, 1).await?;
    let Some(recorded) = page.events.into_iter().next() else { return Ok(None) };
    let saved = Session::from_bytes(&recorded.event.payload).filter(|saved| saved.session.key == *key);
    if saved.is_none() {
        tracing::warn!(topic = recorded.event.topic.as_str(), "a session can't be read, and begins anew");
    }
    Ok(saved.map(|saved| (saved, recorded.event.at)))
}

/// The next sessions after topic `after`, each with the time when it was saved; and where to go on, if there are more.
///
/// # Errors
/// When the log can't be read.
pub(super) async fn page(hub: &Hub, after: Option<&Topic>) -> Result<(Vec<(Saved, Time)>, Option<Topic>), Refusal> {
    let all = Filter::new(format!("{PREFIX}#")).expect("a prefix and a wildcard are a good filter");
    let page = hub.recall(&all, after, PAGE).await?;
    let read = |event: &Event| Some((Session::from_bytes(&event.payload)?, event.at));
    Ok((page.events.iter().filter_map(|recorded| read(&recorded.event)).collect(), page.next))
}
