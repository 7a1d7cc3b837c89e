//! How far the groups of this process are behind, worked out once however many ask: /metrics, the heartbeat.

use std::sync::Arc;
use std::time::Duration;

use headwater_edge::http::{GroupCount, Groups};
use headwater_event::{Bus, Clock, GroupName};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::beat::GroupLag;

/// Groups that are told: services, and shared subscriptions of MQTT. Those of sessions, which may be a hundred thousand, are the
/// console's alone.
const PREFIXES: [&str; 2] = ["service/", "mqtt/share/"];

/// How many groups are told of each kind.
const GROUPS_MAX: usize = 64;

/// For how long an answer is good: reading the log again for each who asks would be work for nothing.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// How long an engine may take to say it: a scrape must not hang on a broker that is away.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// The groups and how far each is behind.
pub struct Lags {
    bus: Arc<dyn Bus>,
    clock: Clock,
    last: Mutex<Option<(Instant, Arc<Vec<GroupLag>>)>>,
}

impl Lags {
    /// Over this engine.
    pub fn new(bus: Arc<dyn Bus>, clock: Clock) -> Arc<Self> {
        Arc::new(Self { bus, clock, last: Mutex::default() })
    }

    /// For /metrics.
    pub fn for_metrics(self: &Arc<Self>) -> Groups {
        let lags = Arc::clone(self);
        Arc::new(move || {
            let lags = Arc::clone(&lags);
            Box::pin(async move {
                let count = |lag: &GroupLag| GroupCount {
                    name: lag.name.clone(),
                    backlog: lag.backlog,
                    oldest_unsettled_s: lag.oldest_unsettled_s,
                };
                lags.now().await.iter().map(count).collect()
            })
        })
    }

    /// How they stand now, or a second ago. Who can't be asked about at present is left out.
    pub async fn now(&self) -> Arc<Vec<GroupLag>> {
        let mut last = self.last.lock().await;
        if let Some((_, lags)) = last.as_ref().filter(|(at, _)| at.elapsed() < GOOD_FOR) {
            return Arc::clone(lags);
        }
        let mut lags = Vec::new();
        'kinds: for prefix in PREFIXES {
            // Names begin behind the prefix itself, which is none of a group.
            let after = GroupName::new(prefix).ok();
            let groups = self.bus.groups(after.as_ref(), GROUPS_MAX);
            for group in groups.iter().filter(|group| group.name.as_str().starts_with(prefix)) {
                let lag = match timeout(ANSWER_TIME_MAX, self.bus.lag(group)).await {
                    Ok(Ok(lag)) => lag,
                    Ok(Err(_)) => continue,
                    // It won't know the others either, and a scrape has its own time limit.
                    Err(_) => break 'kinds,
                };
                let age = lag.since.map(|since| self.clock.now().since(since).as_secs_f64());
                lags.push(GroupLag {
                    name: group.name.to_string(),
                    backlog: lag.events,
                    is_exact: lag.is_exact,
                    oldest_unsettled_s: age.unwrap_or(0.0),
                });
            }
        }
        let lags = Arc::new(lags);
        *last = Some((Instant::now(), Arc::clone(&lags)));
        lags
    }
}
