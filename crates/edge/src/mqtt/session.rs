//! What survives a broken connection: a client's subscriptions, how far each has come, and the exchanges that are open.

use std::collections::BTreeSet;

use headwater_event::{Epoch, Filter, GroupName, Position, Seq, Text, Time};
use headwater_hub::{Standing, WatchId};

use super::packet::{Qos, SubscribeOptions, Version};
use super::seats::Key;

/// The most deliveries that may be left over in one session: four windows of the default.
const LEFTOVERS_MAX: usize = 4_096;

/// An expiry that never comes (MQTT 5.0 section 3.1.2.11.2).
pub(super) const NEVER: u32 = u32::MAX;

/// One client's session, as its connection has it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) key: Key,
    /// Where the claim of its connection stands in the log, if other edges are over it; 0 where this process has the log alone.
    pub(super) term: Seq,
    /// Which edge had that connection, in which life of its process; and where that keeps its notes.
    pub(super) place: Text,
    pub(super) home: Text,
    /// For how many seconds it is kept after the connection has ended; 0 ends it with the connection.
    pub(super) expiry_s: u32,
    /// Ordered by filter.
    pub(super) subscriptions: Vec<Subscription>,
    /// Packet ids of the client's QoS 2 publications that were received and not yet released (section 4.3.3).
    pub(super) open: BTreeSet<u16>,
    /// Deliveries of QoS 2 that the client has received, and not yet completed: their events' places.
    pub(super) released: Vec<Seq>,
    /// Deliveries that were begun for subscriptions that it no longer has, or of which others take the rest.
    pub(super) leftovers: Vec<Leftover>,
    /// The log has an entry for it.
    pub(super) is_saved: bool,
}

/// One subscription.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    /// As the client wrote it, `$share/NAME/` included.
    pub(super) written: Text,
    /// What it wants.
    pub(super) filter: Filter,
    /// Whom it shares the events with.
    pub(super) group: Option<GroupName>,
    pub(super) options: SubscribeOptions,
    /// The client's own number for it; 0 when it gave none.
    pub(super) id: u32,
    /// The hub's watch, while there is a connection and nothing is shared.
    pub(super) watch: Option<WatchId>,
    /// How far it has come, as of the last connection. On this one the watch knows.
    pub(super) standing: Standing,
}

/// Deliveries that must be completed to this client though their subscription doesn't go on here: it was unsubscribed
/// (MQTT 5.0 section 3.10.4), or it is shared, and these have QoS 2 (section 4.8.2).
#[derive(Clone, Debug)]
pub(super) struct Leftover {
    /// As the subscription was; what is to be told again stands in its standing.
    pub(super) of: Subscription,
    /// What of it wasn't told on this connection yet.
    pub(super) unsent: Vec<Seq>,
    /// Its place among those that this connection began with; later ones have none.
    pub(super) number: Option<usize>,
}

/// A session as it was saved.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) session: Session,
    /// Which log the standings are of.
    pub(super) epoch: Epoch,
    /// When its connection ended; `None` while it was saved with one.
    pub(super) ended: Option<Time>,
}

impl Session {
    pub(super) fn new(key: Key, expiry_s: u32) -> Self {
        Self {
            key,
            term: 0,
            place: Text::default(),
            home: Text::default(),
            expiry_s,
            subscriptions: Vec::new(),
            open: BTreeSet::new(),
            released: Vec::new(),
            leftovers: Vec::new(),
            is_saved: false,
        }
    }

    /// The same session, for a connection that goes on with it.
    pub(super) fn copied(&self) -> Self {
        Self {
            key: self.key.clone(),
            place: self.place.clone(),
            home: self.home.clone(),
            subscriptions: self.subscriptions.clone(),
            open: self.open.clone(),
            released: self.released.clone(),
            leftovers: self.leftovers.clone(),
            ..*self
        }
    }

    /// Whether it is kept after the connection has ended.
    pub(super) const fn is_kept(&self) -> bool {
        self.expiry_s > 0
    }

