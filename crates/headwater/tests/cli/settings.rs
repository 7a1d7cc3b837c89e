//! Settings from all their sources, as `check` tells them.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::program::{headwater, run, stderr, stdout};

#[test]
fn check_tells_each_value_and_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("headwater.toml"), "[frames]\naddr = \"127.0.0.1:2\"\n").unwrap();
    let mut command = headwater(&folder, &["check", "--json", "--http", "127.0.0.1:1"]);
    let output = command.env("HEADWATER_DATA", "elsewhere").env("HEADWATER_LOG", "debug").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let lines: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |key: &str| {
        let line = lines.iter().find(|line| line["key"] == key).unwrap_or_else(|| panic!("{key} is missing"));
        (line["value"].as_str().unwrap(), line["origin"].as_str().unwrap())
    };
    assert_eq!(of("http.addr"), ("127.0.0.1:1", "--http"));
    assert_eq!(of("frames.addr"), ("127.0.0.1:2", "headwater.toml line 2"));
    assert_eq!(of("data.dir"), ("elsewhere", "HEADWATER_DATA"));
    assert_eq!(of("logging.level"), ("debug", "HEADWATER_LOG"));
    assert_eq!(of("apps.enabled"), ("intake,shop,alerts", "default"));
}

#[test]
fn faults_in_the_settings_end_every_start_with_2_and_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), "[limit]\npayload_max = 1\n[http]\naddr = 'x'\n").unwrap();
    for command in ["check", "serve"] {
        let output = run(&folder, &[command, "--config", "bad.toml", "--set", "frames=1"]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        let said = stderr(&output);
        for part in ["bad.toml line 2", "bad.toml line 4", "--set frames"] {
            assert!(said.contains(part), "{command}: {part} is missing in {said}");
        }
    }
    let output = run(&folder, &["check", "--config", "none.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("none.toml"));
}

/// Starts the hub with one setting: it is ready and ends with 0, or it refuses with a sentence that names the setting.
fn starts_or_refuses(name: &str, value: &str) {
    let folder = tempfile::tempdir().unwrap();
    let set = format!("{name}={value}");
    let args = ["--data", "data", "--http", "127.0.0.1:0", "--frames", "127.0.0.1:0", "--mqtt", "off", "--set", &set];
    let mut child = headwater(&folder, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).take(2).count();
    if lines == 2 {
        // Both listeners are bound: from here on SIGTERM ends it in order.
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    match output.status.code() {
        Some(0) => assert_eq!(lines, 2, "{set}: {said}"),
        Some(2) => assert!(said.contains(name), "{set}: {said}"),
        code => panic!("{set}: {code:?}: {said}"),
    }
}

#[test]
fn every_number_at_0_1_and_its_bounds_starts_or_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let checked = stdout(&run(&folder, &["check", "--json"]));
    let mut tries = Vec::new();
    for line in checked.lines() {
        let key: serde_json::Value = serde_json::from_str(line).unwrap();
        let Some(max) = key["max"].as_str() else { continue };
        let (name, min) = (key["key"].as_str().unwrap().to_owned(), key["min"].as_str().unwrap());
        let one = if min.ends_with('s') || min.ends_with("us") { "1 us" } else { "1" };
        tries.extend(["0", one, min, max].map(|value| (name.clone(), value.to_owned())));
    }
    assert!(tries.len() > 60, "the table has been walked");
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, value)) = tries.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    starts_or_refuses(name, value);
                }
            });
        }
    });
}
