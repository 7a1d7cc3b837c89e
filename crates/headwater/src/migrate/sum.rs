//! Count and checksum over events, and whether two events are the same one.

use std::fmt::Write as _;

use headwater_event::{EventId, Recorded, Text};
use ring::digest::{Context, SHA256};

/// Count and checksum.
#[derive(Clone)]
pub struct Sum {
    count: u64,
    digest: Context,
}

impl Sum {
    /// Of nothing.
    pub fn new() -> Self {
        Self { count: 0, digest: Context::new(&SHA256) }
    }

    /// One more: id, topic, headers, payload, time, and whether it's a state.
    pub fn add(&mut self, id: &str, recorded: &Recorded) {
        let event = &recorded.event;
        self.count += 1;
        for part in [id.as_bytes(), event.topic.as_str().as_bytes(), event.headers.as_stored(), &event.payload] {
            self.digest.update(&(part.len() as u64).to_be_bytes());
            self.digest.update(part);
        }
        self.digest.update(&event.at.as_micros().to_be_bytes());
        self.digest.update(&[u8::from(recorded.sticky)]);
    }

    /// How many.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The checksum (SHA-256) in hexadecimal.
    pub fn hex(&self) -> String {
        let mut text = String::new();
        for byte in self.digest.clone().finish().as_ref() {
            // Writing to a String can't fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// Under which id an event travels. The numbers of producers are the embedded log's alone: their ids become texts.
pub fn id(recorded: &Recorded) -> EventId {
    match &recorded.event.id {
        EventId::Numbered { .. } => EventId::Text(Text::from(recorded.event.id.to_string())),
        other => other.clone(),
    }
}

/// Under which id it travels when an earlier event had the same: an engine would take it for a copy.
pub fn later_id(recorded: &Recorded) -> EventId {
    let text = recorded.event.id.to_string();
    let mark = format!("~{}", recorded.position.seq);
    let kept = text.floor_char_boundary(EventId::LEN_MAX - mark.len());
    EventId::Text(Text::from(format!("{}{mark}", &text[..kept])))
}

/// Whether the one there is the one here: the same id (or the one it got as a later event of that id), topic, headers,
/// payload and time.
pub fn are_same(here: &Recorded, there: &Recorded) -> bool {
    let found = there.event.id.to_string();
    let is_named = found == here.event.id.to_string() || found == later_id(here).to_string();
    let (a, b) = (&here.event, &there.event);
    is_named
        && here.sticky == there.sticky
        && (&a.topic, &a.headers, &a.payload, a.at) == (&b.topic, &b.headers, &b.payload, b.at)
}

/// Which ids may have been here before: never a wrong no, seldom a wrong yes, in a memory that doesn't grow.
pub struct Seen {
    bits: Vec<u64>,
}

impl Seen {
    /// 64 MiB: of 30 million ids one in 600 is taken for known, which costs a round trip.
    const BITS: u64 = 1 << 29;

    /// How many bits an id sets.
    const HASHES: u64 = 4;

    /// None yet.
    pub fn new() -> Self {
        Self { bits: vec![0; usize::try_from(Self::BITS / 64).unwrap_or_default()] }
    }

    /// Notes an id that its producer chose; says whether it may have been noted before.
    pub fn note(&mut self, id: &EventId) -> bool {
        // Nobody can give these twice.
        if matches!(id, EventId::Own(_) | EventId::Numbered { .. }) {
            return false;
        }
        let hash = {
            use std::hash::{DefaultHasher, Hash, Hasher};
            let mut hasher = DefaultHasher::new();
            id.to_string().hash(&mut hasher);
            hasher.finish()
        };
        let (one, two) = (hash & 0xFFFF_FFFF, hash >> 32 | 1);
        let mut is_known = true;
        for turn in 0..Self::HASHES {
            let bit = (one.wrapping_add(turn.wrapping_mul(two)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % Self::BITS;
            let Some(word) = self.bits.get_mut((bit / 64) as usize) else { continue };
            is_known &= *word & 1 << (bit % 64) != 0;
            *word |= 1 << (bit % 64);
        }
        is_known
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headwater_event::{Event, Headers, Position, Time, Topic};
    use uuid::Uuid;

    use super::*;

    fn recorded(id: &str, payload: &'static str) -> Recorded {
        let event = Event {
            id: id.parse().unwrap(),
            topic: Topic::new("a/b").unwrap(),
            headers: Headers::none(),
            payload: Bytes::from_static(payload.as_bytes()),
            at: Time(7),
        };
        Recorded { position: Position::new(1, 9), event, sticky: false }
    }

    #[test]
    fn an_event_is_known_by_everything_but_its_place() {
        let one = recorded("x", "p");
        let elsewhere = Recorded { position: Position::new(2, 3), ..one.clone() };
        assert!(are_same(&one, &elsewhere));
        assert!(are_same(&one, &recorded("x~9", "p")), "the name it got as a later one of this id");
        assert!(!are_same(&one, &recorded("x~8", "p")));
        assert!(!are_same(&one, &recorded("x", "q")));
        assert!(!are_same(&one, &Recorded { sticky: true, ..one.clone() }));
    }

    #[test]
    fn a_later_id_fits_however_long_the_id_is() {
        let long = recorded(&"ü".repeat(127), "");
        assert!(later_id(&long).to_string().len() <= EventId::LEN_MAX);
        assert!(later_id(&long).to_string().ends_with("~9"));
    }

    #[test]
    fn what_was_seen_is_never_forgotten_and_what_was_not_is_seldom_claimed() {
        let mut seen = Seen::new();
        let ids: Vec<EventId> = (0..20_000).map(|at| format!("id-{at}").parse().unwrap()).collect();
        let wrong = ids.iter().filter(|id| seen.note(id)).count();
        assert!(wrong < 10, "{wrong}");
        assert!(ids.iter().all(|id| seen.note(id)));
        let own = EventId::Own(Uuid::now_v7());
        assert!(!seen.note(&own) && !seen.note(&own));
    }

    #[test]
    fn the_sum_tells_the_parts_apart() {
        let sum = |id: &str, payload: &'static str| {
            let mut sum = Sum::new();
            sum.add(id, &recorded("x", payload));
            sum.hex()
        };
        assert_eq!(sum("x", "p"), sum("x", "p"));
        assert_ne!(sum("xa", "p"), sum("x", "ap"));
    }
}
