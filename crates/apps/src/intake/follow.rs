//! Reading along while somebody looks: what comes now, and beside it what came while nobody looked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_event::{Clock, Position, Principal, Refusal};
use headwater_hub::{From, History, Hub, WatchError};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::all_messages;
use super::board::Board;

/// How often the log is looked at: ten times a second is live to an eye.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long of each of these the past may be counted. Half: the other half of a core belongs to those who write.
const COUNT_FOR: Duration = Duration::from_millis(50);
/// After how long without a request nobody is looking any more.
const LOOKED_AWAY_AFTER: Duration = Duration::from_secs(60);

/// Reads the log for the page.
pub struct Follower {
    hub: Arc<Hub>,
    clock: Clock,
    board: Mutex<Board>,
    looks: Mutex<Looks>,
    /// Grows whenever something new came.
    news: watch::Sender<u64>,
}

/// Who looks, and how far the log has been counted.
#[derive(Default)]
struct Looks {
    is_running: bool,
    at: Option<Instant>,
    /// Parts of the log that haven't been counted yet: after the first, up to and with the second. One a pause.
    uncounted: Vec<(Position, Position)>,
    /// Where the reading along stopped the last time.
    stopped: Option<Position>,
}

impl Follower {
    /// One that does nothing until somebody looks.
    pub fn new(hub: Arc<Hub>, clock: Clock) -> Arc<Self> {
        let (board, looks, news) = (Mutex::default(), Mutex::default(), watch::Sender::new(0));
        Arc::new(Self { hub, clock, board, looks, news })
    }

    /// Somebody looks: the reading goes on for a while, or begins.
    pub fn look(self: &Arc<Self>) {
        let mut looks = self.looks();
        looks.at = Some(Instant::now());
        if looks.is_running {
            return;
        }
        looks.is_running = true;
        let head = self.hub.head();
        let after = looks.stopped.take().unwrap_or_else(|| self.hub.oldest());
        if after.seq < head.seq {
            looks.uncounted.push((after, head));
        }
        tokio::spawn(Arc::clone(self).follow(head));
    }

    /// The board, for a moment.
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes when something new came.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// The present moment.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How many places of the log are still to be counted.
    pub fn uncounted(&self) -> u64 {
        self.looks().uncounted.iter().map(|(after, up_to)| up_to.seq.saturating_sub(after.seq)).sum()
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn follow(self: Arc<Self>, mut at: Position) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut past = None;
        while !self.is_over(at) {
            if self.hub.head() != at {
                at = self.note_after(at).await;
            }
            self.count_past(&mut past).await;
            ticks.tick().await;
        }
    }

    /// Whether nobody looks any more; then the place is kept for the next one who does.
    fn is_over(&self, at: Position) -> bool {
        let mut looks = self.looks();
        if looks.at.is_some_and(|at| at.elapsed() < LOOKED_AWAY_AFTER) {
            return false;
        }
        looks.is_running = false;
        looks.stopped = Some(at);
        true
    }

    /// Reads what came after a place; gives the place after it.
    async fn note_after(&self, after: Position) -> Position {
        let mut history = match self.hub.history(&Principal::anonymous(), all_messages(), From::After(after)) {
            Ok(history) => history,
            Err(error) => return self.after_trouble(after, &error),
        };
        loop {
            match history.next().await {
                Ok(Some(page)) if page.is_empty() => {}
                Ok(Some(page)) => {
                    self.board().note(&page);
                    self.news.send_modify(|news| *news += 1);
                }
                Ok(None) => return place(&history),
                Err(refusal) => return self.after_trouble(place(&history), &refusal.into()),
            }
        }
    }

    /// What can't be read is passed over, and told to whoever runs the hub: the page goes on with what can be.
    fn after_trouble(&self, at: Position, error: &WatchError) -> Position {
        match error {
            WatchError::Gone { oldest } => *oldest,
            WatchError::Refusal(Refusal::Unavailable) => self.hub.head(),
            other => {
                tracing::warn!(%at, error = %other, "intake can't read the log here");
                self.hub.head()
            }
        }
    }

    /// Counts some of the past, in a bounded time.
    async fn count_past(&self, past: &mut Option<(History, Position)>) {
        let begun = Instant::now();
        while begun.elapsed() < COUNT_FOR {
            let Some((history, up_to)) = past else {
                *past = self.next_past();
                if past.is_none() {
                    return;
                }
                continue;
            };
            let is_done = match history.next().await {
                Ok(Some(mut page)) => {
                    page.retain(|recorded| recorded.position.seq <= up_to.seq);
                    self.board().count(&page);
                    history.position().seq >= up_to.seq
                }
                Ok(None) => true,
                Err(refusal) => {
                    tracing::warn!(at = %history.position(), %refusal, "intake can't count the log here");
                    true
                }
            };
            self.counted(place(history), *up_to, is_done);
            if is_done {
                *past = None;
            }
        }
    }

    fn next_past(&self) -> Option<(History, Position)> {
        loop {
            let (after, up_to) = *self.looks().uncounted.last()?;
            let from = if after.seq == 0 { From::Oldest } else { From::After(after) };
            match self.hub.history(&Principal::anonymous(), all_messages(), from) {
                Ok(history) => return Some((history, up_to)),
                Err(WatchError::Gone { oldest }) if oldest.seq < up_to.seq => self.counted(oldest, up_to, false),
                Err(_) => self.counted(up_to, up_to, true),
            }
        }
    }

    fn counted(&self, at: Position, up_to: Position, is_done: bool) {
        let mut looks = self.looks();
        if is_done {
            looks.uncounted.pop();
        } else if let Some(part) = looks.uncounted.last_mut() {
            *part = (at, up_to);
        }
    }
}

/// How far a reading has given what there is. It may have read further, beyond its end, and kept that to itself.
fn place(history: &History) -> Position {
    history.position().min(history.end())
}
