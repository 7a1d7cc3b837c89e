//! What all Socket.IO sessions share, and the one wheel that pings them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwater_event::Principal;
use headwater_hub::Hub;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use super::namespaces::Namespaces;
use super::session::{End, Session};
use super::settings::Settings;
use super::way::Way;
use crate::accept::Stopping;

/// How many slots one turn of the wheel has; who is due later is looked at once a turn.
const SLOTS: usize = 256;

/// How many sessions are looked at before others get the thread.
const AT_ONCE: usize = 64;

/// The longest time that one who is refused for the rush is asked to wait, in milliseconds; the shortest is a second.
const RETRY_MS_MAX: u32 = 5_000;

/// What all Socket.IO sessions of a hub share. Clones are the same.
#[derive(Clone)]
pub struct Front(pub(super) Arc<Shared>);

/// The inside of a [`Front`].
pub(super) struct Shared {
    pub(super) hub: Arc<Hub>,
    pub(super) settings: Settings,
    pub(super) namespaces: Namespaces,
    sessions: Mutex<HashMap<Box<str>, Arc<Session>>>,
    wheel: Mutex<Wheel>,
    tick: Duration,
    rush: Mutex<Rush>,
    counts: Counts,
    is_stopping: AtomicBool,
    waits_for_end: AtomicBool,
}

/// What is counted, for /metrics.
#[derive(Debug, Default)]
pub struct Counts {
    /// Sessions that began.
    pub opened: AtomicU64,
    /// Sessions that became WebSockets after they had begun with polls.
    pub upgraded: AtomicU64,
    /// Sessions that were ended for what their clients sent or didn't read.
    pub faults: AtomicU64,
    /// Sessions whose clients didn't answer a ping.
    pub silent: AtomicU64,
    /// Handshakes that were refused for the rush.
    pub rushed: AtomicU64,
}

struct Wheel {
    slots: Vec<Vec<Weak<Session>>>,
    /// The slot that was looked at last, and when.
    at: usize,
    now: Instant,
}

/// How many sessions may still begin.
struct Rush {
    left: f64,
    since: Instant,
}

/// Too many begin at once: when to come back.
pub(super) struct TooMany {
    pub(super) retry_ms: u32,
}

impl Front {
    /// A front for the sessions of this hub; call it inside of a tokio runtime.
    #[must_use]
    pub fn new(hub: Arc<Hub>, settings: Settings, namespaces: Namespaces) -> Self {
        let now = Instant::now();
        // A twentieth of what a client has for its pong, within what a timer can do and what a person would notice.
        let tick = (settings.pong_max / 20).clamp(Duration::from_millis(5), Duration::from_millis(250));
        let wheel = Wheel { slots: (0..SLOTS).map(|_| Vec::new()).collect(), at: 0, now };
        let rush = Rush { left: f64::from(settings.connects_per_second) * 2.0, since: now };
        let shared = Arc::new(Shared {
            hub,
            settings,
            namespaces,
            sessions: Mutex::default(),
            wheel: Mutex::new(wheel),
            tick,
            rush: Mutex::new(rush),
            counts: Counts::default(),
            is_stopping: AtomicBool::new(false),
            waits_for_end: AtomicBool::new(false),
        });
        tokio::spawn(turn(Arc::downgrade(&shared), tick));
        Self(shared)
    }

    /// How it behaves.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        lock(&self.0.sessions).len()
    }

    /// Whether this path is served here.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        path.strip_prefix(self.0.settings.path.as_str()).is_some_and(|rest| rest.is_empty() || rest == "/")
    }
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front").field("sessions", &self.sessions()).finish_non_exhaustive()
    }
}

/// 122 bits that nobody can guess.
pub(super) fn new_sid() -> String {
    URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes())
}

impl Shared {
    /// Begins a session that was [admitted](Self::admit), whose way may already be a socket.
    pub(super) fn open(
        self: &Arc<Self>,
        way: impl FnOnce(&str) -> Way,
        who: Principal,
        peer: SocketAddr,
        stopping: &Stopping,
    ) -> Arc<Session> {
        let sid = new_sid();
        let way = way(&sid);
        let session = Session::new(self, sid.into(), way, who, peer);
        if self.settings.is_engine_echo {
            let _ = session.outlet_for(&session.who);
        }
        lock(&self.sessions).insert(session.sid.clone(), Arc::clone(&session));
        self.counts.opened.fetch_add(1, Ordering::Relaxed);
        self.look_at(&session);
        self.wait_for_end(stopping);
        session
    }

