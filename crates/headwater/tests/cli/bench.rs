//! `headwater bench` against its own yardsticks and a real hub: what it counts is what was there.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Hub, headwater, run, stderr, stdout};

/// A yardstick that runs; killed when it's dropped.
struct Yardstick(Child);

impl Drop for Yardstick {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it, and waits until it tells so many addresses.
fn yardstick<const N: usize>(folder: &TempDir, args: &[&str]) -> (Yardstick, [String; N]) {
    let mut child = headwater(folder, args).stdout(Stdio::piped()).spawn().expect("start the yardstick");
    let mut out = BufReader::new(child.stdout.take().expect("stdout"));
    let addresses = std::array::from_fn(|_| {
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        line.split_whitespace().last().expect("an address").to_owned()
    });
    (Yardstick(child), addresses)
}

fn report(folder: &TempDir, args: &[&str]) -> Value {
    let output = run(folder, args);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("one JSON object")
}

#[test]
fn every_event_of_a_load_is_answered_by_the_yardstick_inline_or_not() {
    let folder = tempfile::tempdir().unwrap();
    for inline in [&[][..], &["--inline"]] {
        let args = [&["bench", "limit", "--data", "limit", "--ring", "4"], inline].concat();
        let (_limit, [addr]) = yardstick(&folder, &args);
        // More than the ring holds, by more threads than one, with windows that don't divide the count.
        let load = ["--connections", "5", "--in-flight", "7", "--count", "25000", "--threads", "2", "--json"];
        let report = report(&folder, &[&["bench", "frames", "--addr", &addr], &load[..]].concat());
        assert_eq!(report["accepted"], 25_000, "{report}");
        assert_eq!(report["latency_ms"]["count"], 25_000);
        assert!(report["latency_ms"]["p50"].as_f64() > Some(0.0));
    }
}

#[test]
fn at_a_rate_as_many_are_offered_as_the_rate_says() {
    let folder = tempfile::tempdir().unwrap();
    let (limit, [addr]) = yardstick(&folder, &["bench", "limit", "--data", "limit", "--ring", "4"]);
    let pid = limit.0.id().to_string();
    let report = report(
        &folder,
        &[
            "bench",
            "frames",
            "--addr",
            &addr,
            "--rate",
            "2000",
            "--warmup",
            "0s",
            "--duration",
            "500ms",
            "--server-pid",
            &pid,
            "--json",
        ],
    );
    assert_eq!(report["offered"], 1_000, "{report}");
    assert_eq!(report["offered"].as_u64(), report["accepted"].as_u64());
    assert!(report["cost"]["server_rss_max"].as_u64() > Some(100_000));
}

#[test]
fn every_watcher_of_the_send_loop_gets_every_event() {
    let folder = tempfile::tempdir().unwrap();
    let (_floor, [raw, control]) = yardstick(&folder, &["bench", "fanout", "--floor"]);
    let report = report(
        &folder,
        &[
            "bench",
            "fanout",
            "--addr",
            &raw,
            "--protocol",
            "raw",
            "--publish",
            "control",
            "--publish-addr",
            &control,
            "--watchers",
            "20",
            "--threads",
            "2",
            "--rate",
            "100",
            "--warmup",
            "100ms",
            "--duration",
            "500ms",
            "--json",
        ],
    );
    assert_eq!((&report["events"], &report["deliveries"], &report["missing"]), (&50.into(), &1_000.into(), &0.into()));
    assert_eq!(report["last_ms"]["count"], 50);
    assert_eq!(report["each_ms"]["count"], 1_000);
}

#[test]
fn a_hub_takes_the_load_of_every_edge_and_tells_every_watcher() {
    let hub = Hub::start(&[]);
    let (frames, http) = (hub.frames.to_string(), hub.http.to_string());
    for (what, addr) in [("frames", &frames), ("http", &http), ("pub", &http)] {
        let load = ["--connections", "2", "--in-flight", "4", "--count", "200", "--json"];
        let report = report(&hub.folder, &[&["bench", what, "--addr", addr], &load[..]].concat());
        assert_eq!(report["accepted"], 200, "{what}: {report}");
    }
    for protocol in ["ws", "sse"] {
        let load = ["--watchers", "5", "--rate", "100", "--warmup", "100ms", "--duration", "300ms", "--json"];
        let report =
            report(&hub.folder, &[&["bench", "fanout", "--addr", &http, "--protocol", protocol], &load[..]].concat());
        assert_eq!(report["deliveries"], 150, "{protocol}: {report}");
    }
}

#[test]
fn a_load_that_nobody_answers_fails_with_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&folder, &["bench", "frames", "--addr", "127.0.0.1:1", "--count", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("127.0.0.1:1"), "{}", stderr(&output));
}
