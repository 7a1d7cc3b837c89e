//! Shared subscriptions (MQTT 5.0 section 4.8.2): each is a group over the log, and a connection's part in it is a member.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use headwater_event::{Delivery, Filter, GroupName, GroupOptions, Member, Seq, Settlement, Tag};
use headwater_hub::{Encode, Hub, Outlet};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::packet::Qos;
use super::spelling::Spelling;

/// How many deliveries of one shared subscription may be unsettled at once, over all of its members: sixteen clients with
/// full windows.
const IN_FLIGHT_MAX: usize = 16_384;

/// How many deliveries are taken at a time.
const AT_ONCE: usize = 64;

/// How many settlements may wait for the member's task: as many as there can be deliveries under way on one connection.
const SETTLED_MAX: usize = 65_536;

/// What the name of a group of ours begins with.
const PREFIX: &str = "mqtt/share/";

/// Who shares what, so that a group ends with its last subscription, and a publication that is kept nowhere finds out
/// whether a group wants it.
#[derive(Default)]
pub(super) struct Shares {
    by_name: Mutex<HashMap<GroupName, (Filter, usize)>>,
    /// How many there are: mostly none, and then nothing is locked for a publication.
    count: AtomicUsize,
}

/// The name of the group of `$share/NAME/FILTER`; `None` when it is too long.
pub(super) fn group_name(share: &str, filter: &str) -> Option<GroupName> {
    GroupName::new(format!("{PREFIX}{share}/{filter}")).ok()
}

impl Shares {
    /// A session has a subscription more.
    pub(super) fn enter(&self, name: &GroupName, filter: &Filter) {
        let mut by_name = self.lock();
        by_name.entry(name.clone()).or_insert_with(|| (filter.clone(), 0)).1 += 1;
        self.count.store(by_name.len(), Ordering::Release);
    }

    /// A session has a subscription less; gives whether it was the last, and the group is to be ended.
    pub(super) fn leave(&self, name: &GroupName) -> bool {
        let mut by_name = self.lock();
        let Some((_, count)) = by_name.get_mut(name) else { return false };
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            by_name.remove(name);
        }
        self.count.store(by_name.len(), Ordering::Release);
        is_last
    }

    /// Whether some group wants this topic: then it must be in the log, as a group reads nothing else.
    pub(super) fn want(&self, topic: &str) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.lock().values().any(|(filter, _)| filter.matches(topic))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GroupName, (Filter, usize)>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's part in a shared subscription. Dropping it gives back what is unsettled, to the others.
pub(super) struct Share {
    task: AbortHandle,
    settled: mpsc::Sender<Seq>,
    /// Rung when the client may have room for more.
    room: Arc<Notify>,
}

impl Share {
    /// Joins the group and begins to hand its events to the client.
    ///
    /// # Errors
    /// As [`Hub::join`].
    pub(super) async fn begin(
        hub: &Hub,
        outlet: &Arc<Outlet>,
        group: &GroupName,
        filter: &Filter,
        spelling: Spelling,
    ) -> Result<Self, headwater_event::Refusal> {
        let options = GroupOptions {
            in_flight_max: IN_FLIGHT_MAX,
            // MQTT has no dead letters: what nobody acknowledges comes again for as long as somebody subscribes.
            attempts_max: 0,
            ..GroupOptions::new(Vec::new())
        };
        let member = hub.join(outlet.who(), filter, group, options).await?;
        let (settled, from_client) = mpsc::channel(SETTLED_MAX);
        let room = Arc::new(Notify::new());
        let part = Part {
            member,
            outlet: Arc::downgrade(outlet),
            filter: filter.clone(),
            spelling,
            room: Arc::clone(&room),
            waiting: std::collections::VecDeque::new(),
            under_way: HashMap::new(),
        };
        let task = tokio::spawn(part.run(from_client)).abort_handle();
        Ok(Self { task, settled, room })
    }

    /// The client has acknowledged this event, or at least has it for good.
    pub(super) fn settle(&self, seq: Seq) {
        // It has room for all that can be under way.
        let _ = self.settled.try_send(seq);
    }
}

impl Share {
    /// The client may have room for more.
    pub(super) fn look_again(&self) {
        self.room.notify_one();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task behind a [`Share`].
struct Part {
    member: Box<dyn Member>,
    outlet: std::sync::Weak<Outlet>,
    filter: Filter,
    spelling: Spelling,
    /// Rung when the client has room for more.
    room: Arc<Notify>,
    waiting: std::collections::VecDeque<Delivery>,
    under_way: HashMap<Seq, Tag>,
}

impl Part {
    async fn run(mut self, mut from_client: mpsc::Receiver<Seq>) {
        let mut renewal = interval((self.member.lease() / 3).max(Duration::from_millis(100)));
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wants_more = self.waiting.is_empty();
            let mut done = Vec::new();
            tokio::select! {
                biased;
                settled = from_client.recv() => {
                    let Some(first) = settled else { return };
                    done.push(first);
                    while let Ok(more) = from_client.try_recv() {
                        done.push(more);
                    }
                }
                () = self.room.notified(), if !wants_more => {}
                _ = renewal.tick() => self.renew(),
                next = self.member.next(AT_ONCE), if wants_more => match next {
                    Ok(deliveries) => self.waiting.extend(deliveries),
                    Err(error) => {
                        tracing::debug!(%error, "a shared subscription ends");
                        return;
                    }
                },
            }
            let mut tags: Vec<_> = done.iter().filter_map(|seq| self.under_way.remove(seq)).collect();
            if self.hand_out(&mut tags).is_none() {
                return;
            }
            let settlements = tags.into_iter().map(|tag| (tag, Settlement::Done)).collect::<Vec<_>>();
            if !settlements.is_empty() && self.member.settle(settlements).await.is_err() {
                return;
            }
        }
    }

    /// Gives the client what it has room for; what needs no acknowledgement, or no packet, is settled at once. `None` when
    /// the connection is gone.
    fn hand_out(&mut self, done: &mut Vec<Tag>) -> Option<()> {
        let outlet = self.outlet.upgrade()?;
        while let Some(delivery) = self.waiting.front() {
            let (seq, tag) = (delivery.recorded.position.seq, delivery.tag());
            let mut packet = Vec::new();
            self.spelling.event(&self.filter, &delivery.recorded, &mut packet);
            let is_settled = packet.is_empty() || self.spelling.qos_of(&delivery.recorded.event) == Qos::AtMostOnce;
            let is_sent = match is_settled {
                true if packet.is_empty() => true,
                true => outlet.send(Bytes::from(packet)).is_ok(),
                false => outlet.send_counted(seq, None, Bytes::from(packet)).unwrap_or(false),
            };
            if !is_sent {
                return Some(());
            }
            if is_settled {
                done.push(tag);
            } else {
                self.under_way.insert(seq, tag);
            }
            self.waiting.pop_front();
        }
        Some(())
    }

    fn renew(&mut self) {
        let tags: Vec<_> = self.under_way.values().copied().chain(self.waiting.iter().map(Delivery::tag)).collect();
        self.member.renew(&tags);
    }
}