    fn look_at(&self, session: &Arc<Session>) {
        let now = Instant::now();
        if let Some(due) = session.tick(now) {
            lock(&self.wheel).insert(Arc::downgrade(session), due, self.tick);
        }
    }

    /// Whether one more may begin now.
    pub(super) fn admit(&self) -> Result<(), TooMany> {
        let per_s = f64::from(self.settings.connects_per_second);
        let mut rush = lock(&self.rush);
        let now = Instant::now();
        rush.left = (rush.left + now.duration_since(rush.since).as_secs_f64() * per_s).min(per_s * 2.0);
        rush.since = now;
        if rush.left < 1.0 || self.is_stopping.load(Ordering::Relaxed) {
            drop(rush);
            self.counts.rushed.fetch_add(1, Ordering::Relaxed);
            return Err(TooMany { retry_ms: jitter(1_000, RETRY_MS_MAX) });
        }
        rush.left -= 1.0;
        Ok(())
    }

    pub(super) fn find(&self, sid: &str) -> Option<Arc<Session>> {
        lock(&self.sessions).get(sid).cloned()
    }

    /// A session has ended.
    pub(super) fn ended(&self, session: &Session, end: End) {
        lock(&self.sessions).remove(&session.sid);
        match end {
            End::Fault(why) => {
                tracing::debug!(peer = %session.peer, why, "a Socket.IO session was ended");
                self.counts.faults.fetch_add(1, Ordering::Relaxed);
            }
            End::Silent => drop(self.counts.silent.fetch_add(1, Ordering::Relaxed)),
            End::Client | End::GoingAway(_) | End::SentAway(_) => {}
        }
    }

    pub(super) fn upgraded(&self) {
        self.counts.upgraded.fetch_add(1, Ordering::Relaxed);
    }

    /// One task waits for the end on behalf of everybody.
    fn wait_for_end(self: &Arc<Self>, stopping: &Stopping) {
        if self.waits_for_end.swap(true, Ordering::Relaxed) {
            return;
        }
        let (shared, mut stopping) = (Arc::downgrade(self), stopping.clone());
        tokio::spawn(async move {
            stopping.requested().await;
            if let Some(shared) = shared.upgrade() {
                shared.is_stopping.store(true, Ordering::Relaxed);
                shared.drain().await;
            }
        });
    }

    /// Sends everybody away, spread over a while, so that they come back spread over a while.
    async fn drain(&self) {
        let all: Vec<_> = lock(&self.sessions).values().cloned().collect();
        let every = self.settings.drain / u32::try_from(all.len().div_ceil(AT_ONCE).max(1)).unwrap_or(u32::MAX);
        for some in all.chunks(AT_ONCE) {
            some.iter().for_each(|session| session.end(End::GoingAway(jitter(1_000, RETRY_MS_MAX))));
            if some.len() == AT_ONCE {
                tokio::time::sleep(every).await;
            }
        }
    }
}

fn jitter(min: u32, max: u32) -> u32 {
    let random = Uuid::new_v4().as_u128();
    min + u32::try_from(random % u128::from(max - min)).unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wheel {
    fn insert(&mut self, session: Weak<Session>, due: Instant, tick: Duration) {
        let ahead = due.saturating_duration_since(self.now).as_nanos().div_ceil(tick.as_nanos().max(1));
        let ahead = usize::try_from(ahead).unwrap_or(SLOTS).clamp(1, SLOTS - 1);
        let slot = (self.at + ahead) % SLOTS;
        self.slots[slot].push(session);
    }
}

/// Turns the wheel for as long as there is a front.
async fn turn(shared: Weak<Shared>, tick: Duration) {
    let mut ticks = interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let now = Instant::now();
        let due = {
            let mut wheel = lock(&shared.wheel);
            wheel.at = (wheel.at + 1) % SLOTS;
            wheel.now = now;
            let at = wheel.at;
            std::mem::take(&mut wheel.slots[at])
        };
        for (at, weak) in due.into_iter().enumerate() {
            if let Some(next) = weak.upgrade().and_then(|session| session.tick(now)) {
                lock(&shared.wheel).insert(weak, next, tick);
            }
            if at % AT_ONCE == AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}
