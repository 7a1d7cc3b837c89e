//! The connection that publishes and follows: everything of this process but its groups' deliveries.
//!
//! What was published and not acknowledged is sent again over the next connection: under its packet id when the broker
//! kept the session, as new when not; with the same event id in any case.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_event::Text;
use tokio::time::{Instant, sleep, sleep_until};

use super::names::{self, Meaning};
use super::packet::{Dialect, Packet, Publish, meaning};
use super::shared::{HOLD, Shared, Words, backoff};
use super::spelling;
use super::wire::{self, Hello, Lost, Welcome, Wire, sent_away};
use super::write::{WANT_ALL, Want, write_puback, write_publish, write_subscribe};
use crate::local::book::Ticket;

/// How many publications may be on their way at once, if the broker takes as many: at 1 ms a round trip that is eight
/// million a second, and more only costs memory there.
const WINDOW_MAX: u16 = 8_192;

/// How many deliveries may be on their way to us at once: each is taken at once.
const RECEIVE_MAX: u16 = 1_024;

/// How long the broker keeps what we follow when the connection breaks: who is back by then has no gap.
const SESSION_EXPIRY: Duration = Duration::from_secs(120);

/// What was published and is not acknowledged.
enum What {
    Event(Ticket),
    Words(Box<Words>),
}

/// What a subscription is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Everything: events, states, letters.
    All,
    /// Letters alone.
    Letters,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Letters => "letters",
        }
    }
}

/// The task of the connection.
pub(super) struct Trunk {
    shared: Arc<Shared>,
    client_id: String,
    sent: VecDeque<(u16, What)>,
    last_id: u16,
    window: usize,
    /// What the broker knows that we want.
    has: Vec<Part>,
    asked: Vec<(u16, Part)>,
    marks: u64,
    marked: Vec<(String, Part)>,
    was_connected: bool,
    /// Until when nothing is published, and what was published before under its old names then.
    held: Option<(Instant, bool)>,
}

/// Why a connection is no longer served.
enum End {
    Stopped(Wire),
    Lost(Lost),
}

