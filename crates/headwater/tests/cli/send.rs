//! `headwater send`: each line once, whatever is killed, and the one who sends is told what became of it.

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Hub, headwater, run, stderr, stdout};

const ID: &str = "6b1f2d3e-4a5b-4c6d-8e7f-0a1b2c3d4e5f";
const PATIENCE: Duration = Duration::from_secs(60);

impl Hub {
    fn send(&self, more: &[&str]) -> Output {
        self.run(&[&["send", "--id", ID, "--addr", &self.frames.to_string(), "--json"], more].concat())
    }

    fn send_stdin(&self, more: &[&str], input: &str) -> Output {
        let addr = self.frames.to_string();
        let args = [&["send", "--id", ID, "--addr", &addr, "--json"], more].concat();
        let mut command = headwater(&self.folder, &args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start send");
        child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("write");
        child.wait_with_output().expect("wait")
    }

    /// The payloads of all events.
    fn stored(&self) -> Vec<String> {
        let exported = self.run(&["log", "export", "--data", "data"]);
        assert!(exported.status.success(), "{}", stderr(&exported));
        let payload = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["payload"].clone();
        stdout(&exported).lines().map(|line| payload(line).as_str().expect("text").to_owned()).collect()
    }
}

fn summary(output: &Output) -> serde_json::Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|_| panic!("no summary; it said:\n{}", stderr(output)))
}

#[test]
fn each_line_is_there_once_however_often_the_file_is_sent() {
    let hub = Hub::start(&[]);
    fs::write(hub.path("lines"), "one\r\n\ntwo \nlast").expect("write");
    let first = hub.send(&["lines"]);
    assert!(first.status.success(), "{}", stderr(&first));
    assert_eq!((&summary(&first)["stored"], &summary(&first)["skipped"]), (&4.into(), &0.into()));
    let again = hub.send(&["lines"]);
    assert_eq!((&summary(&again)["stored"], &summary(&again)["skipped"]), (&0.into(), &4.into()));
    fs::write(hub.path("lines"), "one\r\n\ntwo \nlast\nand more\n").expect("write");
    assert_eq!(summary(&hub.send(&["lines"]))["stored"], 1);
    assert_eq!(hub.stored(), ["one", "", "two ", "last", "and more"]);
}

#[test]
fn a_line_over_the_limit_is_named_and_the_others_keep_their_numbers() {
    let hub = Hub::start(&[]);
    fs::write(hub.path("lines"), format!("one\n{}\nthree\n{}", "x".repeat(257), "y".repeat(100_000))).expect("write");
    for stored in [2, 0] {
        let sent = hub.send(&["lines"]);
        assert_eq!(sent.status.code(), Some(1));
        assert!(stderr(&sent).contains("line 2: too long") && stderr(&sent).contains("line 4: too long"));
        let summary = summary(&sent);
        assert_eq!((&summary["stored"], &summary["refused"]), (&stored.into(), &2.into()));
    }
    assert_eq!(hub.stored(), ["one", "three"]);
}

#[test]
fn killed_sender_and_killed_hub_leave_each_line_there_once() {
    let hub = Hub::start(&[]);
    let lines: Vec<String> = (1..=200_000).map(|line| format!("line {line}")).collect();
    fs::write(hub.path("lines"), lines.join("\n")).expect("write");
    let args = ["send", "--id", ID, "--addr", &hub.frames.to_string(), "lines"];
    let mut sender = headwater(&hub.folder, &args).stderr(Stdio::null()).spawn().expect("start send");
    let begun = Instant::now();
    let mut stored = 0;
    while stored < 1_000 && begun.elapsed() < PATIENCE {
        let stat = hub.run(&["log", "stat", "--data", "data", "--json"]);
        stored =
            serde_json::from_str::<serde_json::Value>(&stdout(&stat)).expect("JSON")["events"].as_u64().unwrap_or(0);
    }
    sender.kill().expect("kill");
    sender.wait().expect("wait");
    let hub = Hub::start_in(hub.kill(), "127.0.0.1:0", &[]);
    let sent = hub.send(&["lines"]);
    assert!(sent.status.success(), "{}", stderr(&sent));
    assert!(hub.stored() == lines, "not each line once, in order");
}

#[test]
fn an_input_that_is_not_the_one_before_is_not_taken_for_sent() {
    let hub = Hub::start(&[]);
    fs::write(hub.path("lines"), "one\ntwo\n").expect("write");
    hub.send(&["lines"]);
    fs::write(hub.path("lines"), "another\n").expect("write");
    let sent = hub.send(&["lines"]);
    assert_eq!(sent.status.code(), Some(1));
    assert!(stderr(&sent).contains("another file"), "{}", stderr(&sent));
}

#[test]
fn stdin_goes_on_after_what_is_there_or_repeats_from_its_first_line() {
    let hub = Hub::start(&[]);
    hub.send_stdin(&["-"], "one\ntwo\n");
    let second = hub.send_stdin(&[], "three\n");
    assert_eq!(summary(&second)["stored"], 1);
    let resumed = hub.send_stdin(&["--resume", "-"], "one\ntwo\nthree\nfour\n");
    assert_eq!((&summary(&resumed)["stored"], &summary(&resumed)["skipped"]), (&1.into(), &3.into()));
    assert_eq!(hub.stored(), ["one", "two", "three", "four"]);
}

#[test]
fn who_gives_no_id_is_told_the_one_to_resume_with() {
    let hub = Hub::start(&[]);
    fs::write(hub.path("lines"), "one\n").expect("write");
    let sent = hub.run(&["send", "--addr", &hub.frames.to_string(), "lines"]);
    assert!(sent.status.success(), "{}", stderr(&sent));
    assert!(stderr(&sent).contains("to resume: headwater send --id "));
    assert!(sent.stdout.is_empty());
}

#[test]
fn a_hub_that_is_not_there_or_another_server_is_told_in_a_sentence() {
    let hub = Hub::start(&[]);
    fs::write(hub.path("lines"), "one\n").expect("write");
    let http = hub.run(&["send", "--addr", &hub.addr(), "lines"]);
    assert_eq!(http.status.code(), Some(1));
    assert!(stderr(&http).contains("doesn't speak the frame protocol"), "{}", stderr(&http));
    let nowhere = hub.run(&["send", "--addr", "nowhere", "lines"]);
    assert!(stderr(&nowhere).contains("nowhere is no address"), "{}", stderr(&nowhere));
    let frames = hub.frames.to_string();
    let folder = hub.kill();
    let gone = run(&folder, &["send", "--addr", &frames, "--timeout", "1", "lines"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("can't reach"), "{}", stderr(&gone));
    let missing = run(&folder, &["send", "--addr", &frames, "no-such-file"]);
    assert!(stderr(&missing).contains("can't read no-such-file"), "{}", stderr(&missing));
}
