//! `GET /metrics`: counts for Prometheus. Never a label per topic or client: their number has no bound.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use headwater_event::{Health, Later};
use headwater_hub::metrics::LATENCY_BUCKETS_US;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::problem::Problem;
use super::routes::App;
use crate::accept::AcceptCounts;
use crate::process;

/// The text format that this is (OpenMetrics 1.0).
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How one group stands.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupCount {
    /// Its name.
    pub name: String,
    /// How many events it is behind.
    pub backlog: u64,
    /// The age of the oldest that isn't settled, in seconds; 0 where none waits.
    pub oldest_unsettled_s: f64,
}

/// Tells how the groups stand, a bounded number of them. It may ask an engine, within a bounded time.
pub type Groups = Arc<dyn Fn() -> Later<'static, Vec<GroupCount>> + Send + Sync>;

/// What is counted now. Nothing is counted for this but how far groups are behind: the counts are there, and are read.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response<Body>, Problem> {
    let groups = match &app.groups {
        Some(groups) => groups().await,
        None => Vec::new(),
    };
    let mut registry = Registry::with_prefix("headwater");
    registry.register_collector(Box::new(Counts(app, groups)));
    let mut out = String::with_capacity(8 * 1_024);
    text::encode(&mut out, &registry)
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the counts can't be written"))?;
    let mut response = Response::new(Body::from(out));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(KIND));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A family of figures that another part of the program has: one for each member of a closed set, such as the bridges of the
/// settings.
#[derive(Clone)]
pub struct Figure {
    /// Its name, without `headwater_` and without `_total`.
    pub name: &'static str,
    /// What it is, in a sentence without a full stop.
    pub help: &'static str,
    /// The label's name.
    pub label: &'static str,
    /// Whether it only grows.
    pub is_count: bool,
    /// The label's values, each with its figure now.
    pub read: Arc<dyn Fn() -> Vec<(String, u64)> + Send + Sync>,
}

struct Counts(Arc<App>, Vec<GroupCount>);

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counts")
    }
}

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut say = Say(&mut encoder);
        hub(&self.0, &mut say)?;
        connections(&self.0.listeners, &mut say)?;
        if let Some(front) = &self.0.socketio {
            socketio(front, &mut say)?;
        }
        if let Some(front) = &self.0.mqtt {
            mqtt(front, &mut say)?;
        }
        groups(&self.1, &mut say)?;
        for figure in &self.0.figures {
            say.figure(figure)?;
        }
        process_of(&mut say)
    }
}

/// Writes one count after the other.
struct Say<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Say<'_, '_> {
    fn count(&mut self, name: &str, help: &str, count: &AtomicU64) -> fmt::Result {
        self.total(name, help, None, count.load(Ordering::Relaxed))
    }

    fn total(&mut self, name: &str, help: &str, unit: Option<&Unit>, count: u64) -> fmt::Result {
        let metric = ConstCounter::new(count);
        metric.encode(self.0.encode_descriptor(name, help, unit, metric.metric_type())?)
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: u64) -> fmt::Result {
        let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        metric.encode(self.0.encode_descriptor(name, help, unit, metric.metric_type())?)
    }

