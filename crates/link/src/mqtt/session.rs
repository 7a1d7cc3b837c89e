//! The task behind a seat: the session's connection, what comes over it, and what is answered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use headwater_event::{EventId, Position, Recorded};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::names::{self, Meaning};
use super::packet::{Dialect, Packet, Publish, meaning};
use super::seat::{Out, Seat};
use super::shared::backoff;
use super::wire::{self, Hello, Lost, Wire, sent_away};
use super::write::{WANT_NEW, Want, write_puback, write_subscribe};
use super::{letters, spelling};
use crate::local::covered::without_covered;
use crate::local::desk::Handle;
use crate::local::lock;
use crate::local::unplaced::Unplaced;

/// How long the broker keeps a session that nobody has taken up: a long weekend and the holidays behind it.
const SESSION_EXPIRY: Duration = Duration::from_secs(14 * 86_400);

/// How long the session stays connected when its last member has left: a worker that joins anew finds its book.
const LINGER: Duration = Duration::from_secs(10);

/// How many deliveries the broker may have out to us at the least: with a few, one that waits would hold up all.
const RECEIVE_MIN: usize = 16;

/// A connection that is over after less than this was short, and so many in a row are no accident: two clients of one name
/// push each other off, and not every broker says so.
const SHORT: Duration = Duration::from_secs(5);
const SHORT_MAX: u32 = 3;

/// The packet id of a session's one SUBSCRIBE; ids of deliveries are the broker's own.
const SUBSCRIBE_ID: u16 = 1;

/// The task of a session.
pub(super) struct Task {
    seat: Arc<Seat>,
    client_id: String,
    /// Counts connections: handles of an earlier one mean nothing any more.
    generation: u64,
    unplaced: Unplaced,
    /// What the broker brought without a name, by its packet id: it comes again under the same one.
    unnamed: HashMap<u16, EventId>,
    /// Who waits for which answered ping.
    asked: VecDeque<(u64, Vec<oneshot::Sender<()>>)>,
    receive_maximum: u16,
    is_subscribed: bool,
    alone_since: Option<Instant>,
    connected_at: Option<Instant>,
    /// How many connections in a row were over soon after they were made.
    short: u32,
}

enum End {
    /// Left on purpose.
    Left(Wire),
    /// To be made anew with other numbers.
    Anew(Wire),
    Lost(Lost),
}

impl Task {
    pub(super) fn new(seat: Arc<Seat>) -> Self {
        let client_id = seat.client_id.clone();
        Self {
            seat,
            client_id,
            generation: 0,
            unplaced: Unplaced::default(),
            unnamed: HashMap::new(),
            asked: VecDeque::new(),
            receive_maximum: 0,
            is_subscribed: false,
            alone_since: None,
            connected_at: None,
            short: 0,
        }
    }

    pub(super) async fn run(mut self) {
        self.live().await;
        self.seat.ready.send_if_modified(|ready| {
            let was_open = ready.is_none();
            ready.get_or_insert_with(|| Err("was closed".into()));
            was_open
        });
        let mut seats = lock(&self.seat.shared.seats);
        if seats.get(&self.seat.name).is_some_and(|seat| Arc::ptr_eq(seat, &self.seat)) {
            seats.remove(&self.seat.name);
        }
        drop(seats);
        self.seat.ended.send_replace(true);
    }

