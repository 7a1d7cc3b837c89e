//! `headwater migrate`: what a log has, taken over by a real nats-server, by RabbitMQ and by a broker, through kills and a second run.

#[cfg(feature = "engines")]
mod into_amqp;
#[cfg(feature = "engines")]
mod into_nats;

use std::future::Future;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use headwater_event::{Bus as _, Event, EventId, GroupName, GroupOptions, Headers, Publication, Start, Time};
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_link::{Engine, LinkError, Options};
use serde_json::Value;
use uuid::Uuid;

use crate::mosquitto::Mosquitto;
use crate::program::PATIENCE;
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("waits for ever")
}

/// A data folder whose hub doesn't run, filled as a hub fills it.
struct Folder {
    place: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { place: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> &Path {
        self.place.path()
    }

    /// One that remembers no ids, so that the same one can be there twice.
    fn log(&self) -> EventLog {
        EventLog::open(OpenOptions { ids_max: 0, ..OpenOptions::new(self.data()) }).unwrap()
    }

    async fn with(publications: Vec<Publication>) -> Self {
        let folder = Self::new();
        let log = folder.log();
        for batch in publications.chunks(500) {
            soon(log.append(batch.to_vec())).await.unwrap();
        }
        log.close().unwrap();
        folder
    }

    fn command(&self, engine: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
        command.args(["migrate", "--json", "--engine", engine, "--data"]).arg(self.data()).args(more);
        command.current_dir(self.data()).stdin(Stdio::null());
        command
    }

    fn migrate(&self, engine: &str, more: &[&str]) -> Output {
        self.command(engine, more).output().unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn event(id: EventId, topic: &str, payload: &str) -> Publication {
    let headers = Headers::from_pairs([("content-type", "text/plain"), ("x", "ü, more")]).unwrap();
    let at = Time(1_700_000_000_000_000);
    let event = Event { id, topic: topic.parse().unwrap(), headers, payload: payload.to_owned().into(), at };
    Publication { event, sticky: false }
}

fn sticky(topic: &str, payload: &str) -> Publication {
    Publication { sticky: true, ..event(EventId::generate(), topic, payload) }
}

fn many(count: usize) -> Vec<Publication> {
    let one = |at: usize| match at % 4 {
        0 => sticky(&format!("state/{}", at % 40), &at.to_string()),
        1 => event(EventId::Text(format!("order-{at}").into()), "orders/new", &at.to_string()),
        2 => event(EventId::Numbered { producer: Uuid::from_u128(7), number: at as u64 / 4 + 1 }, "intake/7", "line"),
        _ => event(EventId::generate(), "$audit/login", &at.to_string()),
    };
    (0..count).map(one).collect()
}

async fn link(url: &str) -> Engine {
    let opened = async {
        loop {
            match headwater_link::open(url, Options::new("reader")).await {
                Ok(engine) => return engine,
                // It listens before it is ready.
                Err(LinkError::Refused(_) | LinkError::Unreachable(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    soon(opened).await
}

fn key(event: &Event) -> (String, String, String) {
    (event.id.to_string(), event.topic.to_string(), String::from_utf8_lossy(&event.payload).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_takes_the_latest_states_and_is_not_given_what_it_can_not_keep() {
    let broker = Mosquitto::start();
    let folder = Folder::new();
    let log = folder.log();
    soon(log.append(many(400))).await.unwrap();
    let name = GroupName::new("service/w").unwrap();
    let options = GroupOptions { start: Start::Oldest, ..GroupOptions::new(vec!["orders/#".parse().unwrap()]) };
    drop(soon(log.join(&name, options)).await.unwrap());
    log.close().unwrap();
    drop(log);
    let output = folder.migrate(&broker.url(), &[]);
    assert_eq!(output.status.code(), Some(1), "100 orders are not finished");
    assert!(said(&output).contains("service/w has 100 events"), "{}", said(&output));

    let output = folder.migrate(&broker.url(), &["--leave-unfinished"]);
    assert!(output.status.success(), "{}", said(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["history"], &told["written"], &told["read_back"]), (&false.into(), &10.into(), &10.into()));
    let engine = link(&broker.url()).await;
    let page = soon(engine.bus().latest(&"#".parse().unwrap(), None, 100)).await.unwrap();
    let states: Vec<_> = page.events.iter().map(|state| key(&state.event)).map(|(_, _, payload)| payload).collect();
    assert_eq!(states.len(), 10);
    assert!(states.contains(&"396".to_owned()), "{states:?}");
    // What came later there is not put back.
    soon(engine.bus().append(vec![later("state/36", "later")])).await.unwrap();
    let output = folder.migrate(&broker.url(), &["--leave-unfinished"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["written"], &told["later_there"]), (&9.into(), &1.into()), "{}", said(&output));
}

fn later(topic: &str, payload: &str) -> Publication {
    let mut publication = sticky(topic, payload);
    publication.event.at = publication.event.at.plus(Duration::from_secs(60));
    publication
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_done_is_said_in_one_sentence() {
    let folder = Folder::with(many(8)).await;
    // Port 9 of the loopback is nobody's.
    let nobody = "mqtt://127.0.0.1:9";
    for (output, code, word) in [
        (folder.migrate(nobody, &[]), 2, "127.0.0.1:9"),
        (folder.migrate("embedded", &[]), 2, "--engine"),
        (folder.migrate("http://x", &[]), 2, "http"),
        (Folder::new().migrate(nobody, &[]), 1, "there is no log"),
    ] {
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(word), "{}", said(&output));
        // Settings are told a line each.
        assert!(said(&output).lines().count() <= code.try_into().unwrap(), "{}", said(&output));
    }
    // Survey alone: nobody is asked.
    let output = folder.migrate(nobody, &["--dry-run"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["events"], &told["states"]), (&8.into(), &2.into()), "{}", said(&output));
    let log = folder.log();
    let begun = Instant::now();
    let output = folder.migrate(nobody, &[]);
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("stop the hub first"), "{}", said(&output));
    drop(log);
}
