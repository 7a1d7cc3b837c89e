//! Settings from all their sources, as `check` tells them.

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
    assert_eq!(of("apps.enabled"), ("intake", "default"));
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
