//! The task of a bridge: its connection, made again whenever it's lost, and what happens on it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use headwater_event::Refusal;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::home::Home;
use super::inbound::Inbound;
use super::intake::{Intake, Side};
use super::outbound::Outbound;
use super::record;
use super::settings::{BridgeSettings, Version};
use super::stamps;
use super::told::{Told, Way};
use crate::local::covered::without_covered;
use crate::mqtt::packet::{Dialect, Packet, meaning};
use crate::mqtt::wire::{self, Hello, Lost, Welcome, Wire};
use crate::mqtt::write::{Want, write_subscribe, write_unsubscribe};

/// How long the broker keeps our session while we are away: a month, as long as Headwater keeps one.
const SESSION_EXPIRY: Duration = Duration::from_secs(30 * 86_400);

/// The wait before the first try to connect anew, and the longest: a broker that starts is found within half a minute, and
/// one that is gone isn't hammered.
const BACKOFF_BASE: Duration = Duration::from_millis(200);
const BACKOFF_CAP: Duration = Duration::from_secs(30);

/// A connection that was over sooner, and carried nothing, was none: the next try waits longer.
const SHORT: Duration = Duration::from_secs(5);

/// How often it is asked whether what runs is still allowed: a right that is taken back ends within a second.
const RIGHTS_EVERY: Duration = Duration::from_millis(500);

/// How often it is tried whether what was not allowed has become so.
const RIGHTS_AGAIN: Duration = Duration::from_secs(5);

/// What is not payload in the largest packet: a topic, headers, the first bytes.
const PACKET_BESIDE_PAYLOAD: usize = 96 << 10;

/// Packet ids of what is no publication; those are counted up from 1 and meet these after 65,000.
const SUBSCRIBE_ID: u16 = 65_534;
const UNSUBSCRIBE_ID: u16 = 65_535;

/// Options of a subscription in MQTT 5 beside its QoS: nothing back that came by us, the retain flag as it was published,
/// and the retained ones only when the subscription is new.
const WANT_AS_BRIDGE: u8 = 0b0001_1100;

/// The task.
pub(super) struct Task {
    settings: Arc<BridgeSettings>,
    home: Arc<dyn Home>,
    told: Arc<Told>,
    stop: watch::Receiver<bool>,
    outbound: Outbound,
    inbound: Inbound,
    dialect: Dialect,
    side: Side,
    /// When to ask about rights again, and when to say that we still work on what we hold.
    rights_at: Instant,
    renew_at: Instant,
}

/// How a connection ended.
enum End {
    Left(Wire),
    Lost(Lost),
}

impl Task {
    pub(super) fn new(
        settings: Arc<BridgeSettings>,
        home: Arc<dyn Home>,
        told: Arc<Told>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let outbound = Outbound::new(Arc::clone(&settings), Arc::clone(&home), Arc::clone(&told));
        let none = Intake::recalled(&[]);
        let inbound = Inbound::new(Arc::clone(&settings), Arc::clone(&home), Arc::clone(&told), none);
        let dialect = match settings.version {
            Version::V5 => Dialect::V5,
            Version::V3 => Dialect::V3Bridge,
        };
        let side = Side { own: home.log(), remote: None };
        let now = Instant::now();
        Self { settings, home, told, stop, outbound, inbound, dialect, side, rights_at: now, renew_at: now }
    }

