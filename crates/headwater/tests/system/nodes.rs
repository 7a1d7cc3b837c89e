//! Processes that share the work: each is heard of, one that is killed is missed in time and once, and who may not know of it
//! is not told.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http_client::{Sse, get, post};
use crate::mosquitto::Mosquitto;
use crate::mqtt_client::{Hello, MqttClient, Packet};
use crate::program::{PATIENCE, Place, Running};

/// Three missing beats of two seconds, and a look a second: by then a silent node is told.
const BOUND: Duration = Duration::from_secs(7);
/// What a busy machine may add to that.
const SLACK: Duration = Duration::from_secs(8);

/// What watches, over its own log.
fn hub() -> Place {
    Place::new().arg("--roles").arg("edge,console").arg("--apps").arg("none").arg("--node-id").arg("hub-1")
}

/// A process that handles alerts over this engine.
fn worker(id: &str, engine: &str) -> Place {
    let place = Place::new().arg("--roles").arg("processor").arg("--apps").arg("alerts");
    place.arg("--node-id").arg(id).arg("--engine").arg(engine)
}

/// The next event on this topic that is so; its payload.
fn wait(watcher: &mut Sse, topic: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {topic}");
        let sent = watcher.next().expect("the watch goes on");
        let event: Value = serde_json::from_str(&sent.data).expect("JSON");
        if event["topic"] != topic {
            continue;
        }
        let said: Value = serde_json::from_str(event["payload"].as_str().expect("text")).expect("JSON");
        if is_it(&said) {
            return said;
        }
    }
}

fn is_alive(said: &Value) -> bool {
    said["state"] == "alive"
}

