//! What the tests say often: events, members, waits.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use headwater_event::{
    Bus, Delivery, Event, EventId, GroupName, GroupOptions, Headers, Member, Publication, Settlement, Time,
};
use headwater_link::{Engine, Options, open};

/// How long something may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(40);

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("waits for ever")
}

pub async fn link(url: &str, instance: &str) -> Engine {
    open(url, Options::new(instance)).await.expect("a broker")
}

pub fn event(topic: &str, payload: &str) -> Publication {
    let event = Event {
        id: EventId::Uuid(uuid::Uuid::now_v7()),
        topic: topic.parse().unwrap(),
        headers: Headers::from_pairs([("content-type", "text/plain"), ("x", payload)]).unwrap(),
        payload: payload.to_owned().into(),
        at: Time(1_700_000_000_000_000),
    };
    Publication { event, sticky: false }
}

pub fn sticky(topic: &str, payload: &str) -> Publication {
    Publication { sticky: true, ..event(topic, payload) }
}

pub async fn join(bus: &Arc<dyn Bus>, filter: &str) -> Box<dyn Member> {
    let options = GroupOptions::new(vec![filter.parse().unwrap()]);
    soon(bus.join(&GroupName::new("service/w").unwrap(), options)).await.expect("joined")
}

pub fn payload(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.recorded.event.payload).into_owned()
}

pub async fn next(member: &mut Box<dyn Member>, max: usize) -> Vec<Delivery> {
    soon(member.next(max)).await.expect("deliveries")
}

pub async fn done(member: &mut Box<dyn Member>, deliveries: &[Delivery]) -> usize {
    let settlements = deliveries.iter().map(|delivery| (delivery.tag(), Settlement::Done)).collect();
    soon(member.settle(settlements)).await.expect("settled")
}
