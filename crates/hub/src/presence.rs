//! Who is connected: one short entry a connection, listed page by page.
//!
//! An edge enters a connection when it knows who is there, and keeps the [`Present`] that it gets; dropping it is leaving.
//! An entry stays in its place for all its life, so a list can be read on from a place, however many come and go
//! meanwhile; whoever is there from the first page to the last is seen exactly once.

mod sought;
mod table;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use headwater_event::{Clock, Principal, Time};

use crate::outlet::Outlet;

use sought::Sought;
use table::{Entry, Table};

/// How many entries one page looks at, at the most. They are looked at while nobody can enter or leave, and so many take a
/// fraction of a millisecond.
pub const LOOKED_AT_MAX: usize = 4_096;

/// How many bytes of a client's own id are kept: what a list can show. MQTT allows 64 KiB, and an entry must stay small.
pub const CLIENT_LEN_MAX: usize = 128;

/// Who comes.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The edge's word for what it speaks: `mqtt`, `ws`.
    pub protocol: &'static str,
    /// Where from.
    pub peer: SocketAddr,
    /// Who it is.
    pub who: &'a Principal,
    /// How the client calls itself, where the protocol has a word for that.
    pub client: Option<&'a str>,
}

/// How a connection is told to go.
#[derive(Clone, Debug)]
pub enum Exit {
    /// By its outlet, which ends as [`Closed::Dismissed`](crate::Closed::Dismissed).
    Outlet(Weak<Outlet>),
    /// By a bell of its own, for those who have no outlet.
    Bell(Weak<Bell>),
}

impl From<&Arc<Outlet>> for Exit {
    fn from(outlet: &Arc<Outlet>) -> Self {
        Self::Outlet(Arc::downgrade(outlet))
    }
}

impl From<&Arc<Bell>> for Exit {
    fn from(bell: &Arc<Bell>) -> Self {
        Self::Bell(Arc::downgrade(bell))
    }
}

/// Rings once, when the connection is to go.
#[derive(Debug, Default)]
pub struct Bell {
    is_rung: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    /// A bell that is silent.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether the connection is to go.
    #[must_use]
    pub fn is_rung(&self) -> bool {
        self.is_rung.load(Ordering::Acquire)
    }

    /// Waits for the bell; one task at a time.
    pub fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Under the lock that the ringer takes after the word: one of the two sees the other.
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_rung() {
            return Poll::Ready(());
        }
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn ring(&self) {
        self.is_rung.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Names one connection; never used twice while the program runs (or not within four thousand million connections).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    place: u32,
    serial: u32,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.serial, self.place)
    }
}

/// A connection's name was not of the form `SERIAL-PLACE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a connection is named by two numbers, as 17-3")]
pub struct ConnectionIdError;

impl FromStr for ConnectionId {
    type Err = ConnectionIdError;

    fn from_str(text: &str) -> Result<Self, ConnectionIdError> {
        let (serial, place) = text.split_once('-').ok_or(ConnectionIdError)?;
        let number = |digits: &str| {
            let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| digits.parse().ok()).flatten().ok_or(ConnectionIdError)
        };
        Ok(Self { place: number(place)?, serial: number(serial)? })
    }
}

/// One that is there, as it was entered.
#[derive(Clone, Debug)]
pub struct Connected {
    /// Its name.
    pub id: ConnectionId,
    /// The edge's word for what it speaks.
    pub protocol: &'static str,
    /// Where from.
    pub peer: SocketAddr,
    /// Who it is.
    pub who: Principal,
    /// How the client calls itself; at most [`CLIENT_LEN_MAX`] bytes of it.
    pub client: Option<String>,
    /// Since when it has been there.
    pub since: Time,
    exit: Exit,
}

impl Connected {
    /// Its way out, where it has one and is still there.
    #[must_use]
    pub fn outlet(&self) -> Option<Arc<Outlet>> {
        match &self.exit {
            Exit::Outlet(outlet) => outlet.upgrade(),
            Exit::Bell(_) => None,
        }
    }

    /// Tells it to go; gives whether it was still there to be told.
    pub fn dismiss(&self) -> bool {
        match &self.exit {
            Exit::Outlet(outlet) => outlet.upgrade().map(|outlet| outlet.dismiss()).is_some(),
            Exit::Bell(bell) => bell.upgrade().map(|bell| bell.ring()).is_some(),
        }
    }
}

/// Which connections are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search<'a> {
    /// Those that speak this.
    pub protocol: Option<&'a str>,
    /// Those whose client id or principal contains this (in capitals or not), or whose address begins with it.
    pub text: &'a str,
}

