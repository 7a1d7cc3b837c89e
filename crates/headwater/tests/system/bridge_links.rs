//! What a bridge leads over: TLS, a broker that is away for longer than an event lasts, and one hub after the other.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::bridges::{BACK, OUT, bridge, connected, hub_at, metric, payloads, put, until};
use crate::http_client::{get, post};
use crate::mosquitto::{Mosquitto, free_port};
use crate::mqtt_client::{Hello, MqttClient, Packet, expiring};
use crate::program::{Place, Running};

/// A broker with a plain listener, and one that speaks TLS with a certificate for `localhost`.
const SPEAKS_TLS: &str = "persistence false\nallow_anonymous true\nlistener TLS_PORT 127.0.0.1\n\
                          certfile FOLDER/server.pem\nkeyfile FOLDER/server.key\n";

fn openssl(args: &[&str]) {
    let done = Command::new("openssl").args(args).stderr(Stdio::null()).status();
    assert!(done.expect("openssl is installed (Debian: openssl)").success(), "openssl {args:?}");
}

/// An authority that nobody else knows: `NAME.pem` and `NAME.key`.
fn authority(folder: &Path, name: &str) {
    let file = |end: &str| folder.join(format!("{name}.{end}")).display().to_string();
    let subject = format!("/CN=authority {name}");
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let files = ["-keyout", &file("key"), "-out", &file("pem")];
    openssl(&[&["req", "-x509", "-subj", &subject], &curve[..], &files[..]].concat());
}

/// A broker whose certificate is of the authority `right`; `wrong` is another one.
fn broker() -> Mosquitto {
    Mosquitto::with_files(SPEAKS_TLS, |folder| {
        authority(folder, "right");
        authority(folder, "wrong");
        let file = |name: &str| folder.join(name).display().to_string();
        let (ca, ca_key) = (file("right.pem"), file("right.key"));
        let signed = ["req", "-x509", "-CA", &ca, "-CAkey", &ca_key, "-subj", "/CN=a broker", "-days", "2"];
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let what = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"];
        let (key, pem) = (file("server.key"), file("server.pem"));
        openssl(&[&signed[..], &curve[..], &what[..], &["-keyout", &key, "-out", &pem]].concat());
    })
}

/// A bridge to it by this name, which believes this authority.
fn over_tls(broker: &Mosquitto, host: &str, authority: &str, version: u8) -> Place {
    let ca = broker.path(&format!("{authority}.pem"));
    let more = format!("ca_file = \"{}\"\n{OUT}\n{BACK}", ca.display());
    Place::new().config(&bridge(&format!("mqtts://{host}:{}", broker.tls_port()), version, &more))
}

fn crosses_over_tls(version: u8) {
    let mut broker = broker();
    let place = over_tls(&broker, "localhost", "right", version);
    let hub = place.start();
    connected(&hub);
    // More than one record of TLS, and more than a socket takes at once.
    let large = "x".repeat(600_000);
    for round in 1..=2 {
        let hello = Hello { is_five: version == 5, ..Hello::new("there") };
        let mut there = MqttClient::connect(broker.addr(), hello).unwrap();
        there.subscribe("site-7/#", 1);
        put(&hub, "sensors/a", &format!("out {round}"));
        put(&hub, "sensors/large", &large);
        assert_eq!(there.message().text(), format!("out {round}"));
        assert_eq!(there.message().text(), large);
        there.publish("shop/orders/a", &format!("in {round}"), 1, 1).unwrap();
        there.publish("shop/orders/large", &large, 1, 2).unwrap();
        until("both", || payloads(&hub, "from/%23").len() == 2 * round);
        assert_eq!(payloads(&hub, "from/%23")[2 * round - 2..], [format!("in {round}"), large.clone()]);
        if round == 1 {
            broker.kill();
            until("noticed", || metric(&hub, "bridge_connected") == 0);
            broker.start_again();
            connected(&hub);
        }
    }
    assert_eq!(get(hub.http, "/readyz").json()["status"], "ok");
    assert!(hub.stop().success());
}

#[test]
fn all_crosses_over_tls_by_5_and_again_after_a_restart_of_the_broker() {
    crosses_over_tls(5);
}

#[test]
fn all_crosses_over_tls_by_3_1_1_and_again_after_a_restart_of_the_broker() {
    crosses_over_tls(3);
}

