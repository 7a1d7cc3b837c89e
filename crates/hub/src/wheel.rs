//! One timer for all connections: heartbeats, idle checks, and the walk over everybody when rights have changed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::hub::Core;
use crate::outlet::Outlet;

/// How many ticks one turn has. Who is due later than that is looked at once a turn, which costs a lock.
const SLOTS: u32 = 128;

/// How many outlets are looked at before others get the thread.
const AT_ONCE: usize = 64;

/// All outlets, each in the slot of the tick when it has to be looked at next.
pub(crate) struct Wheel {
    slots: Mutex<Vec<Vec<Weak<Outlet>>>>,
    /// Held by whoever walks: while the timer has a slot's outlets in its hands, a recheck must not pass them by.
    walk: tokio::sync::Mutex<()>,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { slots: Mutex::new((0..SLOTS).map(|_| Vec::new()).collect()), walk: tokio::sync::Mutex::new(()) }
    }

    /// Looks at this outlet at tick `due`, or earlier.
    pub(crate) fn insert(&self, outlet: Weak<Outlet>, now: u32, due: u32) {
        let ahead = due.wrapping_sub(now).clamp(1, SLOTS - 1);
        let slot = now.wrapping_add(ahead) % SLOTS;
        self.lock()[slot as usize].push(outlet);
    }

    /// Ticks for ever.
    pub(crate) async fn run(core: Arc<Core>) {
        let mut ticks = interval(core.fanout.tick.max(std::time::Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let now = core.tick.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
            core.rings.sweep(Instant::now());
            core.wheel.turn(now).await;
        }
    }

    async fn turn(&self, now: u32) {
        let _walk = self.walk.lock().await;
        let due = std::mem::take(&mut self.lock()[(now % SLOTS) as usize]);
        for (at, weak) in due.into_iter().enumerate() {
            if let Some(outlet) = weak.upgrade()
                && let Some(next) = outlet.tick(now)
            {
                self.insert(weak, now, next);
            }
            if at % AT_ONCE == AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Calls `visit` for every outlet there is.
    pub(crate) async fn visit(&self, mut visit: impl FnMut(&Arc<Outlet>)) {
        let _walk = self.walk.lock().await;
        for slot in 0..SLOTS as usize {
            let some: Vec<_> = self.lock()[slot].iter().filter_map(Weak::upgrade).collect();
            for some in some.chunks(AT_ONCE) {
                some.iter().for_each(&mut visit);
                tokio::task::yield_now().await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<Weak<Outlet>>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