/// Some connections, ordered by place.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The wanted ones among those that were looked at.
    pub found: Vec<Connected>,
    /// The place to go on from; `None` at the end. A page may be short, or empty, and not be the last.
    pub next: Option<u32>,
    /// How many were looked at.
    pub looked_at: usize,
}

/// All present connections.
#[derive(Debug)]
pub struct Presence {
    table: Mutex<Table>,
    clock: Clock,
}

/// One connection's place among the present; dropping it is leaving.
#[derive(Debug)]
pub struct Present {
    presence: Arc<Presence>,
    id: ConnectionId,
}

impl Present {
    /// Its name.
    #[must_use]
    pub const fn id(&self) -> ConnectionId {
        self.id
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        // What it holds is freed outside of the lock.
        let left = self.presence.lock().remove(self.id);
        drop(left);
    }
}

impl Presence {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { table: Mutex::default(), clock })
    }

    /// Enters a connection, which is there until what this gives is dropped.
    pub fn enter(self: &Arc<Self>, arrival: Arrival<'_>, exit: impl Into<Exit>) -> Present {
        let entry = Entry {
            who: arrival.who.clone(),
            exit: exit.into(),
            client: arrival.client.map(|client| head(client).into()),
            protocol: arrival.protocol,
            since: self.clock.now(),
            serial: 0,
            port: arrival.peer.port(),
            ip: match arrival.peer.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            },
        };
        let id = self.lock().insert(entry);
        Present { presence: Arc::clone(self), id }
    }

    /// Tells all of those to go of whom this is true; gives how many there were. One who comes meanwhile may be missed.
    pub(crate) fn dismiss_all(&self, is_meant: impl Fn(&Principal) -> bool) -> usize {
        let (mut told, mut next) = (0, Some(0));
        while let Some(from) = next {
            let page = self.page(Search::default(), from, LOOKED_AT_MAX);
            told += page.found.iter().filter(|one| is_meant(&one.who) && one.dismiss()).count();
            next = page.next;
        }
        told
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len
    }

    /// Whether nobody is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `limit` wanted connections from place `from` on. Looks at [`LOOKED_AT_MAX`] at the most, wanted or not.
    #[must_use]
    pub fn page(&self, search: Search<'_>, from: u32, limit: usize) -> Page {
        let search = Sought::new(search);
        let mut page = Page::default();
        let table = self.lock();
        let mut place = from;
        while let Some((at, entry)) = table.next(place) {
            if page.looked_at == LOOKED_AT_MAX || page.found.len() == limit {
                page.next = Some(at);
                break;
            }
            page.looked_at += 1;
            if search.wants(entry) {
                page.found.push(entry.connected(at));
            }
            place = at.saturating_add(1);
        }
        page
    }

    /// The connection of this name, while it is there.
    #[must_use]
    pub fn find(&self, id: ConnectionId) -> Option<Connected> {
        let table = self.lock();
        let (at, entry) = table.next(id.place)?;
        (at == id.place && entry.serial == id.serial).then(|| entry.connected(at))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of a client's id, cut between characters.
fn head(client: &str) -> &str {
    &client[..client.floor_char_boundary(CLIENT_LEN_MAX)]
}

#[cfg(test)]
mod tests {
    use super::table::{BLOCK_LEN, Slot};
    use super::*;

    fn presence() -> Arc<Presence> {
        Presence::new(Clock::manual(Time(5)))
    }

    fn enter(presence: &Arc<Presence>, client: &str, peer: &str) -> (Present, Arc<Bell>) {
        let bell = Bell::new();
        let who = Principal::anonymous();
        let arrival = Arrival { protocol: "test", peer: peer.parse().unwrap(), who: &who, client: Some(client) };
        (presence.enter(arrival, &bell), bell)
    }

    fn clients(page: &Page) -> Vec<&str> {
        page.found.iter().map(|connected| connected.client.as_deref().unwrap()).collect()
    }

    fn sought(presence: &Presence, text: &str) -> Vec<String> {
        let page = presence.page(Search { protocol: None, text }, 0, 100);
        clients(&page).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn an_entry_costs_at_most_112_bytes_and_its_guard_16() {
        assert!(size_of::<Slot>() <= 112, "{}", size_of::<Slot>());
        assert_eq!(size_of::<Present>(), 16);
    }

    #[test]
    fn whoever_stays_is_listed_once_however_many_come_and_go_between_the_pages() {
        let presence = presence();
        let mut guards: Vec<_> = (0..1_000).map(|n| enter(&presence, &format!("c{n}"), "10.0.0.1:9")).collect();
        let mut listed = Vec::new();
        let mut from = Some(0);
        let mut turn = 0;
        while let Some(at) = from {
            let page = presence.page(Search::default(), at, 70);
            listed.extend(clients(&page).into_iter().map(str::to_owned));
            from = page.next;
            // Every second one leaves, and as many others come in their places.
            for n in (0..20).map(|n| turn * 40 + 2 * n + 1).filter(|n| *n < 1_000) {
                guards[n] = enter(&presence, "new", "10.0.0.2:9");
            }
            turn += 1;
        }
        for n in (0..1_000).step_by(2) {
            let name = format!("c{n}");
            assert_eq!(listed.iter().filter(|have| **have == name).count(), 1, "{name}");
        }
        assert_eq!(presence.len(), 1_000);
    }

    #[test]
    fn what_was_crowded_gives_its_memory_back_and_an_old_name_finds_nobody() {
        let presence = presence();
        let mut guards: Vec<_> = (0..1_000).map(|_| enter(&presence, "c", "10.0.0.1:9")).collect();
        let id = guards[300].0.id();
        assert_eq!(presence.find(id).map(|found| found.id), Some(id));
        guards.truncate(1);
        assert_eq!(presence.lock().blocks.iter().filter(|block| block.slots.capacity() > 0).count(), 1);
        assert!(presence.find(id).is_none());
        guards.extend((0..999).map(|_| enter(&presence, "c", "10.0.0.1:9")));
        assert!(presence.find(id).is_none());
        assert_eq!(presence.lock().blocks.len(), 1_000_usize.div_ceil(BLOCK_LEN));
        guards.clear();
        assert!(presence.is_empty() && presence.page(Search::default(), 0, 9).found.is_empty());
    }

    #[test]
    fn a_search_finds_by_client_principal_and_the_beginning_of_an_address() {
        let presence = presence();
        let _guards = [
            enter(&presence, "Sensor-1", "10.1.2.3:40001"),
            enter(&presence, "pump", "10.1.20.3:40002"),
            enter(&presence, "10.1", "[2001:db8::7]:40003"),
        ];
        assert_eq!(sought(&presence, "sensor"), ["Sensor-1"]);
        assert_eq!(sought(&presence, "10.1"), ["Sensor-1", "pump", "10.1"]);
        assert_eq!(sought(&presence, "10.1.2."), ["Sensor-1"]);
        assert_eq!(sought(&presence, "10.1.20.3:40002"), ["pump"]);
        assert_eq!(sought(&presence, "[2001:DB8"), ["10.1"]);
        assert_eq!(sought(&presence, "ANONYM").len(), 3);
        assert!(sought(&presence, "10.1.2.3:400011").is_empty());
        let other = Search { protocol: Some("mqtt"), text: "" };
        assert!(presence.page(other, 0, 9).found.is_empty());
    }

    #[test]
    fn one_page_looks_at_no_more_than_its_bound_and_goes_on_where_it_stopped() {
        let presence = presence();
        let guards: Vec<_> =
            (0..LOOKED_AT_MAX + 10).map(|n| enter(&presence, &format!("{n}x"), "10.0.0.1:9")).collect();
        let last = format!("{}x", guards.len() - 1);
        let search = Search { protocol: None, text: &last };
        let first = presence.page(search, 0, 10);
        assert_eq!((first.found.len(), first.looked_at), (0, LOOKED_AT_MAX));
        let second = presence.page(search, first.next.unwrap(), 10);
        assert_eq!((clients(&second), second.looked_at, second.next), (vec![&*last], 10, None));
        assert!(presence.page(search, u32::MAX, 10).next.is_none());
    }

    #[test]
    fn a_bell_wakes_who_waits_for_it() {
        let presence = presence();
        let (present, bell) = enter(&presence, "c", "10.0.0.1:9");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(bell.poll_rung(&mut cx).is_pending());
        let connected = presence.find(present.id()).unwrap();
        assert!(connected.dismiss() && bell.is_rung() && bell.poll_rung(&mut cx).is_ready());
        drop(bell);
        assert!(!connected.dismiss());
    }

    #[test]
    fn a_name_reads_back_and_a_long_client_id_is_cut_between_characters() {
        let id = ConnectionId { place: 3, serial: u32::MAX };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "-", "1", "1-", "-1", "+1-2", "1-2-3", "4294967296-1"] {
            assert_eq!(text.parse::<ConnectionId>(), Err(ConnectionIdError), "{text}");
        }
        assert_eq!(head(&"ü".repeat(100)).len(), CLIENT_LEN_MAX);
        assert_eq!(head(&format!("x{}", "ü".repeat(100))).len(), CLIENT_LEN_MAX - 1);
    }
}
