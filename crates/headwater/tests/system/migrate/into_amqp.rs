//! Into RabbitMQ with Redis: the latest states, which Redis keeps; what neither can hold is named and stays.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use headwater_event::{Bus as _, Event, EventId, GroupName, GroupOptions, Publication, Settlement, Start};
use headwater_link::{Engine, Options};
use serde_json::Value;

use super::{Folder, event, key, later, many, said, soon, sticky};
use crate::rabbit::{Rabbit, Redis};

struct Servers {
    rabbit: Rabbit,
    redis: Redis,
}

impl Servers {
    fn start() -> Self {
        Self { rabbit: Rabbit::start(), redis: Redis::start() }
    }

    /// An installation of its own on them.
    fn url(&self, name: &str) -> String {
        format!("amqp://127.0.0.1:{}?name={name}", self.rabbit.port())
    }

    async fn link(&self, name: &str) -> Engine {
        let options = Options { state: Some(self.redis.url()), ..Options::new("reader") };
        soon(headwater_link::open(&self.url(name), options)).await.expect("both are there")
    }

    fn migrate(&self, folder: &Folder, name: &str, more: &[&str]) -> Output {
        let state = self.redis.url();
        folder.migrate(&self.url(name), &[&["--state", &state], more].concat())
    }
}

fn outcome(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All that stands there, by topic: `#` and what begins with `$`.
async fn states(engine: &Engine) -> Vec<Event> {
    let bus = engine.bus();
    let mut states = Vec::new();
    for filter in ["#", "$audit/#"] {
        let mut after = None;
        loop {
            let page = soon(bus.latest(&filter.parse().unwrap(), after.as_ref(), 500)).await.unwrap();
            states.extend(page.events.into_iter().map(|state| state.event));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    states
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_is_given_the_latest_states_and_what_was_verified_and_what_stays_is_named() {
    let servers = tokio::task::block_in_place(Servers::start);
    let folder = Folder::new();
    let log = folder.log();
    soon(log.append(many(400))).await.unwrap();
    let named = EventId::Text("order-17".into());
    let of_its_own = Publication { sticky: true, ..event(named, "state/named", "by its producer") };
    let ended = [sticky("state/ended", "once"), sticky("state/ended", "")];
    let others = vec![of_its_own, sticky("$audit/last", "reserved"), sticky("state/größe/%", "ü")];
    soon(log.append([others.clone(), ended.to_vec()].concat())).await.unwrap();
    let name = GroupName::new("service/w").unwrap();
    let options = GroupOptions { start: Start::Oldest, ..GroupOptions::new(vec!["orders/#".parse().unwrap()]) };
    drop(soon(log.join(&name, options)).await.unwrap());
    let here: Vec<Event> = {
        let mut here = soon(log.latest(&"#".parse().unwrap(), None, 100)).await.unwrap().events;
        here.extend(soon(log.latest(&"$audit/#".parse().unwrap(), None, 100)).await.unwrap().events);
        here.into_iter().map(|state| state.event).collect()
    };
    assert_eq!(here.len(), 13);
    log.close().unwrap();
    drop(log);

    let output = servers.migrate(&folder, "states", &[]);
    assert_eq!(output.status.code(), Some(1), "100 orders are not finished");
    let words = "the engine keeps no history, and service/w has 100 events that it has not finished";
    assert!(said(&output).contains(words) && said(&output).contains("nats://"), "{}", said(&output));
    assert!(states(&servers.link("states").await).await.is_empty(), "nothing was written");

    let told = outcome(&servers.migrate(&folder, "states", &["--leave-unfinished"]));
    let figures = ["history", "written", "read_back", "later_there"].map(|name| told[name].clone());
    assert_eq!(figures, [Value::from(false), 13.into(), 13.into(), 0.into()], "{told}");
    let left = serde_json::json!({ "events": 405, "groups": 1, "unfinished": 100, "dead_letters": 0 });
    assert_eq!(told["left_behind"], left, "{told}");
    let engine = servers.link("states").await;
    let found = states(&engine).await;
    assert_eq!(found.iter().map(key).collect::<Vec<_>>(), here.iter().map(key).collect::<Vec<_>>());
    for (found, here) in found.iter().zip(&here) {
        assert_eq!((&found.headers, found.at), (&here.headers, here.at), "{}", here.topic);
    }

    // What came later there is not put back; and people are told in words what was looked at and what wasn't.
    soon(engine.bus().append(vec![later("state/36", "later")])).await.unwrap();
    let mut again = folder.command(&servers.url("states"), &["--state", &servers.redis.url(), "--leave-unfinished"]);
    let again = tokio::task::block_in_place(|| again.output().unwrap());
    let told = outcome(&again);
    assert_eq!((&told["written"], &told["read_back"], &told["later_there"]), (&12.into(), &12.into(), &1.into()));
    let mut for_people = Command::new(env!("CARGO_BIN_EXE_headwater"));
    for_people.args(["migrate", "--leave-unfinished", "--engine", &servers.url("states"), "--state"]);
    for_people.arg(servers.redis.url()).arg("--data").arg(folder.data()).current_dir(folder.data());
    let output = tokio::task::block_in_place(|| for_people.output().unwrap());
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for line in [
        "12 latest states are there; of 1 topics the engine has later ones",
        "verified: 12 states were read back over a second connection",
        "not taken over, so not verified: the 405 events themselves, the places of 1 groups with 100 events to finish",
    ] {
        assert!(text.contains(line), "{text}");
    }
    for line in ["latest states are taken over, and nothing else", "written 13 of 13", "read back 13 of 13"] {
        assert!(said(&output).contains(line), "{}", said(&output));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_the_same_command_makes_the_states_whole() {
    let servers = tokio::task::block_in_place(Servers::start);
    let here: Vec<_> = (0..20_000).map(|at| sticky(&format!("state/{at:05}"), &format!("{at}"))).collect();
    let folder = Folder::with(here).await;
    let (url, state) = (servers.url("killed"), servers.redis.url());
    let engine = servers.link("killed").await;
    let mut tail = engine.bus().tail(engine.bus().head()).unwrap();
    let mut run =
        folder.command(&url, &["--state", &state]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut heard = 0;
    while heard < 1_000 {
        heard += soon(tail.next(&|_| true)).await.unwrap().events.len();
    }
    run.kill().unwrap();
    assert!(!run.wait().unwrap().success(), "it was through before: more states are needed");
    let told = tokio::task::block_in_place(|| outcome(&servers.migrate(&folder, "killed", &[])));
    assert_eq!((&told["written"], &told["read_back"]), (&20_000.into(), &20_000.into()), "{told}");
    let found = states(&servers.link("killed").await).await;
    assert_eq!(found.len(), 20_000);
    let is_right = |state: &Event| {
        state.topic.as_str().strip_prefix("state/").unwrap().parse::<u32>().unwrap()
            == std::str::from_utf8(&state.payload).unwrap().parse::<u32>().unwrap()
    };
    assert!(found.iter().all(is_right));
}

/// What Redis doesn't keep, the reading back finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_redis_does_not_have_is_found_by_the_reading_back() {
    let servers = tokio::task::block_in_place(Servers::start);
    let named = |at: u32| {
        let named = event(EventId::Text(format!("named-{at}").into()), &format!("state/{at:03}"), "x");
        Publication { sticky: true, ..named }
    };
    let folder = Folder::with((0..600).map(named).collect()).await;
    let (url, state) = (servers.url("eaten"), servers.redis.url());
    outcome(&tokio::task::block_in_place(|| servers.migrate(&folder, "eaten", &[])));
    // The marks say that they were published, so a second run writes none of them; the states themselves are gone.
    let mut forget = Command::new("redis-cli");
    forget.args(["-p", &servers.redis.port().to_string(), "DEL"]);
    forget.args(["s", "sv", "sr", "se"].map(|key| format!("hw1:{{eaten}}:{key}")));
    assert!(forget.output().expect("redis-cli is installed (Debian: redis-tools)").status.success());
    let mut again = folder.command(&url, &["--state", &state]);
    let output = tokio::task::block_in_place(|| again.output().unwrap());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("the engine has no state of state/000, though it took it"), "{}", said(&output));
    assert!(output.stdout.is_empty(), "nothing is claimed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_not_left_behind_in_silence() {
    let servers = tokio::task::block_in_place(Servers::start);
    let folder = Folder::with(many(8)).await;
    let log = folder.log();
    let name = GroupName::new("service/w").unwrap();
    let options = GroupOptions { start: Start::Oldest, ..GroupOptions::new(vec!["orders/#".parse().unwrap()]) };
    let mut member = soon(log.join(&name, options)).await.unwrap();
    let deliveries = soon(member.next(64)).await.unwrap();
    let dead = |why: &str| Settlement::Dead { why: why.into() };
    soon(member.settle(deliveries.iter().map(|of| (of.tag(), dead("no such patient"))).collect())).await.unwrap();
    drop(member);
    log.close().unwrap();
    drop(log);
    let output = servers.migrate(&folder, "letters", &[]);
    assert_eq!(output.status.code(), Some(1));
    let words = "service/w has 2 dead letters: have them tried again or forgotten";
    assert!(said(&output).contains(words), "{}", said(&output));
    let told = outcome(&servers.migrate(&folder, "letters", &["--leave-unfinished"]));
    assert_eq!(told["left_behind"]["dead_letters"], 2, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_it_is_refused_in_one_sentence_and_an_absent_one_is_named() {
    let folder = Folder::with(many(8)).await;
    let output = folder.migrate("amqp://me:s3cret@127.0.0.1:9", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("needs `--state redis://HOST:PORT`"), "{}", said(&output));
    let begun = std::time::Instant::now();
    let output = folder.migrate("amqp://me:s3cret@127.0.0.1:9", &["--state", "redis://127.0.0.1:9"]);
    assert_eq!((output.status.code(), said(&output).lines().count()), (Some(2), 1), "{}", said(&output));
    assert!(said(&output).contains("the engine amqp://127.0.0.1:9 can't be reached"), "{}", said(&output));
    assert!(begun.elapsed() < Duration::from_secs(30) && !said(&output).contains("s3cret"));
}