impl Trunk {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        // A name that no other process has: nothing of this session outlives the process.
        let client_id = format!("hw-{}-{}", shared.instance, uuid::Uuid::new_v4().simple());
        Self {
            shared,
            client_id,
            sent: VecDeque::new(),
            last_id: 0,
            window: 1,
            has: Vec::new(),
            asked: Vec::new(),
            marks: 0,
            marked: Vec::new(),
            was_connected: false,
            held: None,
        }
    }

    /// Connects once.
    pub(super) async fn connect(&mut self) -> Result<(Wire, Welcome), Lost> {
        let hello = Hello {
            client_id: &self.client_id,
            is_clean: !self.was_connected,
            session_expiry: SESSION_EXPIRY,
            receive_maximum: RECEIVE_MAX,
            ..Hello::default()
        };
        wire::connect(&self.shared.address, &hello).await
    }

    /// Runs until all is to end.
    pub(super) async fn run(mut self, first: (Wire, Welcome)) {
        let mut connected = Some(first);
        let mut stopping = self.shared.stop.subscribe();
        let mut tries = 0;
        loop {
            let lost = match connected.take() {
                Some((wire, welcome)) => {
                    tries = 0;
                    match self.serve(wire, &welcome).await {
                        End::Stopped(wire) => {
                            wire.leave(true).await;
                            return;
                        }
                        End::Lost(lost) => lost,
                    }
                }
                None => tokio::select! {
                    result = self.connect() => match result {
                        Ok(found) => {
                            connected = Some(found);
                            continue;
                        }
                        Err(lost) => lost,
                    },
                    _ = stopping.wait_for(|stop| *stop) => return,
                },
            };
            self.shared.set_fault(Some(&lost.why));
            let wait = backoff(tries);
            tries += 1;
            tokio::select! {
                () = sleep(wait) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Serves one connection until it's lost.
    async fn serve(&mut self, mut wire: Wire, welcome: &Welcome) -> End {
        let mut stopping = self.shared.stop.subscribe();
        self.take_up(&mut wire, welcome);
        self.shared.set_fault(None);
        loop {
            self.subscribe(&mut wire);
            let held_until = self.send_unless_held(&mut wire);
            let overdue = self.shared.ledger.place_overdue().into_iter().chain(held_until).min();
            tokio::select! {
                step = wire.step() => match step {
                    Ok(Some(packet)) => if let Err(lost) = self.take(packet, &mut wire) {
                        return End::Lost(lost);
                    },
                    Ok(None) => {}
                    Err(lost) => return End::Lost(lost),
                },
                () = self.shared.wake.notified() => {}
                () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => {}
                _ = stopping.wait_for(|stop| *stop) => return End::Stopped(wire),
            }
        }
    }

    /// Goes on where the last connection broke.
    fn take_up(&mut self, wire: &mut Wire, welcome: &Welcome) {
        self.window = usize::from(welcome.receive_maximum.min(WINDOW_MAX));
        self.shared.ledger.set_packet_len_max(welcome.packet_len_max as usize);
        self.asked.clear();
        let goes_on = welcome.is_session_present && self.was_connected;
        if !goes_on {
            self.has.clear();
            self.marked.clear();
            self.shared.ledger.set_echo(false);
            if self.was_connected && self.shared.ledger.follows() {
                self.shared.ledger.gap();
            }
        }
        let wait = if self.was_connected && welcome.durability().is_none() { HOLD } else { Duration::ZERO };
        self.held = Some((Instant::now() + wait, goes_on));
        self.was_connected = true;
        self.send_unless_held(wire);
    }

    /// Sends what waits, unless it's too early; then it says until when.
    fn send_unless_held(&mut self, wire: &mut Wire) -> Option<Instant> {
        if let Some((until, goes_on)) = self.held {
            if until > Instant::now() {
                return Some(until);
            }
            self.held = None;
            self.send_again(goes_on, wire);
        }
        self.send(wire);
        None
    }

    /// Sends what was not acknowledged: under its packet ids when the broker kept the session.
    fn send_again(&mut self, goes_on: bool, wire: &mut Wire) {
        let sent = std::mem::take(&mut self.sent);
        for (id, what) in sent {
            let id = if goes_on { id } else { self.next_id() };
            if let Some(publish) = self.publish_of(&what) {
                write_publish(&Publish { is_again: goes_on, packet_id: id, ..publish }, Dialect::V5, &mut wire.out);
                self.sent.push_back((id, what));
            }
        }
    }

    fn publish_of(&self, what: &What) -> Option<Publish> {
        match what {
            What::Event(ticket) => self.shared.ledger.sent(*ticket).map(|publication| spelling::publish(&publication)),
            What::Words(words) => Some(words.publish.clone()),
        }
    }

    /// Asks for what is wanted and not asked for yet.
    fn subscribe(&mut self, wire: &mut Wire) {
        let wants_all = self.shared.ledger.follows();
        let wants_letters = self.shared.wants_letters.load(Ordering::Acquire);
        for (is_wanted, part) in [(wants_all, Part::All), (wants_letters && !wants_all, Part::Letters)] {
            let is_known = self.has.contains(&part) || self.asked.iter().any(|(_, asked)| *asked == part);
            if !is_wanted || is_known || !self.has_room() {
                continue;
            }
            let wants = match part {
                Part::All => vec![Want { filter: "#".into(), options: WANT_ALL }],
                Part::Letters => vec![Want { filter: names::ALL_DEAD.into(), options: WANT_ALL }],
            };
            let id = self.next_id();
            if part == Part::All {
                self.shared.ledger.begin_states();
            }
            self.shared.letters().begin();
            write_subscribe(id, &wants, Dialect::V5, &mut wire.out);
            self.asked.push((id, part));
        }
    }

    /// Sends what waits, as far as the broker takes it.
    fn send(&mut self, wire: &mut Wire) {
        while self.has_room() && wire.has_room() {
            let (publish, what) = if let Some(words) = self.shared.next_words() {
                (words.publish.clone(), What::Words(Box::new(words)))
            } else if let Some((ticket, publication)) = self.shared.ledger.next_unsent() {
                (spelling::publish(&publication), What::Event(ticket))
            } else {
                return;
            };
            let id = self.next_id();
            write_publish(&Publish { packet_id: id, ..publish }, Dialect::V5, &mut wire.out);
            self.sent.push_back((id, what));
        }
    }

    fn has_room(&self) -> bool {
        self.sent.len() < self.window
    }

    /// A packet id that isn't in use.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1).max(1);
            let id = self.last_id;
            // They are given in order and come back in order, so the oldest ones alone can be in the way; there are always
            // fewer than half of all ids out.
            let is_used =
                self.sent.iter().any(|(used, _)| *used == id) || self.asked.iter().any(|(used, _)| *used == id);
            if !is_used {
                return id;
            }
        }
    }

    fn take(&mut self, packet: Packet, wire: &mut Wire) -> Result<(), Lost> {
        match packet {
            Packet::Publish(publish) => {
                self.heard(&publish);
                if publish.qos > 0 {
                    write_puback(publish.packet_id, &mut wire.out);
                }
            }
            Packet::PubAck { packet_id, reason } => self.acked(packet_id, reason),
            Packet::SubAck { packet_id, reasons } => self.subscribed(packet_id, &reasons),
            Packet::Disconnect { reason, why } => return Err(sent_away(reason, why)),
            Packet::UnsubAck { .. } | Packet::PingResp | Packet::ConnAck(_) => {}
        }
        Ok(())
    }

    fn acked(&mut self, packet_id: u16, reason: u8) {
        // Mostly the first one.
        let Some(at) = self.sent.iter().position(|(id, _)| *id == packet_id) else { return };
        let Some((_, what)) = self.sent.remove(at) else { return };
        let result = if reason < 0x80 { Ok(()) } else { Err(format!("refuses an event: {}", meaning(reason))) };
        match what {
            What::Event(ticket) => self.shared.ledger.acked(ticket, result.map_err(|why| self.shared.sentence(&why))),
            What::Words(words) => {
                if let Some(reply) = words.reply {
                    // Nobody may wait any more.
                    let _ = reply.send(result);
                }
            }
        }
    }

    fn subscribed(&mut self, packet_id: u16, reasons: &[u8]) {
        let Some(at) = self.asked.iter().position(|(id, _)| *id == packet_id) else { return };
        let (_, part) = self.asked.remove(at);
        self.has.push(part);
        if let Some(refused) = reasons.iter().find(|reason| **reason >= 0x80) {
            let filter = if part == Part::All { "#" } else { names::ALL_DEAD };
            let why = self.shared.sentence(&format!("lets us not subscribe to `{filter}`: {}", meaning(*refused)));
            tracing::warn!("{why}");
            self.shared.ledger.cannot_follow(why);
            return;
        }
        if part == Part::All {
            self.shared.ledger.set_echo(true);
        }
        // What is retained comes before what is published now.
        self.marks += 1;
        let mark = format!("{}:{}", part.name(), self.marks);
        self.marked.push((mark.clone(), part));
        let topic = names::mark(&self.client_id);
        self.shared.mention(Publish { qos: 1, topic, payload: mark.into(), ..Publish::default() });
    }

    fn heard(&mut self, publish: &Publish) {
        match names::meaning(&publish.topic) {
            Meaning::Event(topic) => {
                if self.shared.ledger.follows() {
                    let came = spelling::came(publish, topic, self.shared.clock.now());
                    self.shared.ledger.came(came.event, came.sticky, came.is_named);
                }
            }
            Meaning::Dead => {
                let topic: Text = publish.topic.detached();
                let written = self.shared.letters().came(&topic, publish);
                if let Some(written) = written {
                    self.shared.number_letter(topic, written);
                }
                self.shared.bell.ring();
            }
            Meaning::Mark if publish.topic == names::mark(&self.client_id) => self.reached(&publish.payload),
            Meaning::Mark | Meaning::Again | Meaning::Nothing => {}
        }
    }

    /// Our own mark came back: all that was retained has come before it.
    fn reached(&mut self, mark: &[u8]) {
        let Some(at) = self.marked.iter().position(|(known, _)| known.as_bytes() == mark) else { return };
        let (_, part) = self.marked.remove(at);
        let told = self.shared.letters().end();
        for (topic, written) in told {
            self.shared.number_letter(topic, written);
        }
        self.shared.bell.ring();
        if part == Part::All {
            self.shared.ledger.end_states();
        }
    }
}
