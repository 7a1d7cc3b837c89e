//! Bridges to other brokers: what crosses them does so once, in both directions, whoever is killed meanwhile.

use std::time::Instant;

use crate::http_client::{get, post};
use crate::mosquitto::{KEEPS, Mosquitto, PLAIN, free_port};
use crate::mqtt_client::{Hello, MqttClient, Packet};
use crate::program::{PATIENCE, Place, Running};

/// A bridge's table.
pub fn bridge(url: &str, version: u8, more: &str) -> String {
    format!("[[bridge]]\nname = \"far\"\nurl = \"{url}\"\nversion = {version}\n{more}\n")
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

/// Waits until the bridge has its connection, so that what is published there has somebody to go to.
pub fn connected(hub: &Running) {
    until("connected", || metric(hub, "bridge_connected") == 1);
}

pub fn metric(hub: &Running, name: &str) -> u64 {
    let text = get(hub.http, "/metrics").text();
    let lines = ["", "_total"].map(|end| format!("headwater_{name}{end}{{bridge=\"far\"}} "));
    let found = text.lines().find_map(|known| lines.iter().find_map(|line| known.strip_prefix(line)));
    found.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
}

pub fn put(hub: &Running, topic: &str, payload: &str) {
    let answer = post(hub.http, &format!("/v1/events/{topic}"), &[], payload.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

pub fn payloads(hub: &Running, filter: &str) -> Vec<String> {
    let answer = get(hub.http, &format!("/v1/events?filter={filter}&from=start&limit=1000000"));
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    let of =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["payload"].as_str().unwrap().to_owned();
    text.lines().map(of).collect()
}

/// A client of the other broker.
fn client<'a>(id: &'a str, version: u8) -> Hello<'a> {
    Hello { is_five: version == 5, ..Hello::new(id) }
}

pub const OUT: &str = "out = [{ filter = \"sensors/#\", remote = \"site-7/\" }]";
pub const BACK: &str = "in = [{ filter = \"orders/#\", local = \"from/\", remote = \"shop/\" }]";

fn what_happens_here_is_told_there(version: u8) {
    let broker = Mosquitto::start();
    let place = Place::new().config(&bridge(&broker.url(), version, OUT));
    let hub = place.start();
    let mut there = MqttClient::connect(broker.addr(), client("there", version)).unwrap();
    assert_eq!(there.subscribe("#", 1), 1);
    put(&hub, "sensors/a", "1");
    put(&hub, "doors/a", "not wanted");
    post(hub.http, "/v1/events/sensors/b?sticky=true", &[], b"2");
    let first = there.message();
    assert_eq!((first.topic.as_str(), first.text(), first.qos), ("site-7/sensors/a", "1", 1));
    let second = there.message();
    assert_eq!((second.topic.as_str(), second.text()), ("site-7/sensors/b", "2"));
    // Who comes later gets the state that is kept there.
    let mut late = MqttClient::connect(broker.addr(), client("late", version)).unwrap();
    late.subscribe("site-7/#", 1);
    let kept = late.message();
    assert_eq!((kept.topic.as_str(), kept.text(), kept.is_retained), ("site-7/sensors/b", "2", true));
    until("acknowledged", || metric(&hub, "bridge_sent") == 2);
    assert!(hub.stop().success());
}

#[test]
fn what_happens_here_is_told_there_by_5() {
    what_happens_here_is_told_there(5);
}

#[test]
fn what_happens_here_is_told_there_by_3_1_1() {
    what_happens_here_is_told_there(3);
}

fn what_happens_there_is_told_here(version: u8) {
    let broker = Mosquitto::start();
    let mut there = MqttClient::connect(broker.addr(), client("there", version)).unwrap();
    there.publish_retained("shop/orders/kept", "0", 1).unwrap();
    assert!(matches!(there.next().unwrap(), Packet::Ack(4, 1, _)));
    let place = Place::new().config(&bridge(&broker.url(), version, BACK));
    let hub = place.start();
    until("the kept one", || payloads(&hub, "from/%23") == ["0"]);
    for number in 2..=4u16 {
        there.publish("shop/orders/new", &number.to_string(), (number % 2) as u8, number).unwrap();
    }
    there.publish_retained("shop/orders/kept", "5", 5).unwrap();
    until("all", || payloads(&hub, "from/%23") == ["0", "2", "3", "4", "5"]);
    // The state too.
    let state = get(hub.http, "/v1/sticky/from/orders/kept");
    assert_eq!((state.status, state.text().as_str()), (200, "5"));
    assert_eq!(metric(&hub, "bridge_taken"), 5);
    // A connection that is made anew gets nothing twice that was kept.
    assert!(hub.stop().success());
    let hub = place.start();
    connected(&hub);
    there.publish("shop/orders/new", "6", 1, 6).unwrap();
    until("the next", || payloads(&hub, "from/%23").last().unwrap() == "6");
    assert_eq!(payloads(&hub, "from/%23"), ["0", "2", "3", "4", "5", "6"]);
}

#[test]
fn what_happens_there_is_told_here_by_5() {
    what_happens_there_is_told_here(5);
}

#[test]
fn what_happens_there_is_told_here_by_3_1_1() {
    what_happens_there_is_told_here(3);
}

/// Publishes the numbers of this range to a broker, many under way at once, and waits for all acknowledgements.
fn publish_numbers(client: &mut MqttClient, topic: &str, numbers: std::ops::Range<u32>) {
    let (mut next, mut open) = (numbers.start, 0);
    while next < numbers.end || open > 0 {
        while next < numbers.end && open < 50 {
            let id = (next % 65_000) as u16 + 1;
            client.publish(topic, &next.to_string(), 1, id).unwrap();
            (next, open) = (next + 1, open + 1);
        }
        match client.next().unwrap() {
            Packet::Ack(4, _, reason) if reason < 0x80 => open -= 1,
            other => panic!("{other:?}"),
        }
    }
}

fn numbers(payloads: &[String]) -> Vec<u32> {
    payloads.iter().map(|payload| payload.parse().unwrap()).collect()
}

/// How many times somebody is killed.
fn kills() -> u32 {
    std::env::var("HEADWATER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(10)
}

const EACH: u32 = 400;

/// What a plain broker brings while this side is killed again and again is here once: not lost, and not twice, though the
/// events have no names.
fn comes_in_once_whoever_is_killed(version: u8) {
    let broker = Mosquitto::with(PLAIN);
    let place = Place::new().config(&bridge(&broker.url(), version, BACK));
    let mut hub = place.start();
    connected(&hub);
    let mut there = MqttClient::connect(broker.addr(), client("there", version)).unwrap();
    for round in 0..kills() {
        let begin = round * EACH;
        // Some rounds are killed in the midst of it, some before anything, some while all of it waits on the other side.
        let kill_at = metric(&hub, "bridge_taken") + u64::from(EACH * (round % 4) / 4);
        let publishing = std::thread::spawn(move || {
            publish_numbers(&mut there, "shop/orders/new", begin..begin + EACH);
            there
        });
        until("some of it", || metric(&hub, "bridge_taken") >= kill_at);
        hub.kill();
        there = publishing.join().unwrap();
        hub = place.start();
    }
    let all: Vec<u32> = (0..kills() * EACH).collect();
    until("all", || payloads_of(&hub, "from/%23") >= all.len());
    publish_numbers(&mut there, "shop/orders/last", 1_000_000..1_000_001);
    until("the last", || payloads(&hub, "from/orders/last").len() == 1);
    drop(hub);
    let came: Vec<String> = place
        .export()
        .iter()
        .filter(|event| event["topic"] == "from/orders/new")
        .map(|event| event["payload"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(numbers(&came), all, "each once, and in order");
}

/// A broker that has any number of deliveries under way at once, whatever we ask of it, holds nothing up, loses nothing, and
/// brings nothing twice.
#[test]
fn what_a_broker_sends_without_a_bound_is_here_once_through_kill_9() {
    let broker = Mosquitto::start();
    let place = Place::new().config(&bridge(&broker.url(), 3, BACK));
    let mut hub = place.start();
    connected(&hub);
    let mut there = MqttClient::connect(broker.addr(), Hello::new("there")).unwrap();
    for round in 0..5 {
        hub.kill();
        publish_numbers(&mut there, "shop/orders/new", round * 5_000..(round + 1) * 5_000);
        hub = place.start();
        until("some of it", || metric(&hub, "bridge_taken") > 1_000);
    }
    publish_numbers(&mut there, "shop/orders/last", 1_000_000..1_000_001);
    until("the last", || payloads_of(&hub, "from/orders/last") == 1);
    drop(hub);
    let mut came: Vec<u32> =
        place.export().iter().filter_map(|event| event["payload"].as_str()?.parse().ok()).collect();
    came.sort_unstable();
    assert_eq!(came.len(), 25_001);
    came.dedup();
    assert_eq!(came.len(), 25_001, "each once");
}

/// How many there are.
fn payloads_of(hub: &Running, filter: &str) -> usize {
    payloads(hub, filter).len()
}

#[test]
fn what_comes_in_by_5_is_here_once_through_kill_9() {
    comes_in_once_whoever_is_killed(5);
}

#[test]
fn what_comes_in_by_3_1_1_is_here_once_through_kill_9() {
    comes_in_once_whoever_is_killed(3);
}

/// What was acknowledged here reaches the other side, whenever this side is killed; a plain broker may get some of it twice.
fn goes_out_whoever_is_killed(version: u8) {
    let broker = Mosquitto::start();
    let place = Place::new().config(&bridge(&broker.url(), version, OUT));
    let mut there = MqttClient::connect(broker.addr(), client("there", version)).unwrap();
    there.subscribe("site-7/#", 1);
    let mut hub = place.start();
    connected(&hub);
    for round in 0..kills() {
        let mut here = MqttClient::connect(hub.mqtt, Hello::new("here")).unwrap();
        let begin = round * EACH;
        publish_numbers(&mut here, "sensors/a", begin..begin + EACH);
        if round % 2 == 0 {
            until("some of it", || metric(&hub, "bridge_sent") > u64::from(EACH * (round % 5) / 5));
        }
        hub.kill();
        hub = place.start();
    }
    let mut seen = std::collections::BTreeSet::new();
    let (mut told, mut last) = (0, 0);
    while seen.len() < (kills() * EACH) as usize {
        last = there.message().text().parse().unwrap();
        seen.insert(last);
        told += 1;
    }
    assert_eq!(last, kills() * EACH - 1, "nothing new comes before what is older");
    println!("{told} deliveries of {} events", seen.len());
    // What was under way at a kill, and no more than that, came again.
    assert!(told - seen.len() <= kills() as usize * 256, "{told}");
}

#[test]
fn what_was_acknowledged_goes_out_by_5_through_kill_9() {
    goes_out_whoever_is_killed(5);
}

#[test]
fn what_was_acknowledged_goes_out_by_3_1_1_through_kill_9() {
    goes_out_whoever_is_killed(3);
}

/// The broker is restarted and killed: what waits on either side crosses when it's back.
fn crosses_through_restarts_of_the_broker(version: u8) {
    let mut broker = Mosquitto::with(KEEPS);
    let place = Place::new().config(&bridge(&broker.url(), version, &format!("{OUT}\n{BACK}")));
    let hub = place.start();
    connected(&hub);
    let mut there =
        MqttClient::connect(broker.addr(), Hello { is_five: version == 5, ..Hello::kept("there") }).unwrap();
    there.subscribe("site-7/#", 1);
    let mut told = Vec::new();
    for round in 0..6 {
        let begin = round * 100;
        publish_numbers(&mut there, "shop/orders/new", begin..begin + 100);
        if round % 2 == 0 {
            // All of it has been saved, so that what is lost would be lost by us.
            broker.stop();
        } else {
            until("there is nothing left to lose", || payloads_of(&hub, "from/%23") == (begin + 100) as usize);
            broker.kill();
        }
        until("noticed", || metric(&hub, "bridge_connected") == 0);
        let ready = get(hub.http, "/readyz");
        assert_eq!(ready.status, 200, "a broker that is gone is no reason to send clients away");
        assert_eq!(ready.json()["status"], "degraded", "{}", ready.text());
        let mut here = MqttClient::connect(hub.mqtt, Hello::new("here")).unwrap();
        publish_numbers(&mut here, "sensors/a", begin..begin + 100);
        broker.start_again();
        let hello = Hello { is_five: version == 5, ..Hello::kept("there") };
        there = MqttClient::connect(broker.addr(), hello).unwrap();
        assert!(there.is_present, "round {round}");
        while told.len() < (begin + 100) as usize {
            told.push(there.message().text().parse::<u32>().unwrap());
        }
    }
    assert_eq!(told, (0..600).collect::<Vec<_>>(), "there: each once, in order");
    until("all", || payloads_of(&hub, "from/%23") >= 600);
    assert_eq!(numbers(&payloads(&hub, "from/%23")), (0..600).collect::<Vec<_>>(), "here: each once, in order");
    assert_eq!(get(hub.http, "/readyz").json()["status"], "ok");
}

#[test]
fn all_crosses_by_5_when_the_broker_is_restarted_and_killed() {
    crosses_through_restarts_of_the_broker(5);
}

#[test]
fn all_crosses_by_3_1_1_when_the_broker_is_restarted_and_killed() {
    crosses_through_restarts_of_the_broker(3);
}

/// A hub at an address that it has again after a restart.
pub fn hub_at(port: u16, text: &str) -> Place {
    Place::new().mqtt_at(([127, 0, 0, 1], port).into()).config(text)
}

/// The payloads of a hub's own log, but for what belongs to the hub.
fn kept(place: &Place) -> Vec<String> {
    let events = place.export().into_iter().filter(|event| !event["topic"].as_str().unwrap().starts_with('$'));
    let mut kept: Vec<String> = events.map(|event| event["payload"].as_str().unwrap().to_owned()).collect();
    kept.sort();
    kept
}

const BOTH_WAYS: &str = "out = [{ filter = \"both/#\" }]\nin = [{ filter = \"both/#\" }]";

/// Two hubs with the same topics on both sides: `config` gives the bridges of either, by the ports of both.
fn two_hubs_agree(both_bridge: bool) {
    let ports = [free_port(), free_port()];
    let to = |port: u16| bridge(&format!("mqtt://127.0.0.1:{port}"), 5, BOTH_WAYS);
    let one = hub_at(ports[0], &to(ports[1]));
    let other = hub_at(ports[1], &if both_bridge { to(ports[0]) } else { String::new() });
    let mut hubs = [one.start(), other.start()];
    connected(&hubs[0]);
    let mut wanted: Vec<String> = Vec::new();
    for round in 0..kills() {
        for (at, hub) in hubs.iter().enumerate() {
            let mut here = MqttClient::connect(hub.mqtt, Hello::new("here")).unwrap();
            let begin = (round * 2 + at as u32) * 200;
            publish_numbers(&mut here, "both/numbers", begin..begin + 200);
            wanted.extend((begin..begin + 200).map(|number| number.to_string()));
            // By another protocol, without a name of its own.
            put(hub, "both/by-http", &format!("{round} {at}"));
            wanted.push(format!("{round} {at}"));
        }
        let place = if round % 2 == 0 { &one } else { &other };
        let killed = (round % 2) as usize;
        hubs[killed].kill_now();
        hubs[killed] = place.start();
    }
    for hub in &hubs {
        until("all of it", || payloads_of(hub, "both/%23") >= wanted.len());
    }
    // The last words go all the way and back, so whatever was to return has returned by then.
    put(&hubs[0], "both/last", "last 0");
    put(&hubs[1], "both/last", "last 1");
    wanted.extend(["last 0".to_owned(), "last 1".to_owned()]);
    for hub in &hubs {
        until("the last words", || payloads_of(hub, "both/last") >= 2);
    }
    for hub in hubs {
        assert!(hub.stop().success());
    }
    wanted.sort();
    assert_eq!(kept(&one), wanted, "each once on the one side");
    assert_eq!(kept(&other), wanted, "each once on the other side");
}

#[test]
fn two_hubs_have_the_same_events_once_each_through_kill_9_of_either() {
    two_hubs_agree(false);
}

#[test]
fn two_hubs_that_bridge_each_other_tell_nothing_in_circles() {
    two_hubs_agree(true);
}

/// A ring of three plain-spoken hubs: an event goes round and ends where it began.
#[test]
fn an_event_goes_round_a_ring_once() {
    let ports = [free_port(), free_port(), free_port()];
    let out = "out = [{ filter = \"ring/#\" }]";
    let places: Vec<Place> = (0..3)
        .map(|at| hub_at(ports[at], &bridge(&format!("mqtt://127.0.0.1:{}", ports[(at + 1) % 3]), 5, out)))
        .collect();
    let hubs: Vec<Running> = places.iter().map(Place::start).collect();
    hubs.iter().for_each(connected);
    for (at, hub) in hubs.iter().enumerate() {
        put(hub, "ring/a", &at.to_string());
    }
    for hub in &hubs {
        until("all three", || payloads_of(hub, "ring/a") >= 3);
    }
    for hub in &hubs {
        until("it ended", || metric(hub, "bridge_returning") >= 1);
    }
    drop(hubs);
    for place in &places {
        assert_eq!(kept(place), ["0", "1", "2"]);
    }
}

/// Without rules nothing crosses, and it's said; with them only what they allow.
#[test]
fn a_bridge_may_what_its_role_may() {
    let broker = Mosquitto::start();
    let place = Place::new();
    let rules = place.dir.join("rules.toml");
    let text = bridge(&broker.url(), 5, &format!("{OUT}\n{BACK}"));
    let config = place.dir.join("headwater.toml");
    let head = format!("[access]\nrules_file = \"{}\"\n", rules.display());
    std::fs::write(&config, format!("{head}{text}")).unwrap();
    let anybody = "[roles.anonymous]\npublish = ['sensors/#']\nsubscribe = ['#']\n";
    std::fs::write(&rules, anybody).unwrap();
    let place = place.arg("--config").arg(&config.display().to_string());
    let hub = place.start();
    connected(&hub);
    let why = || get(hub.http, "/readyz").text();
    until("it's said", || why().contains("the rules don't let `bridge/far` watch `sensors/#`"));
    let mut there = MqttClient::connect(broker.addr(), Hello::new("there")).unwrap();
    there.subscribe("site-7/#", 1);
    let publish = |there: &mut MqttClient, topic: &str, id: u16| {
        there.publish(topic, &id.to_string(), 1, id).unwrap();
        there.wait_for(&Packet::Ack(4, id, 0));
    };
    publish(&mut there, "shop/orders/a", 1);
    until("refused", || metric(&hub, "bridge_refused_here") == 1);
    put(&hub, "sensors/a", "before");
    let more =
        "[roles.bridge]\npublish = ['from/orders/+']\ndeny_publish = ['from/orders/b']\nsubscribe = ['sensors/#']\n";
    std::fs::write(&rules, format!("{anybody}{more}")).unwrap();
    hub.signal("-HUP");
    until("allowed", || !why().contains("don't let"));
    for (topic, id) in [("shop/orders/a", 2), ("shop/orders/b", 3), ("shop/orders/c", 4)] {
        publish(&mut there, topic, id);
    }
    until("both", || payloads(&hub, "from/%23") == ["2", "4"]);
    assert_eq!(metric(&hub, "bridge_refused_here"), 2);
    put(&hub, "sensors/a", "now");
    assert_eq!(there.message().text(), "now", "what happened before it was allowed isn't told");
    std::fs::write(&rules, anybody).unwrap();
    hub.signal("-HUP");
    until("it's over", || why().contains("don't let"));
    put(&hub, "sensors/a", "secret");
    publish(&mut there, "shop/orders/a", 5);
    publish(&mut there, "site-7/own", 6);
    assert_eq!(there.message().text(), "6");
}

/// A broker that says no to one event gets the next ones, and the event is kept with what it said.
#[test]
fn what_the_broker_refuses_is_a_dead_letter_and_holds_nothing_up() {
    const RULES: &str = "persistence false\nacl_file FOLDER/acl\npassword_file FOLDER/users\nallow_anonymous false\n";
    // mosquitto_passwd -U: `bridge` with the password `canary-7`.
    let broker = Mosquitto::with_files(RULES, |folder| {
        std::fs::write(folder.join("acl"), "user bridge\ntopic write site-7/sensors/+\n").unwrap();
        let users = folder.join("users");
        std::fs::write(&users, "bridge:canary-7\n").unwrap();
        let done = std::process::Command::new("mosquitto_passwd").arg("-U").arg(&users).status().unwrap();
        assert!(done.success());
    });
    let place = Place::new();
    let password = place.dir.join("password");
    std::fs::write(&password, "canary-7\n").unwrap();
    let set_mode = |mode: &str| {
        assert!(std::process::Command::new("chmod").arg(mode).arg(&password).status().unwrap().success());
    };
    set_mode("644");
    let login = format!("{OUT}\nuser = \"bridge\"\npassword_file = \"{}\"", password.display());
    let place = place.config(&bridge(&broker.url(), 5, &login));
    let Err((status, said)) = place.try_start() else { panic!("a password that all can read was taken") };
    assert!(status.code() == Some(2) && said.contains("chmod 600"), "{said}");
    set_mode("600");
    let hub = place.start();
    connected(&hub);
    put(&hub, "sensors/a", "1");
    put(&hub, "sensors/a/b", "2");
    put(&hub, "sensors/c", "3");
    until("sent", || metric(&hub, "bridge_sent") == 2);
    until("refused", || metric(&hub, "bridge_refused_there") == 1);
    let letters = place.run(&["dead", "list", "bridge/far", "--addr", &hub.http.to_string()]);
    let text = String::from_utf8_lossy(&letters.stdout).into_owned() + &String::from_utf8_lossy(&letters.stderr);
    assert!(text.contains("sensors/a/b"), "{text}");
    assert!(hub.said().contains("is a dead letter: the broker refuses it: not authorised"), "{}", hub.said());
    // The password is nowhere.
    let shown = [hub.said(), get(hub.http, "/metrics").text(), get(hub.http, "/readyz").text()];
    let checked = place.run(&["check", "--config", &place.dir.join("headwater.toml").display().to_string()]);
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.contains("bridge.far.url"), "{checked}");
    for shown in shown.iter().chain([&checked]) {
        assert!(!shown.contains("canary"), "{shown}");
    }
    // One that is wrong is said in words, and tried again.
    drop(hub);
    std::fs::write(&password, "canary-8").unwrap();
    let hub = place.start();
    until("it's said", || get(hub.http, "/readyz").text().contains("not authorised"));
    assert!(!hub.said().contains("canary"), "{}", hub.said());
}
