//! `$SYS`: how the hub is, on topics that MQTT clients know from other brokers.

use std::sync::atomic::Ordering;
use std::time::Instant;

use headwater_event::{Event, EventId, Headers, Time, Topic};
use headwater_hub::Hub;

use super::front::Front;
use crate::accept::Stopping;

/// What this program calls itself.
const VERSION: &str = concat!("headwater ", env!("CARGO_PKG_VERSION"));

/// Tells the topics every so often, to those who watch them; nothing of it is kept.
pub(super) async fn run(front: Front, mut stopping: Stopping) {
    let began = Instant::now();
    if front.settings.sys_every.is_zero() {
        return;
    }
    loop {
        front.hub.announce(values(&front, began));
        tokio::select! {
            () = tokio::time::sleep(front.settings.sys_every) => {}
            () = stopping.requested() => return,
        }
    }
}

fn values(front: &Front, began: Instant) -> Vec<Event> {
    let hub: &Hub = &front.hub;
    let metrics = hub.metrics();
    let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed).to_string();
    let (waiting, _) = hub.waiting();
    [
        ("version", VERSION.to_owned()),
        ("uptime", format!("{} seconds", began.elapsed().as_secs())),
        ("clients/connected", front.clients().to_string()),
        ("clients/expired", count(&front.counts.expired)),
        ("subscriptions/count", count(&metrics.watchers)),
        ("messages/received", count(&front.counts.publications)),
        ("messages/sent", count(&metrics.deliveries)),
        ("messages/stored", count(&metrics.published)),
        ("messages/waiting", waiting.to_string()),
        ("bytes/sent", count(&metrics.delivered_bytes)),
        ("publish/messages/dropped", count(&front.counts.refused_silently)),
    ]
    .into_iter()
    .filter_map(|(name, value)| {
        Some(Event {
            id: EventId::generate(),
            topic: Topic::new(format!("$SYS/broker/{name}")).ok()?,
            headers: Headers::none(),
            payload: value.into(),
            at: Time::default(),
        })
    })
    .collect()
}