fn nodes(of: &Running) -> Value {
    let answer = get(of.http, "/v1/admin/nodes");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn node(list: &Value, id: &str) -> Value {
    let found = list["nodes"].as_array().unwrap().iter().find(|node| node["id"] == id);
    found.cloned().unwrap_or_else(|| panic!("no {id} in {list}"))
}

/// The events of the nodes that the log has.
fn kept(place: &Place, filter: &str) -> Vec<Value> {
    let data = place.data().display().to_string();
    let output = place.run(&["log", "export", "--data", &data, "--filter", filter]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_killed_worker_is_missed_in_time_and_once_and_says_so_when_it_is_back() {
    let place = hub();
    let hub = place.start();
    let mut watcher = Sse::watch(hub.http, "filter=$SYS/nodes/%23", None).unwrap();
    let own = wait(&mut watcher, "$SYS/nodes/hub-1", is_alive);
    assert_eq!((&own["engine"], &own["durability"]), (&"embedded".into(), &"synced".into()));
    let worker_place = worker("worker-1", &format!("mqtt://{}", hub.mqtt));
    let worker = worker_place.start();
    let said = wait(&mut watcher, "$SYS/nodes/worker-1", is_alive);
    assert_eq!((&said["roles"][0], &said["durability"]), (&"processor".into(), &"synced".into()));
    assert!(said["version"].is_string() && said["load"]["memory_bytes"].as_u64().unwrap() > 1 << 20, "{said}");
    let said = wait(&mut watcher, "$SYS/nodes/worker-1", |said| said["groups"][0]["name"].is_string());
    assert!(said["groups"][0]["name"].as_str().unwrap().starts_with("service/"), "{said}");
    // Also by MQTT, and its state is told to who comes later.
    let mut by_mqtt = MqttClient::connect(hub.mqtt, Hello::new("watcher")).unwrap();
    by_mqtt.subscribe("$SYS/nodes/+/missed", 1);

    let killed = Instant::now();
    worker.kill();
    let missed = wait(&mut watcher, "$SYS/nodes/worker-1/missed", |_| true);
    let took = killed.elapsed();
    assert!(took > Duration::from_secs(3) && took < BOUND + SLACK, "after {took:?}");
    assert_eq!((&missed["id"], &missed["life"]), (&"worker-1".into(), &said["life"]));
    assert_eq!(by_mqtt.message().topic, "$SYS/nodes/worker-1/missed");
    let state = get(hub.http, "/v1/sticky/$SYS/nodes/worker-1");
    assert_eq!((state.status, &state.json()["state"]), (200, &"missed".into()));
    let listed = nodes(&hub);
    assert_eq!((&listed["me"], &listed["alive"], &listed["missed"]), (&"hub-1".into(), &1.into(), &1.into()));
    assert_eq!(node(&listed, "worker-1")["state"], "missed");

    let worker = worker_place.start();
    let back = wait(&mut watcher, "$SYS/nodes/worker-1/returned", |_| true);
    assert!(back["why"].as_str().unwrap().contains("started anew") && back["life"] != missed["life"], "{back}");
    assert_eq!(get(hub.http, "/v1/sticky/$SYS/nodes/worker-1").json()["state"], "alive");

    // In good order it says that it ends, and is not missed.
    assert!(worker.stop().success());
    wait(&mut watcher, "$SYS/nodes/worker-1", |said| said["state"] == "ended");
    let ended = nodes(&hub);
    assert_eq!((&ended["missed"], &ended["ended"]), (&0.into(), &1.into()));
    assert!(hub.stop().success());
    assert_eq!(kept(&place, "$SYS/nodes/+/missed").len(), 1);
    assert_eq!(kept(&place, "$SYS/nodes/+/returned").len(), 1);
    let states: Vec<_> = kept(&place, "$SYS/nodes/+").iter().map(|event| event["topic"].clone()).collect();
    // Alive, missed, alive, ended of the one; alive, ended of the other: no heartbeat is kept.
    assert_eq!(states.iter().filter(|topic| *topic == "$SYS/nodes/worker-1").count(), 4, "{states:?}");
    assert_eq!(states.len(), 6, "{states:?}");
    assert_eq!(kept(&place, "_headwater/talk/#").len(), 0);
}

#[test]
fn a_frozen_worker_is_missed_and_goes_on_when_it_thaws() {
    let place = hub();
    let hub = place.start();
    let mut watcher = Sse::watch(hub.http, "filter=$SYS/nodes/%23", None).unwrap();
    let worker = worker("worker-2", &format!("mqtt://{}", hub.mqtt)).start();
    let said = wait(&mut watcher, "$SYS/nodes/worker-2", is_alive);
    worker.signal("-STOP");
    let missed = wait(&mut watcher, "$SYS/nodes/worker-2/missed", |_| true);
    worker.signal("-CONT");
    let back = wait(&mut watcher, "$SYS/nodes/worker-2/returned", |_| true);
    assert_eq!((&back["life"], &back["why"]), (&said["life"], &"it was missed, and goes on".into()));
    assert_eq!(back["before"]["beat"], missed["beat"]);
}

#[test]
fn a_hub_that_is_killed_misses_afterwards_who_went_meanwhile_and_nobody_else() {
    let mqtt = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = hub().mqtt_at(mqtt);
    let hub = place.start();
    let engine = format!("mqtt://{mqtt}");
    let mut watcher = Sse::watch(hub.http, "filter=$SYS/nodes/%23", None).unwrap();
    let _stays = worker("stays", &engine).start();
    let goes = worker("goes", &engine).start();
    wait(&mut watcher, "$SYS/nodes/stays", is_alive);
    wait(&mut watcher, "$SYS/nodes/goes", is_alive);
    hub.kill();
    goes.kill();
    let hub = place.start();
    let mut watcher = Sse::watch(hub.http, "filter=$SYS/nodes/%23&from=start", None).unwrap();
    wait(&mut watcher, "$SYS/nodes/goes/missed", |_| true);
    // Its own crash is told too.
    assert_eq!(kept(&place, "$SYS/nodes/hub-1/returned").len(), 1);
    assert_eq!(node(&nodes(&hub), "stays")["state"], "alive");
    assert_eq!(kept(&place, "$SYS/nodes/stays/missed").len(), 0);
}

#[test]
fn over_another_broker_each_process_hears_the_others_and_a_killed_one_is_missed() {
    let broker = Mosquitto::start();
    let console = |id: &str| {
        let place = Place::new().arg("--roles").arg("edge,console").arg("--apps").arg("none");
        place.arg("--node-id").arg(id).arg("--engine").arg(&broker.url())
    };
    let (one_place, two_place) = (console("one"), console("two"));
    let (one, two) = (one_place.start(), two_place.start());
    let mut watchers = [&one, &two].map(|process| Sse::watch(process.http, "filter=$SYS/nodes/%23", None).unwrap());
    let worker = worker("worker-3", &broker.url()).start();
    for watcher in &mut watchers {
        let said = wait(watcher, "$SYS/nodes/worker-3", is_alive);
        assert_eq!(said["durability"], "written");
    }
    let killed = Instant::now();
    worker.kill();
    for watcher in &mut watchers {
        let missed = wait(watcher, "$SYS/nodes/worker-3/missed", |_| true);
        assert_eq!(missed["id"], "worker-3");
    }
    assert!(killed.elapsed() < BOUND + SLACK, "{:?}", killed.elapsed());
    // Both have missed it, and each watcher is told once: the next thing of it is its return.
    let _again = self::worker("worker-3", &broker.url()).start();
    for watcher in &mut watchers {
        let mut seen = Vec::new();
        while seen.last().map(String::as_str) != Some("$SYS/nodes/worker-3/returned") {
            let event: Value = serde_json::from_str(&watcher.next().unwrap().data).unwrap();
            seen.push(event["topic"].as_str().unwrap().to_owned());
        }
        assert!(!seen.iter().any(|topic| topic.ends_with("/missed")), "{seen:?}");
    }
    let listed = nodes(&one);
    assert_eq!((&listed["watching"], &listed["alive"]), (&"here".into(), &3.into()));
}

#[test]
fn a_process_that_is_alone_says_so_and_writes_nothing() {
    let place = hub();
    let hub = place.start();
    let mut watcher = Sse::watch(hub.http, "filter=$SYS/nodes/%23", None).unwrap();
    let first = wait(&mut watcher, "$SYS/nodes/hub-1", is_alive);
    let second = wait(&mut watcher, "$SYS/nodes/hub-1", is_alive);
    assert_eq!(second["beat"].as_u64(), first["beat"].as_u64().map(|beat| beat + 1));
    // Its state is told to who asks, from memory.
    let state = get(hub.http, "/v1/sticky/$SYS/nodes/hub-1");
    assert_eq!((state.status, &state.json()["state"]), (200, &"alive".into()));
    let all = get(hub.http, "/v1/sticky?filter=$SYS/nodes/%2B").json();
    assert_eq!(all["events"].as_array().unwrap().len(), 1, "{all}");
    let mut by_mqtt = MqttClient::connect(hub.mqtt, Hello::new("watcher")).unwrap();
    by_mqtt.subscribe("$SYS/nodes/+", 1);
    assert!(by_mqtt.message().is_retained, "the first that it's told is the state");
    assert!(hub.stop().success());
    assert_eq!(kept(&place, "$SYS/#").len(), 0);
}

#[test]
fn a_console_beside_its_hub_shows_what_the_hub_tells() {
    let place = hub();
    let hub = place.start();
    let engine = format!("mqtt://{}", hub.mqtt);
    let front = Place::new().arg("--roles").arg("console,edge").arg("--apps").arg("none");
    let front = front.arg("--node-id").arg("front-1").arg("--engine").arg(&engine).start();
    let worker = worker("worker-6", &engine).start();
    let wait_until = |what: &str, holds: &dyn Fn(&Value) -> bool| {
        let begun = Instant::now();
        while !holds(&nodes(&front)) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {}", nodes(&front));
        }
    };
    wait_until("all three", &|list| list["alive"] == 3);
    assert_eq!(nodes(&front)["watching"], "engine");
    let mut watcher = Sse::watch(front.http, "filter=$SYS/nodes/%23", None).unwrap();
    wait(&mut watcher, "$SYS/nodes/hub-1", is_alive);
    worker.kill();
    wait(&mut watcher, "$SYS/nodes/worker-6/missed", |_| true);
    wait_until("one missed", &|list| node(list, "worker-6")["state"] == "missed");
    // The hub alone has written it.
    assert_eq!(kept(&place, "$SYS/nodes/worker-6/missed").len(), 1);
    assert_eq!(kept(&place, "_headwater/reserved/#").len(), 0);
}

#[cfg(feature = "engines")]
#[test]
fn over_nats_a_killed_process_is_missed_once_by_all_and_a_new_watcher_knows_who_was_there() {
    let nats = crate::nats_server::NatsServer::start();
    let console = |id: &str| {
        let place = Place::new().arg("--roles").arg("edge,console").arg("--apps").arg("none");
        place.arg("--node-id").arg(id).arg("--engine").arg(&nats.url())
    };
    let (one_place, two_place) = (console("one"), console("two"));
    let (one, two) = (one_place.start(), two_place.start());
    let mut watchers = [&one, &two].map(|process| Sse::watch(process.http, "filter=$SYS/nodes/%23", None).unwrap());
    let first = worker("worker-7", &nats.url()).start();
    for watcher in &mut watchers {
        assert_eq!(wait(watcher, "$SYS/nodes/worker-7", is_alive)["durability"], "synced");
    }
    let killed = Instant::now();
    first.kill();
    for watcher in &mut watchers {
        wait(watcher, "$SYS/nodes/worker-7/missed", |_| true);
    }
    assert!(killed.elapsed() < BOUND + SLACK, "{:?}", killed.elapsed());
    // A second one dies while nobody watches: who comes then finds its state, and misses it.
    let second = worker("worker-8", &nats.url()).start();
    wait(&mut watchers[0], "$SYS/nodes/worker-8", is_alive);
    assert!(one.stop().success() && two.stop().success());
    second.kill();
    let three = console("three").start();
    let mut watcher = Sse::watch(three.http, "filter=$SYS/nodes/%23&from=start", None).unwrap();
    let mut topics = Vec::new();
    while topics.last().map(String::as_str) != Some("$SYS/nodes/worker-8/missed") {
        let event: Value = serde_json::from_str(&watcher.next().unwrap().data).unwrap();
        topics.push(event["topic"].as_str().unwrap().to_owned());
    }
    // The log has the first one's end once, though two have written it.
    assert_eq!(topics.iter().filter(|topic| *topic == "$SYS/nodes/worker-7/missed").count(), 1, "{topics:?}");
    let listed = nodes(&three);
    assert_eq!((&listed["alive"], &listed["missed"], &listed["ended"]), (&1.into(), &2.into(), &2.into()), "{listed}");
}

/// Who may what: `#` is everything but what begins with `$`.
const RULES: &str = r##"
[roles.worker]
publish = ["#"]
subscribe = ["#"]

[roles.guard]
subscribe = ["$SYS/nodes/#"]

[roles.other]
publish = ["#"]
subscribe = ["#"]
"##;

fn guarded() -> Place {
    let place = hub();
    fs::create_dir_all(place.data()).unwrap();
    fs::write(place.data().join("rules.toml"), RULES).unwrap();
    for user in ["worker", "guard", "other"] {
        let secret = place.dir.join(format!("{user}.secret"));
        fs::write(&secret, "a good secret").unwrap();
        let data = place.data().display().to_string();
        let args = ["user", "add", user, "--role", user, "--data", &data, "--password-file", secret.to_str().unwrap()];
        assert!(place.run(&args).status.success());
    }
    place
}

#[test]
fn who_may_not_know_of_the_nodes_is_not_told_and_nobody_speaks_for_one() {
    let place = guarded();
    let hub = place.start();
    let login = |user| Hello { login: Some((user, "a good secret")), ..Hello::new("c") };
    // Base64 of NAME:a good secret.
    let (guard, other) = ("Basic Z3VhcmQ6YSBnb29kIHNlY3JldA==", "Basic b3RoZXI6YSBnb29kIHNlY3JldA==");
    let mut watcher = Sse::with(hub.http, "filter=$SYS/nodes/%23", &format!("Authorization: {guard}\r\n")).unwrap();
    wait(&mut watcher, "$SYS/nodes/hub-1", is_alive);
    let ask = |path: &str, who: &str| {
        let mut client = crate::http_client::HttpClient::connect(hub.http).unwrap();
        let lines: &[(&str, &str)] = if who.is_empty() { &[] } else { &[("Authorization", who)] };
        client.request("GET", path, lines, b"").unwrap().status
    };
    for path in ["/v1/live?filter=$SYS/nodes/%23", "/v1/sticky/$SYS/nodes/hub-1", "/v1/sticky?filter=$SYS/nodes/%2B"] {
        assert_eq!((ask(path, ""), ask(path, other)), (401, 403), "{path}");
    }
    assert_eq!(ask("/v1/sticky/$SYS/nodes/hub-1", guard), 200);
    let mut client = MqttClient::connect(hub.mqtt, login("other")).unwrap();
    assert_eq!(client.subscribe("$SYS/nodes/#", 1), 0x87);
    // Nobody publishes there, whatever rules say.
    client.publish("$SYS/nodes/hub-1", "{}", 1, 7).unwrap();
    client.wait_for(&Packet::Ack(4, 7, 0x87));
    for who in [guard, other] {
        let answer = post(hub.http, "/v1/events/$SYS/nodes/hub-1", &[("Authorization", who)], b"{}");
        assert_eq!(answer.status, 403);
    }
    // A worker needs no right to $SYS, and is heard.
    let engine = format!("mqtt://worker:a%20good%20secret@{}", hub.mqtt);
    let worker = worker("worker-4", &engine).start();
    let said = wait(&mut watcher, "$SYS/nodes/worker-4", is_alive);
    assert!(!said.to_string().contains("secret"), "{said}");
    worker.kill();
    wait(&mut watcher, "$SYS/nodes/worker-4/missed", |_| true);
}

#[test]
fn a_worker_without_an_edge_tells_how_it_is_and_how_far_it_is_behind() {
    let hub = hub().start();
    let worker = worker("worker-5", &format!("mqtt://{}", hub.mqtt)).start();
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(get(worker.http, path).status, 200, "{path}");
    }
    assert!(get(worker.http, "/readyz").text().contains("service/"), "{}", get(worker.http, "/readyz").text());
    let text = get(worker.http, "/metrics").text();
    let has = |line: &str| text.lines().any(|have| have.starts_with(line));
    for line in [
        "# HELP headwater_group_backlog ",
        "# TYPE headwater_group_backlog gauge",
        "headwater_group_backlog{group=\"service/",
        "# TYPE headwater_group_oldest_unsettled_seconds gauge",
        "headwater_group_oldest_unsettled_seconds{group=\"service/",
    ] {
        assert!(has(line), "{line}\n{text}");
    }
}

#[test]
fn a_backlog_is_told_with_its_age_until_it_is_settled_and_names_are_escaped() {
    let hub = hub().start();
    let mut member = MqttClient::connect(hub.mqtt, Hello::kept("member")).unwrap();
    member.subscribe("$share/a\"b\\c/orders/#", 1);
    member.leave();
    for n in 0..3 {
        assert_eq!(post(hub.http, &format!("/v1/events/orders/{n}"), &[], b"x").status, 200);
    }
    assert_eq!(post(hub.http, "/v1/events/other", &[], b"x").status, 200);
    let label = "{group=\"mqtt/share/a\\\"b\\\\c/orders/#\"}";
    let value = |name: &str| -> Option<f64> {
        let text = get(hub.http, "/metrics").text();
        text.lines().find_map(|line| line.strip_prefix(&format!("{name}{label} "))?.parse().ok())
    };
    let (backlog, age) = ("headwater_group_backlog", "headwater_group_oldest_unsettled_seconds");
    let wait_for = |events: f64| {
        let begun = Instant::now();
        // An answer is good for a second.
        while value(backlog) != Some(events) {
            assert!(begun.elapsed() < PATIENCE, "{}", get(hub.http, "/metrics").text());
        }
    };
    wait_for(3.0);
    assert!(value(age).unwrap() > 0.0);
    let mut member = MqttClient::connect(hub.mqtt, Hello::kept("member")).unwrap();
    for _ in 0..3 {
        let message = member.message();
        assert_eq!(message.qos, 1, "taking it is acknowledging it");
    }
    wait_for(0.0);
    assert_eq!(value(age), Some(0.0));
}
