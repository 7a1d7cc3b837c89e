//! Starting, telling where, and ending.

use std::net::TcpListener;

use crate::program::{Hub, run, stderr, stdout};

#[test]
fn the_ready_file_has_the_same_lines_as_stdout() {
    let hub = Hub::start(&["--ready-file", "ready"]);
    // The lines on stdout come before the file; who needs the file waits for it.
    let ready = loop {
        match std::fs::read_to_string(hub.path("ready")) {
            Ok(text) => break text,
            Err(_) => std::thread::yield_now(),
        }
    };
    assert_eq!(ready, format!("listening http {}\nlistening frames {}\n", hub.http, hub.frames));
    assert!(!hub.path("ready.tmp").exists());
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    for args in
        [["--http", &addr, "--mqtt", "off", "--frames", "off"], ["--http", "off", "--mqtt", "off", "--frames", &addr]]
    {
        let output = run(&folder, &[&["serve", "--data", "data"], &args[..]].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains(&addr), "{}", stderr(&output));
    }
}

#[test]
fn sigterm_and_sigint_end_it_with_0() {
    for signal in ["-TERM", "-INT"] {
        let mut hub = Hub::start(&[]);
        hub.signal(signal);
        let (status, rest) = hub.wait();
        assert_eq!((status.code(), rest.as_str()), (Some(0), ""), "{signal}: {}", hub.said());
    }
}

#[test]
fn serve_is_the_default_command_and_off_switches_a_listener_off() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    // Nothing but flags: it gets as far as the taken port, so it serves; and says nothing of the listener that is off.
    let output = run(&folder, &["--http", &addr, "--frames", "off", "--mqtt", "off"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
}

#[test]
fn what_this_version_cannot_do_is_said_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for (args, word) in [
        (["--engine", "kafka://127.0.0.1"], "engine"),
        (["--store", "mysql://x"], "store"),
        (["--roles", "edgy"], "\"edge\""),
    ] {
        let output = run(&folder, &args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
    assert!(!folder.path().join("headwater-data").exists(), "nothing was started");
}

#[test]
fn an_engine_that_lacks_something_says_what_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let lacks =
        if cfg!(feature = "engines") { "needs `--state redis://HOST:PORT`" } else { "without the feature `engines`" };
    for (setting, value, words) in [
        ("--engine", "amqp://me:s3cret@127.0.0.1:1", lacks),
        ("--state", "redis://:s3cret@127.0.0.1:1", "`--state` is for `--engine amqp://...` alone"),
        ("--state", "rediss://127.0.0.1:1", "is none of redis:..."),
    ] {
        let output = run(&folder, &[setting, value, "--http", "127.0.0.1:0", "--frames", "off", "--mqtt", "off"]);
        assert_eq!(output.status.code(), Some(2), "{setting} {value}: {}", stderr(&output));
        assert!(stderr(&output).contains(words) && !stderr(&output).contains("s3cret"), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_second_process_is_refused_the_data_folder() {
    let hub = Hub::start(&[]);
    let output = hub.run(&["serve", "--data", "data", "--http", "127.0.0.1:0", "--frames", "off", "--mqtt", "off"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("in use by another process"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}