    pub(super) async fn run(mut self) {
        if self.recall().await.is_none() {
            return;
        }
        let mut tries = 0;
        loop {
            // Joined before the first connection: what happens from now on is sent, whenever that may be.
            self.look_after_rights().await;
            let lost = match self.connect().await {
                None => return,
                Some(Ok((wire, welcome))) => {
                    let (since, done) = (Instant::now(), self.told.counts.carried());
                    match self.serve(wire, &welcome).await {
                        End::Left(wire) => return wire.leave(false).await,
                        End::Lost(lost) => {
                            if since.elapsed() > SHORT || self.told.counts.carried() > done {
                                tries = 0;
                            }
                            lost
                        }
                    }
                }
                Some(Err(lost)) => lost,
            };
            if self.dialect == Dialect::V3Bridge && !self.told.is_connected() && is_about_the_dialect(&lost) {
                // It doesn't know bridges: a client like others, then.
                self.dialect = Dialect::V3;
                continue;
            }
            if self.dialect == Dialect::V3 {
                self.dialect = Dialect::V3Bridge;
            }
            self.tell_lost(&lost);
            let wait = backoff(tries);
            tries += 1;
            if self.meanwhile(sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    fn tell_lost(&self, lost: &Lost) {
        let place = &self.settings.place;
        let why = format!("{place} {}", lost.why);
        if self.told.lost(&why) {
            tracing::warn!("bridge {}: {why}; it's tried again", self.settings.name);
        }
    }

    /// Reads what was noted; `None` when it's over.
    async fn recall(&mut self) -> Option<()> {
        if self.settings.incoming.is_empty() {
            return Some(());
        }
        // The bridge's name was checked, so there is such a filter.
        let filter = record::all_of(&self.settings.name)?;
        loop {
            let home = Arc::clone(&self.home);
            let recalled = self.meanwhile(home.recall(&filter)).await?;
            match recalled {
                Ok(notes) => {
                    let intake = Intake::recalled(&notes);
                    let (home, told) = (Arc::clone(&self.home), Arc::clone(&self.told));
                    self.inbound = Inbound::new(Arc::clone(&self.settings), home, told, intake);
                    return Some(());
                }
                Err(refusal) => {
                    self.tell_hindered(Way::In, format!("its notes can't be read: {refusal}"));
                    self.meanwhile(sleep(RIGHTS_AGAIN)).await?;
                }
            }
        }
    }

    fn tell_hindered(&self, way: Way, why: String) {
        if self.told.hindered(way, Some(why.clone())) {
            tracing::warn!("bridge {}: {why}", self.settings.name);
        }
    }

    /// Joins what is to be joined, and lets go what may not be watched any more.
    async fn look_after_rights(&mut self) {
        if self.rights_at > Instant::now() {
            return;
        }
        self.rights_at = Instant::now() + RIGHTS_EVERY;
        if self.settings.outgoing.is_empty() {
            return;
        }
        let good = if self.outbound.is_to_join() { self.outbound.join().await } else { self.outbound.check_rights() };
        match good {
            Ok(()) => {
                self.told.hindered(Way::Out, None);
            }
            Err(why) => {
                self.rights_at = Instant::now() + RIGHTS_AGAIN;
                self.tell_hindered(Way::Out, why);
            }
        }
    }

    /// Waits for something else without forgetting what is held; `None` when the bridge is to stop.
    async fn meanwhile<T>(&mut self, other: impl Future<Output = T>) -> Option<T> {
        let mut other = std::pin::pin!(other);
        let mut renewal = interval(Outbound::renew_every());
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut other => return Some(done),
                result = self.inbound.appended() => self.inbound.settle(result, None),
                _ = renewal.tick() => self.outbound.renew(),
                () = asked(&mut self.stop) => return None,
            }
        }
    }

    async fn connect(&mut self) -> Option<Result<(Wire, Welcome), Lost>> {
        let password = match self.home.password() {
            Ok(password) => password,
            Err(why) => return Some(Err(Lost { why: format!("can't be logged in to: {why}"), is_final: false })),
        };
        let (settings, home) = (Arc::clone(&self.settings), Arc::clone(&self.home));
        let hello = Hello {
            dialect: self.dialect,
            user: settings.user.as_deref(),
            password: password.as_deref(),
            packet_len_max: u32::try_from(home.payload_max() + PACKET_BESIDE_PAYLOAD).unwrap_or(wire::PACKET_LEN_MAX),
            client_id: &settings.client_id,
            is_clean: false,
            session_expiry: SESSION_EXPIRY,
            // As many as are known again after a crash, whatever batches they came in.
            receive_maximum: record::SLOTS as u16,
        };
        self.meanwhile(wire::greet(home.dial(), &hello)).await
    }

    async fn serve(&mut self, mut wire: Wire, welcome: &Welcome) -> End {
        if let Err(lost) = self.take_up(&mut wire, welcome).await {
            return End::Lost(lost);
        }
        self.renew_at = Instant::now();
        loop {
            self.look_after_rights().await;
            if self.renew_at <= Instant::now() {
                self.outbound.renew();
                self.renew_at = Instant::now() + Outbound::renew_every();
            }
            self.outbound.send(&self.side, self.dialect, &mut wire);
            self.inbound.pump(&self.side, &mut wire);
            wire.is_deaf = self.inbound.is_full();
            let at = self.inbound.look_at().into_iter().chain([self.rights_at, self.renew_at]).min();
            let step = tokio::select! {
                step = wire.step() => step,
                deliveries = self.outbound.next() => {
                    self.outbound.take(deliveries);
                    continue;
                }
                result = self.inbound.appended() => {
                    self.inbound.settle(result, Some(&mut wire));
                    continue;
                }
                () = sleep_until(at.unwrap_or_else(Instant::now)) => continue,
                () = asked(&mut self.stop) => return End::Left(wire),
            };
            let heard = match step {
                Ok(None) => Ok(()),
                Ok(Some(packet)) => self.heard(packet, &wire).await,
                Err(lost) => Err(lost),
            };
            if let Err(lost) = heard {
                return End::Lost(lost);
            }
        }
    }

    /// What a new connection begins with.
    async fn take_up(&mut self, wire: &mut Wire, welcome: &Welcome) -> Result<(), Lost> {
        let is_present = welcome.is_session_present;
        let log = welcome.user.iter().find(|(name, _)| name.as_str() == stamps::LOG);
        self.side.remote = log.and_then(|(_, epoch)| epoch.parse().ok());
        self.outbound.begin_connection(is_present, welcome.receive_maximum, welcome.packet_len_max);
        self.inbound.begin(is_present, &self.side);
        if !self.settings.incoming.is_empty() && !is_present {
            let note = self.inbound.intake().begin_session().note(&self.settings.name);
            if let Some(note) = note {
                self.noted(note).await?;
            }
        }
        let waits = !self.settings.incoming.is_empty() && self.subscribe(wire);
        let session = if is_present { "its session goes on" } else { "with a new session" };
        let spoken = if self.dialect.has_properties() { "5.0" } else { "3.1.1" };
        tracing::info!(
            "bridge {}: connected to {} by MQTT {spoken}, {session}",
            self.settings.name,
            self.settings.place
        );
        if !waits {
            self.told.connected();
        }
        Ok(())
    }

    async fn noted(&mut self, note: headwater_event::Publication) -> Result<(), Lost> {
        let noted = tokio::select! {
            noted = self.home.note(note) => noted,
            () = asked(&mut self.stop) => Err(Refusal::Unavailable),
        };
        noted.map_err(|refusal| Lost {
            why: format!("is left: our own log can't be written ({refusal})"),
            is_final: false,
        })
    }

    /// What is wanted of the broker, each with its QoS.
    fn wanted(&self) -> Vec<(String, u8)> {
        let filters: Vec<_> = self.settings.incoming.iter().map(|mapping| mapping.remote_filter().clone()).collect();
        let wanted = without_covered(&filters).into_iter().map(|filter| {
            let of_it = self.settings.incoming.iter().filter(|mapping| mapping.remote_filter() == filter);
            (filter.to_string(), of_it.map(super::settings::Mapping::qos).max().unwrap_or(1))
        });
        wanted.collect()
    }

    /// Asks for what isn't subscribed to yet, and ends what is no longer wanted. A subscription that stands is left alone: in
    /// 3.1.1 all retained messages would come once more. Gives whether an answer is to be waited for: until then what is
    /// published there is lost on us.
    fn subscribe(&mut self, wire: &mut Wire) -> bool {
        let wanted = self.wanted();
        let known = self.inbound.intake().subscribed().to_vec();
        let options = if self.dialect.has_properties() { WANT_AS_BRIDGE } else { 0 };
        let missing = wanted.iter().filter(|want| !known.contains(want));
        let wants: Vec<_> =
            missing.map(|(filter, qos)| Want { filter: filter.clone(), options: options | qos }).collect();
        let over: Vec<&str> = known
            .iter()
            .map(|(filter, _)| filter.as_str())
            .filter(|known| !wanted.iter().any(|(filter, _)| filter == known))
            .collect();
        if !over.is_empty() {
            write_unsubscribe(UNSUBSCRIBE_ID, &over, self.dialect, &mut wire.out);
        }
        if !wants.is_empty() {
            write_subscribe(SUBSCRIBE_ID, &wants, self.dialect, &mut wire.out);
        }
        !wants.is_empty()
    }

    async fn heard(&mut self, packet: Packet, wire: &Wire) -> Result<(), Lost> {
        match packet {
            Packet::Publish(publish) => self.inbound.hear(publish),
            Packet::PubAck { packet_id, reason } => self.outbound.acknowledged(packet_id, reason),
            Packet::PingResp => self.inbound.pong(wire),
            Packet::SubAck { packet_id: SUBSCRIBE_ID, reasons } => self.subscribed(&reasons).await?,
            Packet::Disconnect { reason, why } => {
                let words = why.map(|why| format!(" ({why})")).unwrap_or_default();
                let why = format!("has ended the connection: {}{words}", meaning(reason));
                return Err(Lost { why, is_final: false });
            }
            Packet::SubAck { .. } | Packet::UnsubAck { .. } | Packet::ConnAck(_) => {}
        }
        Ok(())
    }

    async fn subscribed(&mut self, reasons: &[u8]) -> Result<(), Lost> {
        if let Some(refused) = reasons.iter().find(|reason| **reason >= 0x80) {
            let why = format!(
                "lets `{}` not subscribe to all that is to come in: {}",
                self.settings.client_id,
                meaning(*refused)
            );
            self.tell_hindered(Way::Subscribing, why);
        } else {
            let wanted = self.wanted();
            let note = self.inbound.intake().subscribe(wanted).note(&self.settings.name);
            self.told.hindered(Way::Subscribing, None);
            if let Some(note) = note {
                self.noted(note).await?;
            }
        }
        self.told.connected();
        Ok(())
    }
}

/// Waits until the bridge is to stop.
async fn asked(stop: &mut watch::Receiver<bool>) {
    // The one who could ask is gone: that is as good as asked.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whether a connection was refused as a broker does that doesn't know the bit of bridges.
fn is_about_the_dialect(lost: &Lost) -> bool {
    lost.why.contains(meaning(0x01)) || lost.why.contains("has closed the connection")
}

/// The wait before the next try: doubled each time, with a random half taken off.
fn backoff(tries: u32) -> Duration {
    let whole = BACKOFF_BASE.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX)).min(BACKOFF_CAP);
    let [chance, ..] = *uuid::Uuid::new_v4().as_bytes();
    whole.mul_f64(1.0 - f64::from(chance) / 512.0)
}
