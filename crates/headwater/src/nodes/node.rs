//! This process among the others: says that it is there, hears who else is, and tells who is missed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use headwater_edge::http::Part;
use headwater_event::{BusError, Event, Filter, Health, Publication, Talk};
use headwater_hub::Hub;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::beat::{Beat, LISTED_MAX, State};
use super::known::{Nodes, Start, Watching};
use super::roster::{News, missed, returned};
use super::sample::Sampler;
use super::{BEAT_EVERY, LOOK_EVERY, Lags, NODES_MAX, OVERHEARD, PREFIX, STATES};
use crate::config::EMBEDDED;

/// How often a process is heard of whose engine has no way to tell what nobody keeps: each time is an event that's kept.
const KEPT_BEAT_EVERY: Duration = Duration::from_secs(20);

/// How often the states of others are read over such an engine.
const READ_EVERY: Duration = Duration::from_secs(5);

/// How many words of other processes may wait for this task.
const OVERHEARD_MAX: usize = 1_024;

/// How many states are read at a time at the start.
const RECALLED_AT_ONCE: usize = 128;

/// How long the last word may take: an engine that is away must not hold up the end.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(3);

/// The task that speaks for this process.
pub(super) struct Node {
    nodes: Arc<Nodes>,
    hub: Arc<Hub>,
    parts: Vec<Part>,
    lags: Arc<Lags>,
    talk: Option<Box<dyn Talk>>,
    overheard: Option<mpsc::Receiver<Event>>,
    /// Whether the states that are kept are read at the start.
    recalls: bool,
    /// The log is here: this process keeps the states of all.
    is_keeper: bool,
    /// Somebody else keeps the states of all.
    is_kept: bool,
    every: Duration,
    beat: Beat,
    sampler: Sampler,
    /// The last own state that was written.
    written: Option<Beat>,
    /// The life of another process of this name, and its last beat.
    double: Option<(String, u64)>,
}

impl Node {
    /// The task of these nodes, which has said nothing yet.
    pub(super) fn new(start: Start<'_>, nodes: &Arc<Nodes>, talk: Option<Box<dyn Talk>>) -> Self {
        let Start { config, hub, parts, lags, .. } = start;
        let is_keeper = config.engine == EMBEDDED;
        let every = if is_keeper || talk.is_some() { BEAT_EVERY } else { KEPT_BEAT_EVERY };
        let (engine, durability) = nodes.engine();
        let roles = config.roles.iter().map(|role| role.name().to_owned()).collect();
        Self {
            nodes: Arc::clone(nodes),
            hub: Arc::clone(hub),
            parts,
            lags,
            overheard: if is_keeper { hub.overhear(OVERHEARD, OVERHEARD_MAX) } else { None },
            // Over an MQTT broker the states come with the words.
            recalls: nodes.watching() == Watching::Here && !engine.starts_with("mqtt"),
            is_keeper,
            is_kept: talk.as_ref().is_some_and(|talk| talk.is_kept()),
            talk,
            every,
            beat: Beat::first(nodes.me(), every, hub.now(), roles, engine, durability.word()),
            sampler: Sampler::default(),
            written: None,
            double: None,
        }
    }