    pub(super) fn find(&self, written: &str) -> Result<usize, usize> {
        self.subscriptions.binary_search_by(|subscription| subscription.written.as_str().cmp(written))
    }

    /// Takes a leftover, unless there are too many: the session must not grow by a client that comes and goes and never
    /// acknowledges. Gives whether it did.
    pub(super) fn add_leftover(&mut self, leftover: Leftover) -> bool {
        let count = |leftover: &Leftover| leftover.of.standing.again.len();
        let has_room = self.leftovers.iter().map(count).sum::<usize>() + count(&leftover) <= LEFTOVERS_MAX;
        if has_room {
            self.leftovers.push(leftover);
        }
        has_room
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().filter(|subscription| subscription.group.is_some())
    }
}

impl Saved {
    /// Where another log stands below the hub than the one that it is of, what was under way is of the old one.
    pub(super) fn of_log(&mut self, head: Position) {
        if self.epoch == head.epoch {
            return;
        }
        self.session.released.clear();
        self.session.leftovers.clear();
        for subscription in &mut self.session.subscriptions {
            subscription.standing = Standing { up_to: head.seq, ..Standing::default() };
        }
    }

    /// Whether its time is over. `started` is when this process began: a session that was connected when the last one died
    /// had its connection until then at least.
    pub(super) fn is_over(&self, saved_at: Time, started: Time, now: Time) -> bool {
        if self.session.expiry_s == NEVER {
            return false;
        }
        let ended = self.ended.unwrap_or_else(|| saved_at.max(started));
        now.since(ended).as_secs() >= u64::from(self.session.expiry_s)
    }
}

/// The form in which a session stands in the log; the first byte is its version.
const FORM: u8 = 2;

impl Session {
    /// The session as bytes. `ended` is the time of its end, if it has ended.
    pub(super) fn to_bytes(&self, epoch: Epoch, ended: Option<Time>) -> Vec<u8> {
        let mut out = Writer(vec![FORM]);
        out.text(self.key.principal());
        out.text(self.key.client());
        out.number(u64::from(self.expiry_s));
        out.number(u64::from(epoch));
        out.number(ended.map_or(0, Time::as_micros));
        out.seqs(self.open.iter().map(|id| u64::from(*id)));
        out.seqs(self.released.iter().copied());
        out.number(self.subscriptions.len() as u64);
        self.subscriptions.iter().for_each(|subscription| out.subscription(subscription));
        out.number(self.leftovers.len() as u64);
        self.leftovers.iter().for_each(|leftover| out.subscription(&leftover.of));
        out.0
    }

    /// What [`Session::to_bytes`] wrote; `None` for anything else.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Saved> {
        let mut from = Reader(bytes.strip_prefix(&[FORM])?);
        let (principal, client) = (from.text()?, from.text()?);
        let mut session = Self::new(Key::new(principal, client), u32::try_from(from.number()?).ok()?);
        session.is_saved = true;
        let epoch = Epoch::try_from(from.number()?).ok()?;
        let ended = Some(Time(from.number()?)).filter(|ended| ended.0 > 0);
        session.open = from.seqs()?.into_iter().map(u16::try_from).collect::<Result<_, _>>().ok()?;
        session.released = from.seqs()?;
        for _ in 0..from.number()? {
            session.subscriptions.push(from.subscription()?);
        }
        for _ in 0..from.number()? {
            let of = from.subscription()?;
            session.leftovers.push(Leftover { unsent: of.standing.again.clone(), of, number: None });
        }
        from.0.is_empty().then_some(Saved { session, epoch, ended })
    }
}

