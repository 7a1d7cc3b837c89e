//! Where sessions are kept: each as the latest state of a topic of its own, in the one log, closed to clients.

use headwater_event::{Event, EventId, Filter, Headers, Publication, Refusal, Seq, Text, Time, Topic};
use headwater_hub::Hub;
use sha1::{Digest, Sha1};

use super::seats::Key;
use super::session::{Reader, Saved, Session, Writer};

/// What all of them begin with.
const PREFIX: &str = "$session/mqtt/";

/// What a note of a session begins with that other edges may take over: then comes the edge that wrote it, and the session, or
/// nothing where that has ended.
const SHARED_FORM: u8 = 3;

/// The most terms of one session that are read: those before the newest are cleared by whoever comes next.
const TERMS_MAX: usize = 64;

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

/// Where the connection of this term keeps it: those of other terms keep theirs elsewhere.
fn home_of(session: &Session) -> Topic {
    let topic = topic_of(&session.key);
    if session.term == 0 {
        return topic;
    }
    Topic::new(format!("{topic}/{:016x}", session.term)).expect("a good topic and digits are a good topic")
}

fn note(topic: Topic, payload: Vec<u8>) -> Publication {
    Publication {
        event: Event {
            id: EventId::generate(),
            topic,
            headers: Headers::none(),
            payload: payload.into(),
            at: Time::default(),
        },
        sticky: true,
    }
}

/// What is to be noted so that the session is kept as it is now.
pub(super) fn keep(hub: &Hub, session: &Session, ended: Option<Time>) -> Publication {
    let bytes = session.to_bytes(hub.head().epoch, ended);
    let bytes = if session.term == 0 { bytes } else { shared(session, &bytes) };
    note(home_of(session), bytes)
}

/// What is to be noted so that there is no session any more.
///
/// Where other edges may have older notes of it, this one says for a while that they are worth nothing.
pub(super) fn forget(session: &Session) -> Publication {
    note(home_of(session), if session.term == 0 { Vec::new() } else { shared(session, &[]) })
}

/// What is to be noted so that there is nothing on this topic any more.
pub(super) fn clear(topic: &Topic) -> Publication {
    note(topic.clone(), Vec::new())
}

fn shared(session: &Session, bytes: &[u8]) -> Vec<u8> {
    let mut out = Writer(vec![SHARED_FORM]);
    out.text(&session.place);
    out.0.extend_from_slice(bytes);
    out.0
}

/// One note of a session.
pub(super) struct Note {
    /// Where it stands.
    pub(super) topic: Topic,
    /// Of which connection it is; 0 where that had the log alone.
    pub(super) term: Seq,
    /// What it says; `None` that the session has ended, or what can't be read.
    pub(super) saved: Option<Saved>,
    /// When it was written.
    pub(super) at: Time,
}

impl Note {
    fn read(event: &Event) -> Option<Self> {
        let topic = event.topic.detached();
        let (_, term) = topic.as_str().strip_prefix(PREFIX)?.split_once('/').unwrap_or(("", "0"));
        let term = Seq::from_str_radix(term, 16).ok()?;
        let saved = match event.payload.strip_prefix(&[SHARED_FORM]) {
            None => Session::from_bytes(&event.payload),
            Some(rest) => {
                let mut from = Reader(rest);
                let place: Text = from.text()?.into();
                Session::from_bytes(from.0).map(|mut saved| {
                    (saved.session.term, saved.session.place) = (term, place);
                    saved
                })
            }
        };
        Some(Self { topic, term, saved, at: event.at })
    }

    /// Which session it is of.
    pub(super) fn hash(&self) -> &str {
        self.topic.as_str().get(PREFIX.len()..).and_then(|rest| rest.split('/').next()).unwrap_or_default()
    }
}

/// All notes of this client, the newest term last.
///
/// # Errors
/// When the log can't be read.
pub(super) async fn notes(hub: &Hub, key: &Key) -> Result<Vec<Note>, Refusal> {
    let all = Filter::new(format!("{}/#", topic_of(key))).expect("a good topic and a wildcard are a good filter");
    let page = hub.recall(&all, None, TERMS_MAX).await?;
    let mut notes: Vec<_> = page.events.iter().filter_map(|recorded| Note::read(&recorded.event)).collect();
    // Whose hash is the same is somebody else all the same.
    notes.retain(|note| note.saved.as_ref().is_none_or(|saved| saved.session.key == *key));
    notes.sort_by_key(|note| note.term);
    Ok(notes)
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

/// The next notes of sessions after topic `after`, those of one session by their terms; and where to go on, if there are more.
///
/// # Errors
/// When the log can't be read.
pub(super) async fn page(hub: &Hub, after: Option<&Topic>) -> Result<(Vec<Note>, Option<Topic>), Refusal> {
    let all = Filter::new(format!("{PREFIX}#")).expect("a prefix and a wildcard are a good filter");
    let page = hub.recall(&all, after, PAGE).await?;
    Ok((page.events.iter().filter_map(|recorded| Note::read(&recorded.event)).collect(), page.next))
}