    /// One value for each group.
    fn by_group(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        groups: &[GroupCount],
        value: impl Fn(&GroupCount) -> f64,
    ) -> fmt::Result {
        let kind = ConstGauge::new(0.0_f64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        for group in groups {
            let labels = [("group", group.name.as_str())];
            let metric = ConstGauge::new(value(group));
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn figure(&mut self, figure: &Figure) -> fmt::Result {
        let kind = if figure.is_count { MetricType::Counter } else { MetricType::Gauge };
        let mut family = self.0.encode_descriptor(figure.name, figure.help, None, kind)?;
        for (value, number) in (figure.read)() {
            let labels = [(figure.label, value.as_str())];
            if figure.is_count {
                ConstCounter::new(number).encode(family.encode_family(&labels)?)?;
            } else {
                ConstGauge::new(i64::try_from(number).unwrap_or(i64::MAX)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// One count for each member of a closed set.
    fn by<'n>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        counts: impl Iterator<Item = (&'n str, u64)>,
    ) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (value, count) in counts {
            let labels = [(label, value)];
            let metric = ConstCounter::new(count);
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What to scale workers by; labels are the names of services and shared subscriptions, whose number has a bound here.
fn groups(groups: &[GroupCount], say: &mut Say<'_, '_>) -> fmt::Result {
    if groups.is_empty() {
        return Ok(());
    }
    let help =
        "Events that a group has not settled, those in work included; a bound above where not all could be counted";
    let backlog = |group: &GroupCount| group.backlog as f64;
    say.by_group("group_backlog", help, None, groups, backlog)?;
    let help = "Age of the oldest event that a group has not settled; 0 where none waits";
    say.by_group("group_oldest_unsettled", help, Some(&Unit::Seconds), groups, |group| group.oldest_unsettled_s)
}

fn mqtt(front: &crate::mqtt::Front, say: &mut Say<'_, '_>) -> fmt::Result {
    let counts = front.counts();
    say.gauge("mqtt_clients", "Present MQTT clients", None, front.clients() as u64)?;
    say.count("mqtt_publications", "Publications that came in, refused ones included", &counts.publications)?;
    say.count(
        "mqtt_refused_silently",
        "Publications that were refused where the protocol has no word for it (3.1.1, QoS 0)",
        &counts.refused_silently,
    )?;
    say.count("mqtt_faults", "MQTT connections that were ended for what they sent", &counts.faults)?;
    say.count("mqtt_taken_over", "MQTT sessions that a newer connection took over", &counts.taken_over)?;
    say.count("mqtt_sessions_expired", "MQTT sessions whose clients didn't come back in time", &counts.expired)
}

fn socketio(front: &crate::socketio::Front, say: &mut Say<'_, '_>) -> fmt::Result {
    let counts = front.counts();
    say.gauge("socketio_sessions", "Present Socket.IO sessions", None, front.sessions() as u64)?;
    say.count("socketio_opened", "Socket.IO sessions that began", &counts.opened)?;
    say.count("socketio_upgraded", "Socket.IO sessions that went from polls to a WebSocket", &counts.upgraded)?;
    say.count(
        "socketio_faults",
        "Socket.IO sessions that were ended for what they sent or didn't read",
        &counts.faults,
    )?;
    say.count("socketio_silent", "Socket.IO sessions whose clients didn't answer a ping", &counts.silent)?;
    say.count("socketio_rushed", "Socket.IO handshakes that were refused as too many came at once", &counts.rushed)
}

fn hub(app: &App, say: &mut Say<'_, '_>) -> fmt::Result {
    let metrics = app.hub.metrics();
    say.count("events_published", "Events that became durable, without duplicates", &metrics.published)?;
    say.count("events_passed", "Events that were told to those who watched, and kept nowhere", &metrics.passed)?;
    say.count("events_duplicate", "Events that were recognised as resent", &metrics.duplicates)?;
    say.total(
        "published",
        "Bytes of events that became durable",
        Some(&Unit::Bytes),
        metrics.published_bytes.load(Ordering::Relaxed),
    )?;
    say.by("refused", "Batches that were refused, by reason", "reason", metrics.refused_by_name())?;
    say.count("deliveries", "Events that were handed to a watcher's socket", &metrics.deliveries)?;
    say.total(
        "delivered",
        "Bytes that watchers' sockets took",
        Some(&Unit::Bytes),
        metrics.delivered_bytes.load(Ordering::Relaxed),
    )?;
    say.count("watchers_lagging", "How often a watcher fell behind what is kept in memory", &metrics.lagging)?;
    say.count("gaps", "Gaps that watchers were told of", &metrics.gaps)?;
    say.gauge("watchers", "Present watches", None, metrics.watchers.load(Ordering::Relaxed))?;
    say.gauge("rings", "Present rings of encoded frames", None, metrics.rings.load(Ordering::Relaxed))?;
    say.gauge("rings_held", "Bytes held by all rings", Some(&Unit::Bytes), metrics.ring_bytes.load(Ordering::Relaxed))?;
    let (events, bytes) = app.hub.waiting();
    say.gauge("waiting_events", "Events on their way to the disk", None, events as u64)?;
    say.gauge("waiting", "Bytes on their way to the disk", Some(&Unit::Bytes), bytes as u64)?;
    say.gauge("log_head", "Sequence number of the last durable event", None, app.hub.head().seq)?;
    say.gauge("ready", "1 while events can be stored", None, u64::from(app.hub.health() == Health::Good))?;
    append_time(app, say)
}

/// From admission to durable, as a histogram.
fn append_time(app: &App, say: &mut Say<'_, '_>) -> fmt::Result {
    let metrics = app.hub.metrics();
    let bounds = LATENCY_BUCKETS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
    let counts = metrics.append_latency.counts_within(&LATENCY_BUCKETS_US);
    let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    let sum = metrics.append_latency.sum_us() as f64 / 1e6;
    let help = "From admission to durable, a batch each";
    let kind = prometheus_client::metrics::MetricType::Histogram;
    let mut histogram = say.0.encode_descriptor("append", help, Some(&Unit::Seconds), kind)?;
    histogram.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

fn connections(listeners: &[(&'static str, Arc<AcceptCounts>)], say: &mut Say<'_, '_>) -> fmt::Result {
    let by = |count: fn(&AcceptCounts) -> u64| listeners.iter().map(move |(name, counts)| (*name, count(counts)));
    say.by("connections_accepted", "Connections that were taken", "listener", by(AcceptCounts::accepted))?;
    say.by("connections_ended", "Connections that have ended", "listener", by(|c| c.accepted() - c.open()))?;
    say.by("connections_refused", "Connections closed at once: too many", "listener", by(AcceptCounts::refused))?;
    say.by("connections_paced", "Waits as connections came too fast", "listener", by(AcceptCounts::paced))?;
    say.by("handshakes_failed", "TLS handshakes that led to nothing", "listener", by(AcceptCounts::handshakes_failed))?;
    let refused = by(AcceptCounts::handshakes_refused);
    say.by("handshakes_refused", "Connections closed at once: too many TLS handshakes", "listener", refused)?;
    say.by("accept_failed", "Connections the system could not hand out", "listener", by(AcceptCounts::failed))?;
    say.by("connections_panicked", "Connections ended by a fault of ours", "listener", by(AcceptCounts::panicked))
}

fn process_of(say: &mut Say<'_, '_>) -> fmt::Result {
    let Some(usage) = process::usage() else { return Ok(()) };
    say.gauge("process_resident_memory", "Memory of this process", Some(&Unit::Bytes), usage.rss_bytes)?;
    let cpu = ConstCounter::new(usage.cpu.as_secs_f64());
    let help = "Processor time of this process";
    cpu.encode(say.0.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), cpu.metric_type())?)
}