/// Numbers of seven bits a byte, low ones first, and texts with their length before them.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(u8::try_from(number & 0x7F).unwrap_or_default() | 0x80);
            number >>= 7;
        }
        self.0.push(u8::try_from(number).unwrap_or_default());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn subscription(&mut self, subscription: &Subscription) {
        let Subscription { written, filter, group, options, id, standing, watch: _ } = subscription;
        self.text(written);
        self.text(filter.as_str());
        self.text(group.as_ref().map_or("", GroupName::as_str));
        self.0.push(options.byte(Version::V5));
        self.number(u64::from(*id));
        self.number(standing.up_to);
        self.number(u64::from(standing.has_states));
        self.seqs(standing.again.iter().copied());
    }

    /// Each as its distance from the one before, which is small.
    fn seqs(&mut self, seqs: impl ExactSizeIterator<Item = u64>) {
        self.number(seqs.len() as u64);
        let mut before = 0u64;
        for seq in seqs {
            self.number(seq.wrapping_sub(before));
            before = seq;
        }
    }
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn subscription(&mut self) -> Option<Subscription> {
        Some(Subscription {
            written: self.text()?.into(),
            filter: Filter::new(self.text()?).ok()?,
            group: match self.text()? {
                "" => None,
                name => Some(GroupName::new(name).ok()?),
            },
            options: SubscribeOptions::read(self.byte()?, Version::V5).ok()?,
            id: u32::try_from(self.number()?).ok()?,
            watch: None,
            standing: Standing { up_to: self.number()?, has_states: self.number()? == 1, again: self.seqs()? },
        })
    }

    fn seqs(&mut self) -> Option<Vec<u64>> {
        let (mut seqs, mut before) = (Vec::new(), 0u64);
        for _ in 0..self.number()? {
            before = before.wrapping_add(self.number()?);
            seqs.push(before);
        }
        Some(seqs)
    }
}

/// The least quality of service of the two (MQTT 5.0 section 3.8.4).
pub(super) fn least(a: Qos, b: Qos) -> Qos {
    a.min(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let mut session = Session::new(Key::new("ada", "sensor/7"), 3_600);
        session.open = [1, 2, 65_535].into();
        session.released = vec![70_000, 5];
        for (written, filter, group) in [("$share/g/a/#", "a/#", Some("mqtt/share/g/a/#")), ("ü/+", "ü/+", None)] {
            session.subscriptions.push(Subscription {
                written: written.into(),
                filter: Filter::new(filter).unwrap(),
                group: group.map(|name| GroupName::new(name).unwrap()),
                options: SubscribeOptions::read(0x2E, Version::V5).unwrap(),
                id: 268_435_455,
                watch: None,
                standing: Standing { up_to: u64::MAX, again: vec![3, 9, 1 << 40], has_states: true },
            });
        }
        let of = session.subscriptions[1].clone();
        session.leftovers.push(Leftover { unsent: of.standing.again.clone(), of, number: None });
        session
    }

    #[test]
    fn a_session_comes_back_as_it_was_saved() {
        let session = session();
        let bytes = session.to_bytes(7, Some(Time(5)));
        let saved = Session::from_bytes(&bytes).unwrap();
        assert_eq!((saved.epoch, saved.ended), (7, Some(Time(5))));
        assert_eq!(saved.session.to_bytes(7, Some(Time(5))), bytes);
        assert_eq!(saved.session.key, session.key);
        assert_eq!(saved.session.find("ü/+"), Ok(1));
    }

    #[test]
    fn a_broken_form_is_no_session() {
        let bytes = session().to_bytes(7, None);
        for len in 0..bytes.len() {
            assert!(Session::from_bytes(&bytes[..len]).is_none(), "cut at {len}");
        }
        assert!(Session::from_bytes(&[&bytes[..], b"x"].concat()).is_none());
    }

    #[test]
    fn a_session_is_over_when_its_time_has_passed_since_its_connection_ended() {
        let at = |seconds: u64| Time(seconds * 1_000_000);
        let saved = |ended| Session::from_bytes(&session().to_bytes(7, ended)).unwrap();
        assert!(!saved(Some(at(10))).is_over(at(10), at(0), at(3_609)));
        assert!(saved(Some(at(10))).is_over(at(10), at(0), at(3_610)));
        // It was connected when the last process died, at an unknown time before this one began.
        assert!(!saved(None).is_over(at(10), at(5_000), at(8_599)));
        assert!(saved(None).is_over(at(10), at(5_000), at(8_600)));
    }
}
