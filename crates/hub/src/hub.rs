//! The hub itself: what its parts share, and what edges call beside publishing and watching.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use headwater_event::{Abilities, Bus, Clock, Filter, Health, Position, Principal, Refusal, StickyPage, Time, Topic};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::access::{Access, look_after};
use crate::admission::{Admission, Room};
use crate::encode::Sink;
use crate::gate::Gate;
use crate::heed::Heeded;
use crate::history::History;
use crate::limits::Limits;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::outlet::{Outlet, OutletSettings};
use crate::overhear::Overheard;
use crate::passing::Passing;
use crate::presence::Presence;
use crate::publish::refusal_of;
use crate::pulse::{Pulse, Rates, Second};
use crate::ring::Ring;
use crate::rings::Rings;
use crate::shard::Shard;
use crate::stream::WatchStream;
use crate::watch::{From, Watch, WatchError};
use crate::wheel::Wheel;

/// The most tasks that write to sockets; each ring has a list for each of them.
const SHARDS_MAX: usize = 64;

/// What a hub is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much is taken in.
    pub limits: Limits,
    /// How it is handed out.
    pub fanout: FanoutSettings,
    /// Who may what.
    pub access: Access,
    /// Where the time of an event comes from.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            fanout: FanoutSettings::default(),
            access: Access::open(),
            clock: Clock::system(),
        }
    }
}

/// How what became durable is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanoutSettings {
    /// The bytes that one ring keeps for watchers that lag; who falls further behind reads from the log.
    pub ring_bytes_max: usize,
    /// The bytes of all rings together.
    pub rings_bytes_max: usize,
    /// How many tasks share the work of writing to sockets; 0 takes one a core.
    pub shards: usize,
    /// How exactly heartbeats and idle times are kept.
    pub tick: Duration,
    /// How many watches one outlet may have.
    pub watches_max: usize,
}

impl Default for FanoutSettings {
    fn default() -> Self {
        Self {
            // At 1 MB/s on one filter a watcher may stall for a second before it has to read from the log.
            ring_bytes_max: 1 << 20,
            // 64 filters with a full ring; beyond that each has less.
            rings_bytes_max: 64 << 20,
            shards: 0,
            // A tenth of the shortest useful heartbeat.
            tick: Duration::from_millis(500),
            // DESIGN, limits: 65,536 subscriptions.
            watches_max: 65_536,
        }
    }
}

/// The hub: between the clients' edges and the bus.
///
/// Dropping it stops the fan-out; outlets that are still open get no more.
pub struct Hub {
    core: Arc<Core>,
    tasks: Vec<JoinHandle<()>>,
}

/// What all parts of the hub share.
pub(crate) struct Core {
    pub(crate) gate: Gate,
    pub(crate) admission: Admission,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) fanout: FanoutSettings,
    pub(crate) rings: Rings,
    pub(crate) passing: Passing,
    pub(crate) overheard: Overheard,
    pub(crate) heeded: Heeded,
    pub(crate) shards: Box<[Shard]>,
    /// How many calls the shards have not answered to the end.
    pub(crate) calls: AtomicUsize,
    /// The last of these calls was answered.
    pub(crate) all_written: Notify,
    /// How far live has come: every ring has all that it wants up to here.
    pub(crate) up_to: AtomicU64,
    pub(crate) wheel: Wheel,
    /// The wheel's present tick.
    pub(crate) tick: AtomicU32,
    /// Counts outlets, to deal them out to the shards.
    pub(crate) outlets: AtomicUsize,
    pub(crate) presence: Arc<Presence>,
    pub(crate) pulse: Pulse,
}

impl Core {
    /// As [`Hub::recheck`].
    pub(crate) async fn recheck(&self) -> usize {
        let mut ended = 0;
        self.wheel.visit(|outlet| ended += usize::from(outlet.recheck())).await;
        // Those whose login no longer holds go also when they watch nothing.
        ended + self.presence.dismiss_all(|who| !self.admission.access().stands(who))
    }

    /// Tells the shards that a ring has grown.
    pub(crate) fn call(&self, ring: &Arc<Ring>) {
        for (number, shard) in self.shards.iter().enumerate() {
            if ring.call(number) {
                self.calls.fetch_add(1, Ordering::AcqRel);
                shard.call(ring);
            }
        }
    }

    /// A shard has written to all watchers of a ring for which it was called.
    pub(crate) fn answered(&self) {
        if self.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.all_written.notify_one();
        }
    }

    /// So many ticks are at least this duration.
    pub(crate) fn ticks(&self, duration: Duration) -> u32 {
        let tick = self.fanout.tick.max(Duration::from_millis(1));
        u32::try_from(duration.as_nanos().div_ceil(tick.as_nanos())).unwrap_or(u32::MAX)
    }
}