/// Nothing of this hub's is sent, and the reason is told, as often as it's tried.
fn nothing_crosses(broker: &Mosquitto, place: &Place, words: &str) {
    let hub = place.start();
    until("it's told", || get(hub.http, "/readyz").text().contains(words));
    let ready = get(hub.http, "/readyz");
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("degraded")), "{}", ready.text());
    let mut there = MqttClient::connect(broker.addr(), Hello::new("there")).unwrap();
    there.subscribe("#", 1);
    put(&hub, "sensors/a", "secret");
    there.publish("shop/orders/a", "1", 1, 1).unwrap();
    there.wait_for(&Packet::Ack(4, 1, 0));
    // More than one try, in which it could have crossed.
    let log = || std::fs::read_to_string(broker.path("log")).unwrap();
    let tries = || log().matches(&format!("on port {}", broker.tls_port())).count();
    let so_far = tries();
    until("tried again", || tries() > so_far + 1);
    assert_eq!((metric(&hub, "bridge_connected"), metric(&hub, "bridge_sent")), (0, 0));
    assert_eq!(there.message().text(), "1", "its own alone");
    assert!(payloads(&hub, "from/%23").is_empty());
    assert_eq!(hub.said().matches(words).count(), 1, "said once: {}", hub.said());
    assert!(hub.stop().success());
}

#[test]
fn a_broker_of_another_authority_is_told_in_words_and_given_nothing() {
    let broker = broker();
    let place = over_tls(&broker, "localhost", "wrong", 5);
    nothing_crosses(&broker, &place, "can't be reached: invalid peer certificate: UnknownIssuer");
}

#[test]
fn a_broker_of_another_name_is_told_in_words_and_given_nothing() {
    let broker = broker();
    let place = over_tls(&broker, "127.0.0.1", "right", 5);
    nothing_crosses(&broker, &place, "can't be reached: invalid peer certificate: certificate not valid for name");
}

#[test]
fn a_broker_without_tls_is_told_in_words_and_given_nothing() {
    let broker = broker();
    let ca = broker.path("right.pem");
    let more = format!("ca_file = \"{}\"\n{OUT}", ca.display());
    let place = Place::new().config(&bridge(&format!("mqtts://localhost:{}", broker.addr().port()), 5, &more));
    let hub = place.start();
    until("it's told", || get(hub.http, "/readyz").text().contains("bridge/far"));
    until("it's told", || get(hub.http, "/readyz").text().contains("can't be reached: "));
    assert_eq!(metric(&hub, "bridge_connected"), 0);
}

/// An event has the time that it was given, wherever it waits.
#[test]
fn an_event_that_expires_while_the_broker_is_away_is_counted_and_one_with_time_left_has_the_rest() {
    const SHORT: u32 = 2;
    const LONG: u32 = 10_000;
    let mut broker = Mosquitto::start();
    let place = Place::new().config(&bridge(&broker.url(), 5, OUT));
    let hub = place.start();
    connected(&hub);
    broker.kill();
    until("noticed", || metric(&hub, "bridge_connected") == 0);
    let mut here = MqttClient::connect(hub.mqtt, Hello::new("here")).unwrap();
    let begun = Instant::now();
    for (payload, id, seconds) in [("short", 1, SHORT), ("long", 2, LONG), ("short too", 3, SHORT)] {
        here.write(&expiring("sensors/a", payload, id, seconds)).unwrap();
        here.wait_for(&Packet::Ack(4, id, 0));
    }
    let published = Instant::now();
    put(&hub, "sensors/b", "for ever");
    std::thread::sleep(Duration::from_secs(u64::from(SHORT) + 1)); // sleep: an event is to grow old, and the program has the machine's clock
    broker.start_again();
    let waited_least = u32::try_from(published.elapsed().as_secs()).unwrap();
    let mut there = MqttClient::connect(broker.addr(), Hello::new("there")).unwrap();
    there.subscribe("site-7/#", 1);
    let first = there.message();
    let waited_most = u32::try_from(begun.elapsed().as_secs()).unwrap() + 2;
    assert_eq!(first.text(), "long");
    let left = first.expiry.expect("the rest of its time");
    assert!((LONG - waited_most..=LONG - waited_least).contains(&left), "{left} s are left of {LONG}");
    let second = there.message();
    assert_eq!((second.text(), second.expiry), ("for ever", None));
    until("sent", || metric(&hub, "bridge_sent") == 2);
    assert_eq!(metric(&hub, "bridge_expired"), 2, "those that were short");
    assert_eq!(metric(&hub, "bridge_refused_there"), 0);
}

