//! `headwater dead`: a message that no service can read, from its death to its end.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Hub, stderr, stdout};

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

const GROUP: &str = "service/shop_order";

fn publish(hub: &Hub, topic: &str, payload: &str) {
    let output = hub.run(&["pub", topic, payload, "--addr", &hub.addr()]);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// What the command prints, once it does what is expected of it.
fn dead(hub: &Hub, args: &[&str]) -> String {
    let addr = hub.addr();
    let output = hub.run(&[&["dead"], args, &["--addr", &addr]].concat());
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

/// The one letter of the group, once it's there.
fn letter(hub: &Hub) -> Value {
    let begun = Instant::now();
    loop {
        let list = dead(hub, &["list", GROUP, "--json"]);
        if let Some(line) = list.lines().next() {
            return serde_json::from_str(line).unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "no letter; the hub said: {}", hub.said());
    }
}

#[test]
fn a_dead_letter_is_listed_with_its_reason_tried_again_and_forgotten() {
    let hub = Hub::start(&["--apps", "shop"]);
    assert_eq!(dead(&hub, &["list", GROUP]), "");
    publish(&hub, "public-front/order-send", "{no JSON");
    let first = letter(&hub);
    assert_eq!(first["event"]["payload"], "{no JSON");
    assert!(first["why"].as_str().unwrap().contains("JSON"), "{first}");
    let groups = dead(&hub, &["groups"]);
    assert!(groups.lines().any(|line| line.split_whitespace().eq(["1", GROUP])), "{groups}");
    assert!(dead(&hub, &["list", GROUP]).contains("public-front/order-send  {no JSON"));

    let seq = first["event"]["seq"].to_string();
    assert_eq!(dead(&hub, &["retry", GROUP, &seq]), "1\n");
    // It can't be read the second time either.
    let second = letter(&hub);
    assert_eq!(second["event"]["seq"], first["event"]["seq"]);
    assert_eq!(dead(&hub, &["discard", GROUP, "--all"]), "1\n");
    assert_eq!(dead(&hub, &["list", GROUP]), "");
    assert_eq!(dead(&hub, &["discard", GROUP, &seq]), "0\n");
}

#[test]
fn which_letters_must_be_said() {
    let hub = Hub::start(&["--apps", "none"]);
    let output = hub.run(&["dead", "retry", GROUP, "--addr", &hub.addr()]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}
