//! Shared subscriptions (MQTT 5.0 section 4.8.2): each is a group over the log, and a connection's part in it is a member.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use headwater_event::{Delivery, Filter, GroupName, GroupOptions, Member, Seq, Settlement, Tag};
use headwater_hub::{Hub, Outlet};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::packet::Qos;
use super::spelling::Spelling;

/// How many deliveries of one shared subscription may be unsettled at once, over all of its members: sixteen clients with
/// full windows.
const IN_FLIGHT_MAX: usize = 16_384;

/// How many deliveries are taken at a time.
const AT_ONCE: usize = 64;

/// How long a part may take for what was said to it when its connection has ended.
const END_TIME_MAX: Duration = Duration::from_secs(5);

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

/// What the connection says to its part.
enum Word {
    /// The client has acknowledged this event, or at least has it for good.
    Settled(Seq),
    /// The subscription was made again, in another way.
    Respell(Box<Spelling>),
    /// The connection has ended: nothing more is handed out. Wants to know which deliveries of QoS 2 have begun.
    Hold(oneshot::Sender<Vec<Seq>>),
}

/// One connection's part in a shared subscription. Dropping it gives back what is unsettled, to the others.
pub(super) struct Share {
    task: JoinHandle<()>,
    words: mpsc::Sender<Word>,
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
        let (words, from_client) = mpsc::channel(SETTLED_MAX);
        let room = Arc::new(Notify::new());
        let part = Part {
            member,
            outlet: Arc::downgrade(outlet),
            spelling,
            room: Arc::clone(&room),
            waiting: std::collections::VecDeque::new(),
            under_way: HashMap::new(),
            is_held: false,
        };
        let task = tokio::spawn(part.run(from_client));
        Ok(Self { task, words, room })
    }

    /// The client has acknowledged this event, or at least has it for good.
    pub(super) fn settle(&self, seq: Seq) {
        // It has room for all that can be under way.
        let _ = self.words.try_send(Word::Settled(seq));
    }

    /// The subscription was made again: what is handed out from now on is spelled this way. What is under way stays so.
    pub(super) fn respell(&self, spelling: Spelling) {
        let _ = self.words.try_send(Word::Respell(Box::new(spelling)));
    }

    /// Hands nothing more out, and gives those deliveries of QoS 2 that have begun: they must stay with this client's session
    /// (MQTT 5.0 section 4.8.2). All others go to the other members when this part ends.
    pub(super) async fn hold(&self) -> Vec<Seq> {
        let (tell, told) = oneshot::channel();
        let told = async {
            self.words.send(Word::Hold(tell)).await.ok()?;
            told.await.ok()
        };
        tokio::time::timeout(END_TIME_MAX, told).await.ok().flatten().unwrap_or_default()
    }

    /// Ends once all that was said to it is done.
    pub(super) async fn end(mut self) {
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.words, closed));
        // It has only to settle what was said, so it ends; it is stopped by force all the same when the log can't be written.
        let _ = tokio::time::timeout(END_TIME_MAX, &mut self.task).await;
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
    spelling: Spelling,
    /// Rung when the client has room for more.
    room: Arc<Notify>,
    waiting: std::collections::VecDeque<Delivery>,
    under_way: HashMap<Seq, (Tag, Qos)>,
    /// Nothing more is handed out.
    is_held: bool,
}

impl Part {
    async fn run(mut self, mut from_client: mpsc::Receiver<Word>) {
        let mut renewal = interval((self.member.lease() / 3).max(Duration::from_millis(100)));
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wants_more = self.waiting.is_empty() && !self.is_held;
            let mut done = Vec::new();
            tokio::select! {
                biased;
                word = from_client.recv() => {
                    let Some(first) = word else { return };
                    self.hear(first, &mut done);
                    while let Ok(more) = from_client.try_recv() {
                        self.hear(more, &mut done);
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
            if !self.is_held && self.hand_out(&mut done).is_none() {
                return;
            }
            let settlements = done.into_iter().map(|tag| (tag, Settlement::Done)).collect::<Vec<_>>();
            if !settlements.is_empty() && self.member.settle(settlements).await.is_err() {
                return;
            }
        }
    }

    fn hear(&mut self, word: Word, done: &mut Vec<Tag>) {
        match word {
            Word::Settled(seq) => done.extend(self.under_way.remove(&seq).map(|(tag, _)| tag)),
            Word::Respell(spelling) => self.spelling = *spelling,
            Word::Hold(tell) => {
                self.is_held = true;
                let of_qos_2 = self.under_way.iter().filter(|(_, (_, qos))| *qos == Qos::ExactlyOnce);
                let mut seqs: Vec<_> = of_qos_2.map(|(seq, _)| *seq).collect();
                seqs.sort_unstable();
                let _ = tell.send(seqs);
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
            self.spelling.attempt(&delivery.recorded, delivery.attempt, &mut packet);
            let qos = self.spelling.qos_of(&delivery.recorded.event);
            let is_settled = packet.is_empty() || qos == Qos::AtMostOnce;
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
                self.under_way.insert(seq, (tag, qos));
            }
            self.waiting.pop_front();
        }
        Some(())
    }

    fn renew(&mut self) {
        let under_way = self.under_way.values().map(|(tag, _)| *tag);
        let tags: Vec<_> = under_way.chain(self.waiting.iter().map(Delivery::tag)).collect();
        self.member.renew(&tags);
    }
}
