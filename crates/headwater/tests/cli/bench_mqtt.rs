//! `headwater bench mqtt` against a real hub: what it counts is what was there.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{headwater, run, stderr, stdout};

/// A hub with an MQTT listener; killed when it's dropped.
struct Hub {
    folder: TempDir,
    child: Child,
    addr: String,
}

impl Hub {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let args = ["serve", "--data", "data", "--http", "off", "--frames", "off", "--mqtt", "127.0.0.1:0"];
        let mut child =
            headwater(&folder, &args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start headwater");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        Self { addr: line.split_whitespace().last().expect("an address").to_owned(), child, folder }
    }

    fn report(&self, load: &str) -> Value {
        let pid = self.child.id().to_string();
        let fixed = ["--addr", &self.addr, "--server-pid", &pid, "--json"];
        let words: Vec<&str> = load.split(' ').chain(fixed).collect();
        let output = run(&self.folder, &[&["bench", "mqtt"], &words[..]].concat());
        assert!(output.status.success(), "{load}: {}", stderr(&output));
        serde_json::from_str(&stdout(&output)).expect("one JSON object")
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn whatever_is_published_is_heard_once_at_every_qos_and_in_both_versions() {
    let hub = Hub::start();
    for load in [
        "fanin --qos 1 --publishers 3 --in-flight 20",
        "fanin --qos 2 --version 5 --publishers 3 --in-flight 20 --subscribers 2",
        "fanin --qos 0 --publishers 2 --subscribers 0",
        "fanout --qos 0 --subscribers 20 --in-flight 10",
        "fanout --qos 1 --version 5 --subscribers 20 --in-flight 10 --size 1024",
        "pairs --qos 1 --pairs 4 --in-flight 50",
    ] {
        let report = hub.report(&format!("{load} --duration 500ms --warmup 100ms"));
        let count = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{key}: {report}"));
        assert!(count("published") > 0, "{load}: {report}");
        for wrong in ["refused", "lost", "missing", "repeated"] {
            assert_eq!(count(wrong), 0, "{load}: {report}");
        }
        // All are settled at the end: each publication was answered, and heard by each who hears it.
        let (is_answered, heard) = (!load.contains("--qos 0") || load.contains("subscribers 0"), count("delivered"));
        assert_eq!(count("answered") > 0, is_answered, "{load}: {report}");
        assert_eq!(heard > 0, !load.contains("--subscribers 0"), "{load}: {report}");
        assert!(report["cost"]["server_rss_end"].as_u64() > Some(1 << 20), "{report}");
    }
}

#[test]
fn at_a_rate_as_many_are_published_as_the_rate_says() {
    let report = Hub::start().report("pairs --pairs 5 --rate 1000 --qos 1 --duration 2s --warmup 100ms");
    let published = report["published"].as_u64().unwrap() + report["unsent"].as_u64().unwrap();
    assert!((1_995..=2_005).contains(&published), "{report}");
    assert_eq!((&report["lost"], &report["missing"]), (&0.into(), &0.into()), "{report}");
    assert!(report["each_ms"]["p50"].as_f64() > Some(0.0), "{report}");
}

#[test]
fn a_session_that_was_away_gets_all_in_order() {
    let report = Hub::start().report("offline --count 5000 --publishers 5 --in-flight 50");
    assert_eq!(report["delivered"], 5_000, "{report}");
    assert_eq!((&report["missing"], &report["repeated_or_out_of_order"]), (&0.into(), &0.into()), "{report}");
}

#[test]
fn idle_clients_come_in_and_stay() {
    let report = Hub::start().report("connect --connections 300 --hold 100ms");
    assert_eq!(report["still_open"], 300, "{report}");
    assert!(report["bytes_per_connection"].as_f64() > Some(0.0), "{report}");
}

#[test]
fn one_that_stalled_gets_all_that_it_missed() {
    let report = Hub::start().report("stalled --others 2 --rate 2000 --count 2000 --size 1024 --before 500ms --qos 1");
    assert_eq!(report["stalled_got"], report["stalled_expected"], "{report}");
    assert!(report["stalled_expected"].as_u64() >= Some(2_000), "{report}");
    assert!(report["others_during_ms"]["p99"].as_f64() > Some(0.0), "{report}");
}
