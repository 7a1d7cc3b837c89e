//! `pub` and `sub` against a hub that runs, is killed, and comes back.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};

use crate::program::{Hub, headwater, stderr, stdout};

/// A `sub` that runs beside the test.
pub struct Sub {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Sub {
    pub fn start(hub: &Hub, args: &[&str]) -> Self {
        let mut command = headwater(&hub.folder, &[&["sub", "--addr", &hub.addr()], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start sub");
        let stdout = BufReader::new(child.stdout.take().expect("stdout"));
        Self { child, stdout }
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line
    }

    /// Waits for its end: exit code, what it still printed, what it said.
    pub fn end(mut self) -> (Option<i32>, String, String) {
        let (mut rest, mut said) = (String::new(), String::new());
        self.stdout.read_to_string(&mut rest).expect("the rest");
        self.child.stderr.take().expect("stderr").read_to_string(&mut said).expect("what it said");
        (self.child.wait().expect("wait").code(), rest, said)
    }
}

fn publish(hub: &Hub, args: &[&str]) -> String {
    let output = hub.run(&[&["pub", "--addr", &hub.addr()], args].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

#[test]
fn what_pub_sends_sub_prints() {
    let hub = Hub::start(&[]);
    publish(&hub, &["clinic/3/slot/9", "free", "--sticky"]);
    let mut watcher = Sub::start(&hub, &["clinic/+/slot/#", "--count", "2"]);
    assert_eq!(watcher.line(), "clinic/3/slot/9 free\n", "the state comes first");
    publish(&hub, &["clinic/3/slot/9", "taken"]);
    let (code, rest, said) = watcher.end();
    assert_eq!((code, rest.as_str()), (Some(0), "clinic/3/slot/9 taken\n"), "{said}");
    let exact = Sub::start(&hub, &["clinic/3/slot/9", "--from", "start", "--count", "2"]).end();
    assert_eq!((exact.0, exact.1.as_str()), (Some(0), "free\ntaken\n"), "{}", exact.2);
}

#[test]
fn payload_id_and_headers_arrive_as_they_were() {
    let hub = Hub::start(&[]);
    let mut command = headwater(&hub.folder, &["pub", "bytes", "-", "--id", "one", "--addr", &hub.addr()]);
    command.args(["--header", "content-type=image/x", "--header", "trace=7"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\xff\x00\n").unwrap();
    let first = stdout(&child.wait_with_output().unwrap());
    assert_eq!(publish(&hub, &["bytes", "other", "--id", "one"]), first, "the same id adds nothing");
    let (code, line, said) = Sub::start(&hub, &["bytes", "--from", "start", "--json", "--count", "1"]).end();
    assert_eq!(code, Some(0), "{said}");
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["id"], &event["payload_base64"]), (&"one".into(), &"/wAK".into()), "{line}");
    assert_eq!((&event["headers"]["content-type"], &event["headers"]["trace"]), (&"image/x".into(), &"7".into()));
}

#[test]
fn sub_catches_up_over_a_kill() {
    let hub = Hub::start(&[]);
    let addr = hub.addr();
    let mut watcher = Sub::start(&hub, &["a", "--from", "start", "--count", "3"]);
    publish(&hub, &["a", "one"]);
    assert_eq!(watcher.line(), "one\n");
    let folder = hub.kill();
    let hub = Hub::start_in(folder, &addr, &[]);
    publish(&hub, &["a", "two"]);
    publish(&hub, &["a", "three"]);
    let (code, rest, said) = watcher.end();
    assert_eq!((code, rest.as_str()), (Some(0), "two\nthree\n"), "{said}");
    assert!(said.contains("trying again"), "{said}");
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let hub = Hub::start(&[]);
    let mut watcher = Sub::start(&hub, &["a", "--from", "start"]);
    publish(&hub, &["a", "one"]);
    assert_eq!(watcher.line(), "one\n");
    let mut child = watcher.child;
    drop(watcher.stdout);
    publish(&hub, &["a", "two"]);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn where_nobody_may_anything_pub_and_sub_are_told_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("headwater.toml"), "# a settings file, and no rule\n").unwrap();
    let hub = Hub::start_in(folder, "127.0.0.1:0", &[]);
    assert!(hub.said().contains("nobody may"), "{}", hub.said());
    for args in [["pub", "a", "b"].as_slice(), &["sub", "a"]] {
        let output = hub.run(&[args, &["--addr", &hub.addr()]].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains("(403)") || stderr(&output).contains("(401)"), "{}", stderr(&output));
    }
}
