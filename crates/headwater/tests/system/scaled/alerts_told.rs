//! Who listens to alerts, and the reports that sources post meanwhile; neither knows more of the program than its clients do.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::a_moment;
use super::answered::Answered;
use crate::http_client::{HttpClient, Sent, Sse};
use crate::program::PATIENCE;
use crate::worker::Door;

/// How many places reports come of.
pub const PLACES: usize = 12;

/// How many sources post at once, each of places of its own, and how long each rests: a load, and not a flood.
const SOURCES: usize = 3;
const REST: Duration = Duration::from_millis(15);

/// When the report of this number was sent, as it says itself.
pub fn time(number: usize) -> String {
    let (day, hour, minute) = (1 + number / 1_440, number / 60 % 24, number % 60);
    format!("2050-01-{day:02}T{hour:02}:{minute:02}:00Z")
}

/// By place, when the reports were sent that were told of it, in the order in which they were.
pub type Told = BTreeMap<String, Vec<String>>;

/// Reports that are posted until it's enough.
pub struct Load {
    desk: Arc<Desk>,
    sources: Vec<JoinHandle<BTreeMap<usize, usize>>>,
}

struct Desk {
    listeners: Vec<Door>,
    answered: Answered,
}

impl Load {
    /// Goes on with these numbers of the places' reports.
    pub fn begin(listeners: Vec<Door>, posted: &BTreeMap<usize, usize>) -> Self {
        let desk = Arc::new(Desk { listeners, answered: Answered::default() });
        let source = |at| {
            let own = (0..PLACES).filter(|place| place % SOURCES == at);
            let mut own: BTreeMap<usize, usize> =
                own.map(|place| (place, posted.get(&place).copied().unwrap_or(0))).collect();
            let desk = Arc::clone(&desk);
            std::thread::spawn(move || {
                loop {
                    for (place, number) in &mut own {
                        if desk.answered.is_enough() {
                            return own;
                        }
                        desk.post(*place, *number);
                        *number += 1;
                        std::thread::sleep(REST); // sleep: the load's own rate
                    }
                }
            })
        };
        let sources = (0..SOURCES).map(source).collect();
        Self { desk, sources }
    }

    /// Waits until so many more are answered.
    pub fn more(&self, count: usize) {
        self.desk.answered.more(count);
    }

    /// Ends it; gives how many of each place were answered over all.
    pub fn end(self) -> BTreeMap<usize, usize> {
        self.desk.answered.enough();
        self.sources.into_iter().flat_map(|source| source.join().unwrap()).collect()
    }
}

impl Desk {
    /// Posts a report to all listeners that are up, to each again until it's answered: it is one, as its content is.
    fn post(&self, place: usize, number: usize) {
        let body = format!(
            "{{\"location\":\"place {place}\",\"type\":\"Flood\",\"timestamp\":\"{}\",\"duration\":5}}",
            time(number)
        );
        let begun = Instant::now();
        let count = self.listeners.len();
        let mut is_answered = false;
        while !is_answered {
            for at in (0..count).map(|at| (at + number) % count) {
                while !is_taken(&self.listeners[at], &body, &mut is_answered) {
                    assert!(begun.elapsed() < PATIENCE, "place {place}, {number}: never taken");
                    a_moment();
                }
            }
        }
        self.answered.one_more();
    }
}

/// Whether a listener has taken a report; one that is down is passed over.
fn is_taken(listener: &Door, body: &str, is_answered: &mut bool) -> bool {
    let Some(addr) = *listener.lock().unwrap() else { return true };
    match ask(addr, body) {
        Ok(200) => {
            *is_answered = true;
            true
        }
        Ok(_) | Err(_) => false,
    }
}

fn ask(addr: SocketAddr, body: &str) -> io::Result<u16> {
    let mut client = HttpClient::connect(addr)?;
    let answer = client.request("POST", "/api/alerts", &[("content-type", "application/json")], body.as_bytes())?;
    assert!(matches!(answer.status, 200 | 503), "{}: {}", answer.status, answer.text());
    Ok(answer.status)
}

/// The place and the time of an alert that begins.
fn opened(sent: &Sent) -> Option<(String, String)> {
    let said: serde_json::Value = serde_json::from_str(&sent.payload()).unwrap();
    let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    (said["eventType"] == "open").then(|| (text("location"), text("sentTime")))
}

/// All that was told, of an engine that keeps it.
pub fn history(edge: SocketAddr, count: usize) -> Told {
    let mut watcher = Sse::watch(edge, "filter=alerts/%2B/alert&from=start", None).unwrap();
    let mut told = Told::new();
    let mut seen = 0;
    while seen < count {
        let sent = watcher.next().unwrap();
        assert_ne!(sent.kind, "gap", "{sent:?}");
        if let Some((place, time)) = opened(&sent) {
            told.entry(place).or_default().push(time);
            seen += 1;
        }
    }
    told
}

/// Who watches from the beginning, and again whenever the connection is lost.
pub struct Watcher {
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

/// What one has heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub told: Told,
    /// How often it was told that something is missing, or had to come anew.
    pub gaps: usize,
}

impl Watcher {
    /// Begins; it ends with the test.
    pub fn begin(edge: Door) -> Self {
        let heard = Arc::<(Mutex<Heard>, Condvar)>::default();
        let ear = Arc::clone(&heard);
        let first = watch(&edge).expect("the edge is there");
        std::thread::spawn(move || {
            let mut watcher = Some(first);
            loop {
                if let Some(watcher) = watcher.take() {
                    listen(watcher, &ear);
                    ear.0.lock().unwrap().gaps += 1;
                    ear.1.notify_all();
                }
                watcher = watch(&edge);
                a_moment();
            }
        });
        Self { heard }
    }

    pub fn heard(&self) -> Heard {
        self.heard.0.lock().unwrap().clone()
    }

    /// Waits until these have been heard, the last ones of each place.
    pub fn has_heard(&self, wanted: &BTreeSet<(String, String)>) {
        let begun = Instant::now();
        let mut heard = self.heard.0.lock().unwrap();
        let is_missing = |heard: &Heard| {
            wanted
                .iter()
                .find(|(place, time)| !heard.told.get(place).is_some_and(|times| times.contains(time)))
                .cloned()
        };
        while let Some(missing) = is_missing(&heard) {
            let left = PATIENCE.checked_sub(begun.elapsed()).unwrap_or_else(|| panic!("{missing:?} is never heard"));
            heard = self.heard.1.wait_timeout(heard, left).unwrap().0;
        }
    }
}

fn watch(edge: &Door) -> Option<Sse> {
    let addr = (*edge.lock().unwrap())?;
    Sse::watch(addr, "filter=alerts/%2B/alert", None).ok()
}

fn listen(mut watcher: Sse, ear: &(Mutex<Heard>, Condvar)) {
    while let Ok(sent) = watcher.next() {
        let mut heard = ear.0.lock().unwrap();
        if sent.kind == "gap" {
            heard.gaps += 1;
        } else if let Some((place, time)) = opened(&sent) {
            heard.told.entry(place).or_default().push(time);
        }
        drop(heard);
        ear.1.notify_all();
    }
}