impl Hub {
    /// Starts a hub over a bus; call it inside of a tokio runtime.
    #[must_use]
    pub fn start(bus: Arc<dyn Bus>, settings: Settings) -> Arc<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let shards = if settings.fanout.shards == 0 { cores() } else { settings.fanout.shards.min(SHARDS_MAX) };
        let gate = Gate::new(bus);
        let core = Arc::new(Core {
            calls: AtomicUsize::new(0),
            all_written: Notify::new(),
            up_to: AtomicU64::new(gate.head().seq),
            gate,
            admission: Admission::new(settings.limits, settings.access),
            metrics: Metrics::default(),
            presence: Presence::new(settings.clock.clone()),
            pulse: Pulse::default(),
            clock: settings.clock,
            fanout: settings.fanout,
            rings: Rings::new(shards),
            passing: Passing::default(),
            overheard: Overheard::default(),
            heeded: Heeded::default(),
            shards: (0..shards).map(|_| Shard::default()).collect(),
            wheel: Wheel::new(),
            tick: AtomicU32::new(0),
            outlets: AtomicUsize::new(0),
        });
        let mut tasks: Vec<_> = (0..shards).map(|number| tokio::spawn(Shard::run(Arc::clone(&core), number))).collect();
        tasks.push(tokio::spawn(Live::new(Arc::clone(&core)).run()));
        tasks.push(tokio::spawn(Wheel::run(Arc::clone(&core))));
        tasks.push(tokio::spawn(Pulse::run(Arc::clone(&core))));
        if let Some(keeper) = core.admission.access().keeper() {
            tasks.push(tokio::spawn(look_after(Arc::clone(&core), Arc::clone(keeper))));
        }
        Arc::new(Self { core, tasks })
    }

    pub(crate) const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// A cheap early answer, before a payload is read: right, size, rate, room. It promises nothing for later.
    ///
    /// # Errors
    /// Why the event would not be taken.
    pub fn precheck(&self, who: &Principal, topic: &Topic, payload_len: usize) -> Result<(), Refusal> {
        let checked = self.core.admission.precheck(who, topic, payload_len);
        checked.inspect_err(|refusal| self.core.metrics.refuse(refusal))
    }

    /// How much may be admitted now: an edge that takes what fits and refuses the rest asks here first.
    #[must_use]
    pub fn room(&self) -> Room {
        self.core.admission.room()
    }

    /// The latest states of the sticky topics that a filter wants, ordered by topic, beginning after topic `after`.
    ///
    /// # Errors
    /// `NotAllowed`, `Unavailable`.
    pub async fn latest(
        &self,
        who: &Principal,
        filter: &Filter,
        after: Option<&Topic>,
        limit: usize,
    ) -> Result<StickyPage, Refusal> {
        let allowed = self.core.admission.access().may_watch(who, filter)?;
        let page = self.core.gate.latest(allowed.filter(), after, limit).await.map_err(refusal_of)?;
        Ok(self.with_announced(page, allowed.filter(), after, limit))
    }

    /// The past of a filter, up to where the log stands now.
    ///
    /// # Errors
    /// `NotAllowed`; `Gone` and `NoSuchPosition` where `from` can't be read from.
    pub fn history(&self, who: &Principal, filter: Filter, from: From) -> Result<History, WatchError> {
        let allowed = self.core.admission.access().may_watch(who, &filter)?;
        History::begin(&self.core.gate, &allowed, from)
    }

    /// How fast all goes, worked out once a second.
    #[must_use]
    pub fn rates(&self) -> Rates {
        self.core.pulse.rates()
    }

    /// The last few minutes, second by second: those that ended after `after`, the oldest first.
    #[must_use]
    pub fn seconds(&self, after: Time) -> Vec<Second> {
        self.core.pulse.seconds(after)
    }

    /// What time it is for this hub.
    #[must_use]
    pub fn now(&self) -> Time {
        self.core.clock.now()
    }

    /// Who is connected.
    #[must_use]
    pub fn presence(&self) -> &Arc<Presence> {
        &self.core.presence
    }

    /// A way out for one connection.
    pub fn outlet(self: &Arc<Self>, who: Principal, sink: Box<dyn Sink>, settings: OutletSettings) -> Arc<Outlet> {
        Outlet::open(&self.core, who, sink, settings)
    }

    /// A watch for one who has no socket to hand over and asks for bytes instead.
    ///
    /// # Errors
    /// As [`Outlet::watch`].
    pub async fn stream(self: &Arc<Self>, who: &Principal, watch: Watch) -> Result<WatchStream, WatchError> {
        self.stream_with(who, watch, OutletSettings::default()).await
    }

    /// As [`Hub::stream`], with heartbeats and limits of its own.
    ///
    /// # Errors
    /// As [`Outlet::watch`].
    pub async fn stream_with(
        self: &Arc<Self>,
        who: &Principal,
        watch: Watch,
        settings: OutletSettings,
    ) -> Result<WatchStream, WatchError> {
        WatchStream::open(self, who, watch, settings).await
    }

    /// How much is taken in: for an edge that tells its clients.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.core.admission.limits()
    }

    /// Rights have changed: asks again for every watch, and ends the connections of those who lost one. Whoever begins to
    /// watch meanwhile is asked by the new rule. Gives how many were ended.
    pub async fn recheck(&self) -> usize {
        self.core.recheck().await
    }

    /// Where the log stands.
    #[must_use]
    pub fn head(&self) -> Position {
        self.core.gate.head()
    }

    /// The earliest position that one can still read after.
    #[must_use]
    pub fn oldest(&self) -> Position {
        self.core.gate.oldest()
    }

    /// What the engine can do.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        self.core.gate.abilities()
    }

    /// Whether the engine works.
    #[must_use]
    pub fn health(&self) -> Health {
        self.core.gate.health()
    }

    /// What was counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.core.metrics
    }

    /// Events and bytes that are on their way to the disk.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let waiting = self.core.admission.waiting();
        (waiting.events(), waiting.bytes())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
