//! Where sessions are kept: each as the latest state of a topic of its own, in the one log, closed to clients.

use headwater_event::{Event, EventId, Filter, Headers, Publication, Refusal, Seq, Text, Time, Topic};
use headwater_hub::Hub;
use sha1::{Digest, Sha1};

use super::seats::Key;
use super::session::{Reader, Saved, Session, Writer};

/// What all of them begin with.
const PREFIX: &str = "$session/mqtt/";

/// What a note of a session begins with that other edges may take over: then comes the edge that wrote it, the term of its
/// connection, and the session, or one that isn't kept where that has
/// ended.
const SHARED_FORM: u8 = 3;

/// The most notes of one session that are read at a time: each edge has one at the most.
const NOTES_PAGE: usize = 64;

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

/// Where this edge keeps it. Nobody else writes there, and of its own connections one at a time.
fn home_of(session: &Session) -> Topic {
    let topic = topic_of(&session.key);
    if session.term == 0 {
        return topic;
    }
    Topic::new(format!("{topic}/{}", session.home)).expect("a good topic and a name are a good topic")
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
    let ended = || Session::new(session.key.clone(), 0).to_bytes(0, None);
    note(home_of(session), if session.term == 0 { Vec::new() } else { shared(session, &ended()) })
}

/// What is to be noted so that there is nothing on this topic any more.
pub(super) fn clear(topic: &Topic) -> Publication {
    note(topic.clone(), Vec::new())
}

fn shared(session: &Session, bytes: &[u8]) -> Vec<u8> {
    let mut out = Writer(vec![SHARED_FORM]);
    out.text(&session.place);
    out.number(session.term);
    out.0.extend_from_slice(bytes);
    out.0
}

/// One note of a session.
pub(super) struct Note {
    /// Where it stands.
    pub(super) topic: Topic,
    /// Which edge wrote it, in which life of its process.
    pub(super) place: Text,
    /// Of which connection it is; 0 where that had the log alone.
    pub(super) term: Seq,
    /// Of whom, where it can be read.
    pub(super) key: Option<Key>,
    /// What it says; `None` that the session has ended, or what can't be read.
    pub(super) saved: Option<Saved>,
    /// When it was written.
    pub(super) at: Time,
}

fn key_of(saved: Option<&Saved>) -> Option<Key> {
    saved.map(|saved| saved.session.key.clone())
}

impl Note {
    fn read(event: &Event) -> Option<Self> {
        let topic = event.topic.detached();
        let Some(rest) = event.payload.strip_prefix(&[SHARED_FORM]) else {
            let saved = Session::from_bytes(&event.payload);
            return Some(Self {
                topic,
                place: Text::default(),
                term: 0,
                key: key_of(saved.as_ref()),
                saved,
                at: event.at,
            });
        };
        let mut from = Reader(rest);
        let (place, term) = (Text::from(from.text()?), from.number()?);
        let saved = Session::from_bytes(from.0).map(|mut saved| {
            (saved.session.term, saved.session.place) = (term, place.clone());
            saved
        });
        let key = key_of(saved.as_ref());
        let saved = saved.filter(|saved| saved.session.is_kept());
        Some(Self { topic, place, term, key, saved, at: event.at })
    }

    /// Which session it is of.
    pub(super) fn hash(&self) -> &str {
        self.parts().0
    }

    /// Which edge keeps it.
    pub(super) fn home(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        let rest = self.topic.as_str().get(PREFIX.len()..).unwrap_or_default();
        rest.split_once('/').unwrap_or((rest, ""))
    }
}

/// All notes of this client, the newest term last.
///
/// # Errors
/// When the log can't be read.
pub(super) async fn notes(hub: &Hub, key: &Key) -> Result<Vec<Note>, Refusal> {
    let mut notes = notes_below(hub, topic_of(key).as_str()).await?;
    // Whose hash is the same is somebody else all the same.
    notes.retain(|note| note.key.as_ref().is_none_or(|of| of == key));
    Ok(notes)
}

async fn notes_below(hub: &Hub, topic: &str) -> Result<Vec<Note>, Refusal> {
    let all = Filter::new(format!("{topic}/#")).expect("a good topic and a wildcard are a good filter");
    let (mut notes, mut after) = (Vec::new(), None);
    loop {
        let page = hub.recall(&all, after.as_ref(), NOTES_PAGE).await?;
        notes.extend(page.events.iter().filter_map(|recorded| Note::read(&recorded.event)));
        after = page.next;
        if after.is_none() {
            notes.sort_by_key(|note| note.term);
            return Ok(notes);
        }
    }
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