/// The same on the way in: what is left there is what it has here.
#[test]
fn what_comes_in_has_the_rest_of_its_time() {
    let broker = Mosquitto::start();
    let place = Place::new().config(&bridge(&broker.url(), 5, BACK));
    let hub = place.start();
    connected(&hub);
    let mut here = MqttClient::connect(hub.mqtt, Hello::new("here")).unwrap();
    here.subscribe("from/#", 1);
    let mut there = MqttClient::connect(broker.addr(), Hello::new("there")).unwrap();
    there.write(&expiring("shop/orders/a", "1", 1, 10_000)).unwrap();
    let came = here.message();
    let left = came.expiry.expect("the rest of its time");
    assert!(came.text() == "1" && (9_900..=10_000).contains(&left), "{left}");
}

/// Four hubs in a row, of which an event may pass two bridges: it is on three, and counted where it ends.
fn ends_after_two(bridges: impl Fn(&[u16], usize) -> String, ends_at: usize) {
    let ports: Vec<u16> = (0..4).map(|_| free_port()).collect();
    let places: Vec<Place> = (0..4).map(|at| hub_at(ports[at], &bridges(&ports, at))).collect();
    // From the last one on: what asks for something finds somebody.
    let hubs: Vec<Running> = places.iter().map(Place::start).collect();
    let has_bridge = |at: usize| !bridges(&ports, at).is_empty();
    (0..4).filter(|at| has_bridge(*at)).for_each(|at| connected(&hubs[at]));
    put(&hubs[0], "row/a", "1");
    for hub in &hubs[..3] {
        until("it's there", || payloads(hub, "row/a") == ["1"]);
    }
    until("it ended", || metric(&hubs[ends_at], "bridge_returning") == 1);
    // What comes behind it, and began nearer, goes on to the end.
    put(&hubs[2], "row/a", "2");
    until("the other one", || payloads(&hubs[3], "row/a") == ["2"]);
    for (at, hub) in hubs.iter().enumerate().filter(|(at, _)| has_bridge(*at)) {
        assert_eq!(metric(hub, "bridge_returning"), u64::from(at == ends_at), "hub {at}");
    }
    hubs.into_iter().for_each(|hub| assert!(hub.stop().success()));
}

#[test]
fn a_chain_of_hubs_that_send_ends_after_so_many_bridges() {
    let sends = |ports: &[u16], at: usize| match ports.get(at + 1) {
        Some(port) => bridge(&format!("mqtt://127.0.0.1:{port}"), 5, "hops_max = 2\nout = [{ filter = \"row/#\" }]"),
        None => String::new(),
    };
    ends_after_two(sends, 2);
}

#[test]
fn a_chain_of_hubs_that_fetch_ends_after_so_many_bridges() {
    let fetches = |ports: &[u16], at: usize| match at.checked_sub(1) {
        Some(before) => {
            let url = format!("mqtt://127.0.0.1:{}", ports[before]);
            bridge(&url, 5, "hops_max = 2\nin = [{ filter = \"row/#\" }]")
        }
        None => String::new(),
    };
    ends_after_two(fetches, 3);
}

/// Through a plain broker in the middle, which knows nothing of hops, they are counted too: out is one, in is another.
#[test]
fn the_bridges_on_both_sides_of_a_plain_broker_count() {
    let broker = Mosquitto::start();
    let fetches = |most: u8| format!("hops_max = {most}\nin = [{{ filter = \"row/#\" }}]");
    let to = |more: &str| Place::new().config(&bridge(&broker.url(), 5, more));
    let (one, near, far) = (to("out = [{ filter = \"row/#\" }]"), to(&fetches(1)), to(&fetches(2)));
    let hubs = [&one, &near, &far].map(Place::start);
    hubs.iter().for_each(connected);
    post(hubs[0].http, "/v1/events/row/a", &[], b"1");
    until("it's there", || payloads(&hubs[2], "row/a") == ["1"]);
    until("it ended", || metric(&hubs[1], "bridge_returning") == 1);
    assert!(payloads(&hubs[1], "row/a").is_empty());
}
