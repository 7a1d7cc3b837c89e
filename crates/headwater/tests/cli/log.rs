//! `headwater log`: looking into the log without the hub, and beside it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::program::{Hub, headwater, run, stderr, stdout};

fn publish(hub: &Hub, topic: &str, payload: &str) {
    let output = hub.run(&["pub", topic, payload, "--addr", &hub.addr()]);
    assert!(output.status.success(), "{}", stderr(&output));
}

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn export_stat_and_verify_work_beside_a_running_hub() {
    let hub = Hub::start(&[]);
    for number in 1..=3 {
        publish(&hub, &format!("a/{number}"), &format!("payload {number}"));
    }
    let export = hub.run(&["log", "export", "--data", "data"]);
    assert!(export.status.success(), "{}", stderr(&export));
    let events = lines(&stdout(&export));
    assert_eq!(events.iter().map(|event| event["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((&events[1]["topic"], &events[1]["payload"]), (&"a/2".into(), &"payload 2".into()));
    let one = stdout(&hub.run(&["log", "export", "--data", "data", "--filter", "a/2"]));
    assert_eq!(lines(&one), events[1..2]);
    let from = stdout(&hub.run(&["log", "export", "--data", "data", "--from", "2"]));
    assert_eq!(lines(&from), events[2..]);
    let stat: serde_json::Value =
        serde_json::from_str(&stdout(&hub.run(&["log", "stat", "--data", "data", "--json"]))).unwrap();
    assert_eq!(stat["events"], 3);
    let verify = hub.run(&["log", "verify", "--data", "data"]);
    assert!(verify.status.success(), "{}", stderr(&verify));
    // And without the hub.
    let folder = hub.kill();
    assert_eq!(lines(&stdout(&run(&folder, &["log", "export", "--data", "data"]))), events);
}

#[test]
fn tail_follows_what_is_published() {
    let hub = Hub::start(&[]);
    publish(&hub, "a", "one");
    let mut command = headwater(&hub.folder, &["log", "tail", "--data", "data", "--follow", "--from", "start"]);
    let mut tail = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut seen = BufReader::new(tail.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    assert!(seen.next().unwrap().contains("one"));
    publish(&hub, "a", "two");
    assert!(seen.next().unwrap().contains("two"));
    tail.kill().unwrap();
    tail.wait().unwrap();
    let newest = stdout(&hub.run(&["log", "tail", "--data", "data", "-n", "1", "--json"]));
    assert_eq!(lines(&newest)[0]["payload"], "two");
    assert_eq!(lines(&newest).len(), 1);
}

#[test]
fn damage_is_told_with_1_and_the_hub_refuses_to_start() {
    let hub = Hub::start(&[]);
    for number in 1..=3 {
        publish(&hub, "a", &format!("payload {number}"));
    }
    let folder = hub.kill();
    let path = folder.path().join("data/events.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(9).position(|window| window == b"payload 2").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    std::fs::remove_file(folder.path().join("data/events.checkpoint")).ok();
    let verify = run(&folder, &["log", "verify", "--data", "data"]);
    assert_eq!(verify.status.code(), Some(1));
    assert!(stderr(&verify).contains("damage"), "{}", stderr(&verify));
    let serve = run(&folder, &["serve", "--data", "data", "--http", "127.0.0.1:0", "--frames", "off", "--mqtt", "off"]);
    assert_eq!(serve.status.code(), Some(1));
    assert!(stderr(&serve).contains("log repair"), "{}", stderr(&serve));
    // Only when it's asked for, and with a copy kept.
    let repair = run(&folder, &["log", "repair", "--data", "data"]);
    assert!(repair.status.success(), "{}", stderr(&repair));
    assert!(run(&folder, &["log", "verify", "--data", "data"]).status.success());
}

#[test]
fn a_log_that_is_not_there_is_said_with_1() {
    let folder = tempfile::tempdir().unwrap();
    for what in ["verify", "stat", "export", "tail"] {
        let output = run(&folder, &["log", what, "--data", "nowhere"]);
        assert_eq!(output.status.code(), Some(1), "{what}");
        assert!(stderr(&output).contains("nowhere"), "{}", stderr(&output));
        assert!(!folder.path().join("nowhere").exists(), "{what} makes nothing");
    }
}
