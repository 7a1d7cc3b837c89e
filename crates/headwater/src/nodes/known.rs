//! The nodes as far as this process knows them: what the rest of the program asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater_edge::http::Part;
use headwater_event::{Bus, Durability, Filter};
use headwater_hub::Hub;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::id::{AUTO, made_of};
use super::node::Node;
use super::roster::{Roster, Seen};
use super::{Lags, PREFIX};
use crate::config::{Config, EMBEDDED, Role, without_password};

/// What a node is started with.
pub struct Start<'a> {
    /// The settings.
    pub config: &'a Config,
    /// What tells this process's place on its machine from others', the same after a restart.
    pub place: &'a str,
    /// Where states are kept and watchers are.
    pub hub: &'a Arc<Hub>,
    /// The engine.
    pub bus: &'a Arc<dyn Bus>,
    /// What must work for the node to be ready.
    pub parts: Vec<Part>,
    /// How its groups stand.
    pub lags: Arc<Lags>,
}

/// Who sees to it that a missed node is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// This process, perhaps among others.
    Here,
    /// The Headwater that this process is connected to.
    Engine,
    /// Others, if any: this process has neither the role of an edge nor of the console.
    Others,
}

/// The nodes, as far as this process knows.
pub struct Nodes {
    me: String,
    watching: Watching,
    engine: String,
    durability: Durability,
    roster: Mutex<Roster>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Nodes {
    /// Begins to say so.
    pub fn start(start: Start<'_>) -> Arc<Self> {
        let config = start.config;
        let is_keeper = config.engine == EMBEDDED;
        let watches = is_keeper || config.roles.contains(&Role::Edge) || config.roles.contains(&Role::Console);
        let all = Filter::new(format!("{PREFIX}#")).ok().filter(|_| watches);
        let talk = if is_keeper { None } else { start.bus.talk(all.as_ref()).ok() };
        let is_kept = talk.as_ref().is_some_and(|talk| talk.is_kept());
        let watching = match (watches, is_kept) {
            (true, false) => Watching::Here,
            (true, true) => Watching::Engine,
            (false, _) => Watching::Others,
        };
        let me = if config.node_id == AUTO { made_of(&config.roles, start.place) } else { config.node_id.clone() };
        tracing::info!("this process is the node {me}");
        let (stop, stopping) = watch::channel(false);
        let nodes = Arc::new(Self {
            me,
            watching,
            engine: without_password(&config.engine),
            durability: start.bus.abilities().durability,
            roster: Mutex::default(),
            stop,
            task: Mutex::default(),
        });
        let node = Node::new(start, &nodes, talk);
        *nodes.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(tokio::spawn(node.run(stopping)));
        nodes
    }

    /// What this process is called.
    pub fn me(&self) -> &str {
        &self.me
    }

    /// Who tells of missed nodes.
    pub const fn watching(&self) -> Watching {
        self.watching
    }

    /// Where the events are, and what an acknowledgement means there.
    pub fn engine(&self) -> (&str, Durability) {
        (&self.engine, self.durability)
    }

    /// All that are known.
    pub fn all(&self) -> Vec<Seen> {
        self.roster().all()
    }

    /// Says that this process ends, and waits until that has gone out.
    pub async fn end(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            drop(task.await);
        }
    }

    pub(super) fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use headwater_event::Clock;
    use headwater_eventlog::{EventLog, OpenOptions};
    use headwater_hub::Settings;

    use super::super::beat::State;
    use super::*;

    #[tokio::test]
    async fn over_an_engine_without_a_way_to_talk_others_are_known_by_what_they_keep() {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(EventLog::open(OpenOptions::new(folder.path())).unwrap());
        let bus: Arc<dyn Bus> = log.clone();
        let hubs = [(); 2].map(|()| Hub::start(bus.clone(), Settings::default()));
        let begin = |hub: &Arc<Hub>, id: &str| {
            let (engine, node_id) = ("other://server".to_owned(), id.to_owned());
            let config = Config { engine, node_id, ..Config::default() };
            let lags = Lags::new(bus.clone(), Clock::system());
            Nodes::start(Start { config: &config, place: "1", hub, bus: &bus, parts: Vec::new(), lags })
        };
        let (one, two) = (begin(&hubs[0], "one"), begin(&hubs[1], "two"));
        let wait = async |nodes: &Nodes, id: &str, state: State| {
            let holds = || nodes.all().iter().any(|seen| seen.beat.id == id && seen.beat.state == state);
            while !holds() {
                tokio::time::sleep(Duration::from_millis(20)).await; // sleep: polls what a task reads every five seconds
            }
        };
        let patience = Duration::from_secs(30);
        let all = async {
            wait(&two, "one", State::Alive).await;
            wait(&one, "two", State::Alive).await;
            one.end().await;
            wait(&two, "one", State::Ended).await;
        };
        tokio::time::timeout(patience, all).await.expect("they never know of each other");
        assert_eq!(two.watching(), Watching::Here);
        assert_eq!(log.head().seq, 3, "alive of both, and the end of one");
    }
}
