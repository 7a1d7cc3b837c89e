//! How the hub stands, in numbers that were there already: asking costs the same, whatever the hub has to do.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::response::Response;
use headwater_edge::accept::AcceptCounts;
use headwater_edge::http::{Problem, Query};
use headwater_edge::process;
use headwater_event::{Health, Time};
use headwater_hub::pulse::Quantiles;
use headwater_hub::{Hub, metrics::REFUSAL_NAMES};
use serde_json::{Map, Value, json};

use crate::console::spelling::{answer, moment};
use crate::console::{Console, Shared};

/// `GET /v1/admin/overview`
pub async fn overview(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    Query::read(request.uri().query(), &[])?;
    Ok(answer(&overview_of(&console.0)))
}

fn overview_of(shared: &Shared) -> Value {
    let (hub, metrics) = (&shared.hub, shared.hub.metrics());
    let failing = match hub.health() {
        Health::Good => None,
        Health::Failing(why) => Some(why),
    };
    let limits = hub.limits();
    let (waiting_events, waiting_bytes) = hub.waiting();
    let room = hub.room();
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let usage = process::usage();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now": moment(hub.now()),
        "up_ms": u64::try_from(shared.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "failing": failing,
        "log": {
            "head": hub.head().to_string(),
            "oldest": hub.oldest().to_string(),
            "bytes": shared.facts.embedded.as_ref().map(|log| log.bytes()),
        },
        "rates": rates(hub),
        "totals": {
            "events": read(&metrics.published),
            "event_bytes": read(&metrics.published_bytes),
            "duplicates": read(&metrics.duplicates),
            "deliveries": read(&metrics.deliveries),
            "delivered_bytes": read(&metrics.delivered_bytes),
            "refused": metrics.refused_by_name().map(named).collect::<Map<_, _>>(),
            "lagging": read(&metrics.lagging),
            "gaps": read(&metrics.gaps),
        },
        "waiting": {
            "events": waiting_events,
            "events_max": limits.waiting_events_max,
            "events_now_max": waiting_events + room.events,
            "bytes": waiting_bytes,
            "bytes_max": limits.waiting_bytes_max,
        },
        "connections": hub.presence().len(),
        "watches": read(&metrics.watchers),
        "rings": { "count": read(&metrics.rings), "bytes": read(&metrics.ring_bytes) },
        "process": usage.map(|usage| json!({ "memory_bytes": usage.rss_bytes, "cpu_s": usage.cpu.as_secs_f64() })),
        "listeners": listeners(shared),
        "apps": shared.facts.apps.iter().map(|app| {
            json!({ "name": app.name(), "title": app.title(), "about": app.about() })
        }).collect::<Vec<_>>(),
    })
}

fn named<T: Into<Value>>((name, value): (&'static str, T)) -> (String, Value) {
    (name.to_owned(), value.into())
}

fn rates(hub: &Hub) -> Value {
    let rates = hub.rates();
    json!({
        "events": rates.events,
        "event_bytes": rates.event_bytes,
        "deliveries": rates.deliveries,
        "delivered_bytes": rates.delivered_bytes,
        "refused": REFUSAL_NAMES.into_iter().zip(rates.refused).map(named).collect::<Map<_, _>>(),
        "ack": ack(&rates.ack),
    })
}

fn ack(ack: &Quantiles) -> Value {
    json!({ "p50_us": ack.p50_us, "p90_us": ack.p90_us, "p99_us": ack.p99_us, "p999_us": ack.p999_us })
}

fn listeners(shared: &Shared) -> Vec<Value> {
    let counts =
        |protocol: &str| shared.facts.counts.iter().find(|(name, _)| *name == protocol).map(|(_, counts)| counts);
    let spelt = shared.facts.listening.iter().map(|(protocol, addr)| {
        let number = |read: fn(&AcceptCounts) -> u64| counts(protocol).map(|counts| read(counts));
        json!({
            "protocol": protocol,
            "addr": addr.to_string(),
            "open": number(AcceptCounts::open),
            "accepted": number(AcceptCounts::accepted),
            "refused": number(AcceptCounts::refused),
        })
    });
    spelt.collect()
}

/// `GET /v1/admin/seconds`: what the charts are drawn from.
pub async fn seconds(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    let query = Query::read(request.uri().query(), &["after"])?;
    let after = query.parsed::<u64>("after")?.unwrap_or(0);
    let seconds = console.0.hub.seconds(Time(after.saturating_mul(1_000)));
    let rows: Vec<Value> = seconds
        .into_iter()
        .map(|second| {
            json!({
                "at_ms": second.at.as_micros() / 1_000,
                "events": second.events,
                "deliveries": second.deliveries,
                "refused": second.refused,
                "event_bytes": second.event_bytes,
                "delivered_bytes": second.delivered_bytes,
                "p50_us": second.p50_us,
                "p99_us": second.p99_us,
                "waiting": second.waiting,
                "connections": second.connections,
                "watches": second.watches,
            })
        })
        .collect();
    Ok(answer(&json!({ "seconds": rows })))
}
