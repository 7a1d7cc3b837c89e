//! What all MQTT connections share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_event::{EventId, Refusal, Seq, Text, Time, Topic};
use headwater_hub::Hub;

use super::elsewhere::Elsewhere;
use super::keep;
use super::seats::Seats;
use super::session::Saved;
use super::settings::MqttSettings;
use super::shares::Shares;
use super::wills::Wills;

/// What all MQTT connections of a hub share, whatever they came over. Clones are the same.
#[derive(Clone)]
pub struct Front(Arc<Shared>);

/// The inside of a [`Front`].
pub struct Shared {
    pub(super) hub: Arc<Hub>,
    pub(super) settings: MqttSettings,
    pub(super) seats: Arc<Seats>,
    pub(super) shares: Shares,
    pub(super) wills: Wills,
    pub(super) counts: Counts,
    /// When this process began, for sessions that were connected when the last one died.
    pub(super) started: Time,
    /// The other edges, where there may be some over the same log.
    pub(super) elsewhere: Option<Elsewhere>,
}

/// What is counted, for /metrics and `$SYS`.
#[derive(Debug, Default)]
pub struct Counts {
    /// Publications that came in, refused ones included.
    pub publications: AtomicU64,
    /// Publications that were refused without a word, as their protocol has none for it: 3.1.1, and QoS 0.
    pub refused_silently: AtomicU64,
    /// Connections that were ended for what they sent.
    pub faults: AtomicU64,
    /// Sessions that were taken over by a newer connection of the same client.
    pub taken_over: AtomicU64,
    /// Sessions that were ended as their clients didn't come back in time.
    pub expired: AtomicU64,
}

impl Counts {
    pub(super) fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Front {
    /// A front for the connections of this hub.
    #[must_use]
    pub fn new(hub: Arc<Hub>, settings: MqttSettings) -> Self {
        Self::with(hub, settings, None)
    }

    /// The same, where others may be over the same log: a session resumes on any of them. `home` is this edge's name among
    /// them, one level of a topic, the same after every restart.
    #[must_use]
    pub fn beside_others(hub: Arc<Hub>, settings: MqttSettings, home: &str) -> Self {
        let place = Text::from(EventId::generate().to_string());
        Self::with(hub, settings, Some(Elsewhere::new(place, home.into())))
    }

    fn with(hub: Arc<Hub>, settings: MqttSettings, elsewhere: Option<Elsewhere>) -> Self {
        let started = hub.clock().now();
        Self(Arc::new(Shared {
            hub,
            settings,
            seats: Arc::default(),
            shares: Shares::default(),
            wills: Wills::default(),
            counts: Counts::default(),
            started,
            elsewhere,
        }))
    }

    /// The sessions that are kept, in no order that means anything, and where the next page begins.
    ///
    /// # Errors
    /// `Unavailable` when the log can't be read.
    pub async fn sessions(&self, after: Option<&Topic>) -> Result<(Vec<KeptSession>, Option<Topic>), Refusal> {
        let head = self.hub.head().seq;
        let (mut notes, next) = keep::page(&self.hub, after).await?;
        // Of one session the newest note counts; those of other edges are older.
        notes.sort_by(|a, b| (a.hash(), b.term).cmp(&(b.hash(), a.term)));
        notes.dedup_by(|older, newest| older.hash() == newest.hash());
        let told = |note: keep::Note| Some(KeptSession::new(&note.saved?, note.at, head));
        Ok((notes.into_iter().filter_map(told).collect(), next))
    }

    /// A session's expiry in seconds, within what the settings allow.
    pub(super) fn limit_expiry(&self, asked_s: u32) -> u32 {
        asked_s.min(u32::try_from(self.settings.session_expiry_max.as_secs()).unwrap_or(u32::MAX))
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// How many clients are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.0.seats.len()
    }
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").field("clients", &self.clients()).finish_non_exhaustive()
    }
}

impl std::ops::Deref for Front {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// A session that outlives its connections, as it was saved last.
#[derive(Clone, Debug)]
pub struct KeptSession {
    /// Whose it is.
    pub principal: String,
    /// The client's id.
    pub client: String,
    /// The filters, as the client wrote them.
    pub filters: Vec<String>,
    /// For how many seconds it is kept after its connection has ended.
    pub expiry_s: u32,
    /// When its connection ended; `None` while it was saved with one.
    pub ended: Option<Time>,
    /// When it was saved.
    pub saved: Time,
    /// How many events of the log, wanted or not, lie beyond what it has been given.
    pub behind: u64,
}

impl KeptSession {
    fn new(saved: &Saved, saved_at: Time, head: Seq) -> Self {
        let session = &saved.session;
        let least = session.subscriptions.iter().filter(|subscription| subscription.group.is_none());
        let least = least.map(|subscription| subscription.standing.up_to).min();
        Self {
            principal: session.key.principal().to_owned(),
            client: session.key.client().to_owned(),
            filters: session.subscriptions.iter().map(|subscription| subscription.written.to_string()).collect(),
            expiry_s: session.expiry_s,
            ended: saved.ended,
            saved: saved_at,
            behind: least.map_or(0, |least| head.saturating_sub(least)),
        }
    }
}

/// Whence a connection came.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The other end.
    pub peer: SocketAddr,
    /// The names in its certificate, where it showed one.
    pub names: Vec<Text>,
}
