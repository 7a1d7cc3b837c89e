//! What a client wants to be said when it's gone (MQTT 5.0 section 3.1.2.5), and how long that may wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_event::{Event, EventId, Headers, Principal, Publication, Time, Topic};
use headwater_hub::Hub;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::front::Front;
use super::headers;
use super::packet::{self, Qos};
use super::seats::Key;

/// How many wills may wait at once. Beyond that they are published without their delay, which a client must expect anyway
/// when its session ends early.
const WAITING_MAX: usize = 65_536;

/// A will, as it will be published.
#[derive(Debug)]
pub(super) struct Will {
    pub(super) topic: Topic,
    headers: Headers,
    payload: bytes::Bytes,
    qos: Qos,
    is_retained: bool,
    pub(super) delay: Duration,
}

/// The wills that wait.
#[derive(Default)]
pub(super) struct Wills {
    waiting: Mutex<HashMap<Key, Waiting>>,
}

struct Waiting {
    timer: AbortHandle,
    /// Ends the wait.
    now: Arc<Notify>,
    /// Tells this will from a later one of the same client.
    turn: Arc<()>,
}

impl Will {
    /// Takes the will out of a CONNECT.
    ///
    /// # Errors
    /// Which reason to refuse the CONNECT with.
    pub(super) fn new(will: packet::Will) -> Result<Self, packet::Reason> {
        let headers = headers::of_publication(will.qos, will.properties.as_deref(), None)?;
        let topic = Topic::new(will.topic.detached()).map_err(|_| packet::Reason::TOPIC_NAME_INVALID)?;
        Ok(Self {
            topic,
            headers,
            // It stays for as long as the connection, and mustn't keep the read buffer.
            payload: bytes::Bytes::copy_from_slice(&will.payload),
            qos: will.qos,
            is_retained: will.retain,
            delay: Duration::from_secs(u64::from(will.delay)),
        })
    }

    /// Publishes it, if the client still may.
    pub(super) async fn publish(self, front: &Front, who: &Principal) {
        let hub: &Hub = &front.hub;
        let Self { topic, headers, payload, qos, is_retained, delay: _ } = self;
        let event = Event { id: EventId::generate(), topic, headers, payload, at: Time::default() };
        let published = if qos == Qos::AtMostOnce && !is_retained && front.elsewhere.is_none() {
            hub.pass(who, vec![event])
        } else {
            match hub.publish(who, vec![Publication { event, sticky: is_retained }]) {
                Ok(durable) => durable.await.map(drop),
                Err(refusal) => Err(refusal),
            }
        };
        if let Err(refusal) = published {
            tracing::info!(who = who.name(), %refusal, "a will was not published");
        }
    }
}

impl Wills {
    /// Publishes a will after its delay, unless the client comes back before.
    pub(super) fn wait(&self, front: &Front, key: Key, who: Principal, will: Will, delay: Duration) {
        let turn = Arc::new(());
        let (later, of_later, own) = (front.clone(), key.clone(), Arc::clone(&turn));
        let mut waiting = self.lock();
        let delay = if waiting.len() >= WAITING_MAX { Duration::ZERO } else { delay };
        let now = Arc::new(Notify::new());
        let hastened = Arc::clone(&now);
        let task = tokio::spawn(async move {
            // Whether the time is over or hastened, it's the same.
            let _ = tokio::time::timeout(delay, hastened.notified()).await;
            will.publish(&later, &who).await;
            later.wills.forget(&of_later, &own);
        });
        waiting.insert(key, Waiting { timer: task.abort_handle(), now, turn });
    }

    /// The client is back with its session: its will isn't published any more.
    pub(super) fn cancel(&self, key: &Key) {
        if let Some(waiting) = self.lock().remove(key) {
            waiting.timer.abort();
        }
    }

    /// The session has ended before the delay: its will is published now (MQTT 5.0 section 3.1.3.2.2).
    pub(super) fn hasten(&self, key: &Key) {
        if let Some(waiting) = self.lock().remove(key) {
            waiting.now.notify_one();
        }
    }

    fn forget(&self, key: &Key, turn: &Arc<()>) {
        let mut waiting = self.lock();
        if waiting.get(key).is_some_and(|waiting| Arc::ptr_eq(&waiting.turn, turn)) {
            waiting.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
