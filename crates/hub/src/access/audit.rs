//! What happened at the door, as short notes for the audit trail: a bounded list that the hub empties into its log.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_event::{Event, EventId, Headers, Publication, Time, Topic, json};
use tokio::sync::Notify;

/// Logins, those that were right and those that weren't.
pub const AUDIT_LOGIN: &str = "$audit/login";
/// What somebody wanted and wasn't allowed.
pub const AUDIT_REFUSED: &str = "$audit/refused";
/// What was changed in the hub.
pub const AUDIT_ADMIN: &str = "$audit/admin";

/// How many notes may wait: the hub takes them with every sync, so this is many milliseconds' worth.
const WAITING_MAX: usize = 1_024;

/// How many notes of one kind are written in a second. What is beyond is counted, and the next note says how many: a flood of
/// wrong logins must not fill the disk.
const PER_S_MAX: u32 = 10;

/// For how long the same (who, where from, how) is told only once: a client that logs in with every request is one login.
const TOLD_FOR: Duration = Duration::from_secs(600);

/// How many of these are remembered; beyond that some are told again.
const TOLD_MAX: usize = 4_096;

/// The longest name or topic that a note quotes, in bytes: what a stranger writes isn't kept at length.
const QUOTED_MAX: usize = 256;

/// How somebody wanted to show who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Means {
    Password,
    Token,
    Certificate,
}

impl Means {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happened<'a> {
    LoggedIn {
        user: &'a str,
        by: Means,
        peer: IpAddr,
    },
    /// The name is told only where there is such a user: who types a password into the wrong field must not find it here.
    Refused {
        user: Option<&'a str>,
        by: Means,
        peer: IpAddr,
        why: &'a str,
    },
    NotAllowed {
        user: &'a str,
        what: &'static str,
        topic: &'a str,
    },
}

/// The notes that wait, and how many were left out.
#[derive(Default)]
pub(crate) struct Audit {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Publication>,
    kinds: [Share; 3],
    told: HashMap<u64, Instant>,
}

/// What one kind of note had of the present second.
#[derive(Clone, Copy, Default)]
struct Share {
    since: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl Audit {
    /// Notes it, if there is room and it isn't told too often already.
    pub(crate) fn tell(&self, happened: Happened<'_>) {
        let now = Instant::now();
        let mut state = self.lock();
        if state.is_told(happened, now) || state.waiting.len() >= WAITING_MAX {
            return;
        }
        let (kind, topic) = match happened {
            Happened::LoggedIn { .. } => (0, AUDIT_LOGIN),
            Happened::Refused { .. } => (1, AUDIT_LOGIN),
            Happened::NotAllowed { .. } => (2, AUDIT_REFUSED),
        };
        let Some(left_out) = state.kinds[kind].take(now) else { return };
        let fields = written(happened, left_out);
        state.waiting.extend(note(topic, fields.iter().map(|(name, value)| (*name, value.as_str()))));
        drop(state);
        self.wake.notify_one();
    }

    /// The notes that wait; waits for one where there is none.
    pub(crate) async fn next(&self) -> Vec<Publication> {
        loop {
            let waiting: Vec<_> = self.lock().waiting.drain(..).collect();
            if !waiting.is_empty() {
                return waiting;
            }
            self.wake.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_told(&mut self, happened: Happened<'_>, now: Instant) -> bool {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        match happened {
            Happened::LoggedIn { user, by, peer } => (user, by, peer).hash(&mut hasher),
            // Each wrong one is told: how many there were is what one wants to know of them.
            Happened::Refused { .. } => return false,
            Happened::NotAllowed { user, what, topic } => (user, what, topic).hash(&mut hasher),
        }
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        match self.told.entry(hasher.finish()) {
            std::collections::hash_map::Entry::Occupied(mut told) => {
                let is_fresh = now.duration_since(*told.get()) < TOLD_FOR;
                if !is_fresh {
                    told.insert(now);
                }
                is_fresh
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(now);
                false
            }
        }
    }
}

impl Share {
    /// Takes a note's place in this second; gives how many were left out since the last one that was written.
    fn take(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            self.since = Some(now);
            self.written = 0;
        }
        if self.written >= PER_S_MAX {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// An event of the audit trail.
pub(crate) fn note<'a>(
    topic: &'static str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<Publication> {
    let mut payload = Vec::with_capacity(160);
    payload.push(b'{');
    for (name, value) in fields {
        if payload.len() > 1 {
            payload.push(b',');
        }
        json::write_str(name, &mut payload);
        payload.push(b':');
        json::write_str(quoted(value), &mut payload);
    }
    payload.push(b'}');
    let event = Event {
        id: EventId::generate(),
        topic: Topic::new(topic).ok()?,
        headers: Headers::default(),
        payload: Bytes::from(payload),
        at: Time(0),
    };
    Some(Publication { event, sticky: false })
}

fn written(happened: Happened<'_>, left_out: u64) -> Vec<(&'static str, String)> {
    let mut fields = match happened {
        Happened::LoggedIn { user, by, peer } => vec![
            ("what", "login".to_owned()),
            ("user", user.to_owned()),
            ("by", by.word().to_owned()),
            ("peer", peer.to_string()),
        ],
        Happened::Refused { user, by, peer, why } => vec![
            ("what", "login refused".to_owned()),
            ("user", user.unwrap_or_default().to_owned()),
            ("by", by.word().to_owned()),
            ("peer", peer.to_string()),
            ("why", why.to_owned()),
        ],
        Happened::NotAllowed { user, what, topic } => {
            vec![("what", format!("{what} refused")), ("user", user.to_owned()), ("topic", topic.to_owned())]
        }
    };
    if left_out > 0 {
        fields.push(("left_out", left_out.to_string()));
    }
    fields
}

/// The beginning of a text, in whole characters.
fn quoted(text: &str) -> &str {
    &text[..text.floor_char_boundary(QUOTED_MAX)]
}