    async fn live(&mut self) {
        let mut stopping = self.seat.stop.subscribe();
        let mut all_stopping = self.seat.shared.stop.subscribe();
        let mut tries = 0;
        loop {
            // One that was sent away and has no members any more must not take the session back.
            if self.seat.is_alone && self.alone_until().is_none() {
                return;
            }
            self.receive_maximum = self.wanted_maximum();
            let hello = Hello {
                client_id: &self.client_id,
                is_clean: false,
                session_expiry: SESSION_EXPIRY,
                receive_maximum: self.receive_maximum,
                ..Hello::default()
            };
            let connected = tokio::select! {
                connected = wire::connect(&self.seat.shared.address, &hello) => connected,
                _ = stopping.wait_for(|stop| *stop) => return,
                _ = all_stopping.wait_for(|stop| *stop) => return,
            };
            let lost = match connected {
                Ok((wire, welcome)) => match self.serve(wire, welcome.is_session_present).await {
                    End::Left(wire) => return wire.leave(false).await,
                    End::Anew(wire) => {
                        wire.leave(false).await;
                        continue;
                    }
                    End::Lost(lost) => {
                        if self.is_subscribed {
                            tries = 0;
                        }
                        lost
                    }
                },
                Err(lost) => lost,
            };
            self.fail(&lost);
            let wait = backoff(tries);
            tries += 1;
            tokio::select! {
                () = sleep(wait) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
                _ = all_stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn fail(&mut self, lost: &Lost) {
        let was_short = self.connected_at.take().is_some_and(|at| at.elapsed() < SHORT);
        self.short = if was_short && self.is_subscribed { self.short + 1 } else { 0 };
        let mut sentence = self.seat.shared.sentence(&lost.why);
        if self.short >= SHORT_MAX && !sentence.contains("?id=") {
            sentence.push_str(" again and again; if another process has the same id, give each its own (`?id=NAME`)");
        }
        tracing::debug!(group = %self.seat.name, "{sentence}");
        *lock(&self.seat.fault) = Some(sentence.clone());
        if lost.is_final {
            self.seat.ready.send_if_modified(|ready| ready.replace(Err(sentence)).is_none());
        }
    }

    fn wanted_maximum(&self) -> u16 {
        let in_flight = lock(&self.seat.desk).in_flight_max();
        // As many again as wait for another try while others are worked on.
        u16::try_from(in_flight.saturating_mul(2).max(RECEIVE_MIN)).unwrap_or(u16::MAX)
    }

    async fn serve(&mut self, mut wire: Wire, is_present: bool) -> End {
        self.take_up(&mut wire, is_present);
        let mut stopping = self.seat.stop.subscribe();
        let mut all_stopping = self.seat.shared.stop.subscribe();
        let mut placed = self.seat.shared.ledger.listen();
        loop {
            let look_at = self.place();
            self.tell(&mut wire);
            if self.wanted_maximum() > self.receive_maximum {
                return End::Anew(wire);
            }
            let Some(alone_until) = self.alone_until() else { return End::Left(wire) };
            let look_at = look_at.into_iter().chain(alone_until).min();
            tokio::select! {
                step = wire.step() => match step {
                    Ok(Some(packet)) => if let Err(lost) = self.take(packet, &wire) {
                        return End::Lost(lost);
                    },
                    Ok(None) => {}
                    Err(lost) => return End::Lost(lost),
                },
                () = self.seat.wake.notified() => {}
                () = placed.rung(), if !self.unplaced.is_empty() => {}
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {}
                _ = stopping.wait_for(|stop| *stop) => return End::Left(wire),
                _ = all_stopping.wait_for(|stop| *stop) => return End::Left(wire),
            }
        }
    }

    /// Until when a session without members stays; `None` when that is over.
    fn alone_until(&mut self) -> Option<Option<Instant>> {
        let mut seats = lock(&self.seat.shared.seats);
        if lock(&self.seat.desk).has_members() {
            self.alone_since = None;
            return Some(None);
        }
        // Another process waits for a session that only one can have.
        let linger = if self.seat.is_alone { Duration::ZERO } else { LINGER };
        let until = *self.alone_since.get_or_insert_with(Instant::now) + linger;
        if until > Instant::now() {
            return Some(Some(until));
        }
        // Under the lock: who joins from now on begins anew.
        seats.remove(&self.seat.name);
        lock(&self.seat.desk).close();
        None
    }

    fn take_up(&mut self, wire: &mut Wire, is_present: bool) {
        self.generation += 1;
        self.connected_at = Some(Instant::now());
        self.is_subscribed = false;
        self.unplaced.clear();
        if !is_present {
            self.unnamed.clear();
        }
        lock(&self.seat.desk).forget_handles();
        // Who waits for an answer waits for one of this connection.
        let waiters = std::mem::take(&mut self.asked).into_iter().flat_map(|(_, waiters)| waiters);
        lock(&self.seat.out).waiters.extend(waiters);
        let desk = lock(&self.seat.desk);
        let filters = without_covered(desk.filters()).into_iter().map(names::of_filter);
        let again = names::again(&self.seat.name).to_string();
        let wants: Vec<_> = filters
            .chain([again])
            .map(|filter| Want { filter: names::shared(&self.seat.name, &filter), options: WANT_NEW })
            .collect();
        write_subscribe(SUBSCRIBE_ID, &wants, Dialect::V5, &mut wire.out);
    }

    fn take(&mut self, packet: Packet, wire: &Wire) -> Result<(), Lost> {
        match packet {
            Packet::Publish(publish) => self.heard(&publish),
            Packet::SubAck { packet_id: SUBSCRIBE_ID, reasons } => {
                if let Some(refused) = reasons.iter().find(|reason| **reason >= 0x80) {
                    let why = format!("lets the group `{}` not subscribe: {}", self.seat.name, meaning(*refused));
                    return Err(Lost { why, is_final: true });
                }
                self.is_subscribed = true;
                *lock(&self.seat.fault) = None;
                self.seat.ready.send_if_modified(|ready| ready.replace(Ok(())).is_none());
            }
            Packet::PingResp => {
                while self.asked.front().is_some_and(|(ping, _)| *ping <= wire.pongs) {
                    let (_, waiters) = self.asked.pop_front().unwrap_or_default();
                    for waiter in waiters {
                        // Nobody may wait any more.
                        let _ = waiter.send(());
                    }
                }
            }
            Packet::Disconnect { reason, why } => return Err(sent_away(reason, why)),
            Packet::PubAck { .. } | Packet::SubAck { .. } | Packet::UnsubAck { .. } | Packet::ConnAck(_) => {}
        }
        Ok(())
    }

    /// Writes what the broker is to know, and asks whether it does.
    fn tell(&mut self, wire: &mut Wire) {
        if !self.is_subscribed {
            // What it brings again of its own comes first: that may be answered by then.
            return;
        }
        let Out { acknowledge, waiters } = std::mem::take(&mut *lock(&self.seat.out));
        // The lower half is the packet id; what came with QoS 0 has none.
        let is_ours = |handle: &Handle| handle >> 16 == self.generation && handle & 0xFFFF != 0;
        for handle in acknowledge.into_iter().filter(is_ours) {
            write_puback((handle & 0xFFFF) as u16, &mut wire.out);
        }
        if !waiters.is_empty() {
            let ping = wire.ping();
            self.asked.push_back((ping, waiters));
        }
    }

    fn acknowledge(&self, handle: Handle) {
        lock(&self.seat.out).acknowledge.push(handle);
    }

    fn heard(&mut self, publish: &Publish) {
        let handle = self.generation << 16 | u64::from(publish.packet_id);
        let topic = match names::meaning(&publish.topic) {
            Meaning::Event(topic) => topic,
            Meaning::Again => return self.heard_again(publish, handle),
            Meaning::Dead | Meaning::Mark | Meaning::Nothing => return self.acknowledge(handle),
        };
        if !lock(&self.seat.desk).filters().iter().any(|filter| filter.matches(topic.as_str())) {
            // `#` on the broker is more than `#` here.
            return self.acknowledge(handle);
        }
        let mut came = spelling::came(publish, topic, self.seat.shared.clock.now());
        if !came.is_named {
            if publish.is_again
                && let Some(id) = self.unnamed.get(&publish.packet_id)
            {
                came.event.id = id.clone();
            }
            self.unnamed.insert(publish.packet_id, came.event.id.clone());
        }
        if publish.qos == 0 && self.is_full() {
            // The broker bounds what needs an answer, and this needs none.
            tracing::warn!(group = %self.seat.name, "an event of QoS 0 is dropped: too many are unsettled");
            return;
        }
        if self.is_known(&came.event.id, handle) {
            return;
        }
        let position = Position::new(self.seat.shared.ledger.head().epoch, 0);
        let recorded = Recorded { position, event: came.event, sticky: came.sticky };
        self.unplaced.push(recorded, came.tried, handle);
    }

    fn is_full(&self) -> bool {
        self.unplaced.len() + lock(&self.seat.desk).len() >= usize::from(self.receive_maximum)
    }

    fn is_known(&self, id: &EventId, handle: Handle) -> bool {
        let mut effects = Vec::new();
        let is_known = lock(&self.seat.desk).knows(id, handle, &mut effects);
        self.seat.carry_out(effects);
        is_known || self.unplaced.contains(id)
    }

    /// A dead letter that is to be tried again.
    fn heard_again(&mut self, publish: &Publish, handle: Handle) {
        let Some(written) = letters::read(publish) else { return self.acknowledge(handle) };
        let alias = written.id.clone();
        if alias.as_ref().is_some_and(|alias| self.is_known(alias, handle)) {
            return;
        }
        let ledger = &self.seat.shared.ledger;
        let mut desk = lock(&self.seat.desk);
        desk.forget_done(&written.event.id);
        let mut effects = Vec::new();
        if desk.knows(&written.event.id, handle, &mut effects) {
            drop(desk);
            self.seat.carry_out(effects);
            return;
        }
        let mut seq = ledger.number(&written.event.id);
        if desk.is_taken(seq) {
            seq = ledger.number(&EventId::generate());
        }
        let position = Position::new(ledger.head().epoch, seq);
        let tried = u32::from(publish.is_again);
        let recorded = Recorded { position, event: written.event, sticky: written.sticky };
        desk.arrive(recorded, tried, handle, alias);
        drop(desk);
        self.seat.bell.ring();
    }

    /// Gives places to what came, in its order; says when to look again.
    fn place(&mut self) -> Option<Instant> {
        let placed = self.unplaced.place(&self.seat.shared.ledger, &self.seat.desk, false);
        if placed.any {
            self.seat.bell.ring();
        }
        placed.look_at
    }
}