    /// Works until it's told to stop.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut stopping = pin!(async move { drop(stopping.wait_for(|stop| *stop).await) });
        if self.recalls {
            tokio::select! {
                states = states(&self.hub) => {
                    let now = Instant::now();
                    states.into_iter().for_each(|beat| self.nodes.roster().recall(beat, now));
                }
                () = &mut stopping => return,
            }
        }
        let mut beats = interval(self.every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reads = interval(READ_EVERY);
        reads.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stopping => break,
                _ = beats.tick() => self.beat(State::Alive).await,
                _ = looks.tick(), if self.nodes.watching() == Watching::Here => self.look(),
                // Over an engine without a way to talk others are known by what they keep.
                _ = reads.tick(), if self.talk.is_none() && self.recalls && !self.is_keeper => {
                    for beat in states(&self.hub).await {
                        self.take(beat);
                    }
                }
                heard = hear(&mut self.talk) => match heard {
                    Ok(event) => self.heard(event),
                    Err(BusError::Closed) => {
                        tracing::debug!("the engine no longer takes heartbeats");
                        self.talk = None;
                    }
                    Err(error) => tracing::warn!("other processes are not heard: {error}"),
                },
                Some(event) = overheard(&mut self.overheard) => self.overheard(&event),
            }
        }
        self.end().await;
    }

    /// Says that this process is there.
    async fn beat(&mut self, state: State) {
        let load = self.sampler.load(&self.hub);
        let lags = self.lags.now().await;
        let failing = |(name, health)| match health {
            Health::Good => None,
            Health::Failing(why) => Some(format!("{name}: {why}")),
        };
        let parts = self.parts.iter().map(|part| (part.name.as_str(), (part.health)()));
        let beat = &mut self.beat;
        beat.failing = std::iter::once(("log", self.hub.health())).chain(parts).find_map(failing);
        beat.state = state;
        beat.number += 1;
        beat.at = self.hub.now();
        (beat.connections, beat.events_per_s) = (load.connections, load.events_per_s);
        (beat.memory_bytes, beat.cpu) = (load.memory_bytes, load.cpu);
        beat.groups = lags.iter().take(LISTED_MAX).cloned().collect();
        let beat = beat.clone();
        if let (Some(talk), Some(event)) = (&mut self.talk, beat.event())
            && let Err(error) = talk.tell(event)
        {
            tracing::debug!("a heartbeat isn't told: {error}");
        }
        let news = self.nodes.roster().hear(beat.clone(), Instant::now());
        self.tell(&beat, news.unwrap_or(News::Beat), true);
    }

    /// Tells watchers, and writes what is to be kept.
    fn tell(&mut self, beat: &Beat, news: News, is_own: bool) {
        let derives = self.nodes.watching() == Watching::Here;
        let more = match &news {
            News::Missed { silent } if derives => missed(beat, *silent),
            News::Returned { before } if derives => returned(before, beat),
            _ => None,
        };
        match &news {
            News::Missed { silent } => tracing::warn!("the node {} is missed: silent for {silent:?}", beat.id),
            News::Returned { before } => {
                tracing::info!("the node {} is back; it was {}", beat.id, before.state.name());
            }
            News::Beat | News::Changed => {}
        }
        let is_other = self.written.as_ref().is_none_or(|written| beat.is_other_than(written));
        // Without a way to tell what nobody keeps, all of it is kept.
        let is_silent = self.talk.is_none() && !self.is_keeper;
        // A log that is alone has nothing to remember of its one process, and an idle one stays as it is.
        let has_readers = !self.is_keeper || self.nodes.roster().len() > 1;
        let writes_own = is_own && !self.is_kept && has_readers && (is_other || is_silent);
        let writes_others = !is_own && self.is_keeper && news == News::Changed;
        if !(writes_own || writes_others || more.is_some()) {
            let told = beat.event().into_iter().collect();
            return if is_own && self.is_keeper { self.hub.announce(told) } else { self.hub.tell(told) };
        }
        if is_own {
            self.written = Some(beat.clone());
        }
        self.note(beat.sticky().into_iter().chain(more).collect());
    }

    fn note(&self, batch: Vec<Publication>) {
        let noted = self.hub.note(batch);
        tokio::spawn(async move {
            let refusal = match noted {
                Ok(noted) => noted.await.err(),
                Err(refusal) => Some(refusal),
            };
            if let Some(refusal) = refusal {
                tracing::debug!("the state of a node isn't kept: {}", refusal.name());
            }
        });
    }

    fn look(&mut self) {
        let missed = self.nodes.roster().look(Instant::now(), self.hub.now());
        for (beat, news) in missed {
            // One that stands still for so long hears of it from others.
            if beat.id != self.nodes.me() {
                self.tell(&beat, news, false);
            }
        }
    }

    /// Another process's word, by way of our edge.
    fn overheard(&mut self, event: &Event) {
        let Some(topic) = event.topic.as_str().strip_prefix(OVERHEARD) else { return };
        let Some(beat) = Beat::read(topic, &event.payload) else { return };
        if beat.state != State::Missed {
            self.take(beat);
        }
    }

    /// Another process's word, by way of the engine.
    fn heard(&mut self, event: Event) {
        match Beat::read(event.topic.as_str(), &event.payload) {
            Some(beat) => self.take(beat),
            // What a Headwater makes of the words it hears.
            None if self.is_kept && event.topic.as_str().starts_with(PREFIX) => self.hub.tell(vec![event]),
            None => {}
        }
    }

    fn take(&mut self, beat: Beat) {
        if beat.id == self.nodes.me() {
            return self.check_double(&beat);
        }
        let news = self.nodes.roster().hear(beat.clone(), Instant::now());
        if let Some(news) = news {
            self.tell(&beat, news, false);
        }
        if self.is_keeper && self.written.is_none() && self.beat.number > 0 {
            // This process is no longer alone.
            self.written = Some(self.beat.clone());
            self.note(self.beat.sticky().into_iter().collect());
        }
    }

    /// Two processes of one name would each be taken for the other; one's own words come back, too.
    fn check_double(&mut self, beat: &Beat) {
        if beat.life == self.beat.life || beat.state != State::Alive {
            return;
        }
        let goes_on = self.double.as_ref().is_some_and(|(life, number)| *life == beat.life && *number < beat.number);
        if goes_on {
            let me = self.nodes.me();
            tracing::warn!("another process calls itself {me} too: give each its own name (`--node-id NAME`)");
        }
        self.double = Some((beat.life.clone(), beat.number));
    }

    /// The last word.
    async fn end(mut self) {
        let farewell = async {
            self.beat(State::Ended).await;
            if let Some(talk) = self.talk.take() {
                talk.leave().await;
            }
            if self.is_kept || self.written.is_none() {
                return;
            }
            // Once more, and this time waited for: under the same id it's the same event.
            if let Some(Ok(noted)) = self.beat.sticky().map(|sticky| self.hub.note(vec![sticky])) {
                drop(noted.await);
            }
        };
        if timeout(FAREWELL_TIME_MAX, farewell).await.is_err() {
            tracing::warn!("nobody could be told that this node ends");
        }
    }
}

/// The states of the nodes that are kept; what can't be read now is read another time.
async fn states(hub: &Hub) -> Vec<Beat> {
    let (mut states, mut after) = (Vec::new(), None);
    let Ok(filter) = Filter::new(STATES) else { return states };
    while states.len() < NODES_MAX {
        let page = match hub.recall(&filter, after.as_ref(), RECALLED_AT_ONCE).await {
            Ok(page) => page,
            Err(refusal) => {
                tracing::debug!("the states of the nodes can't be read: {}", refusal.name());
                break;
            }
        };
        let read = page.events.iter().filter_map(|kept| Beat::read(kept.event.topic.as_str(), &kept.event.payload));
        states.extend(read);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    states
}

async fn hear(talk: &mut Option<Box<dyn Talk>>) -> Result<Event, BusError> {
    match talk {
        Some(talk) => talk.hear().await,
        None => std::future::pending().await,
    }
}

async fn overheard(overheard: &mut Option<mpsc::Receiver<Event>>) -> Option<Event> {
    match overheard {
        Some(overheard) => overheard.recv().await,
        None => std::future::pending().await,
    }
}
