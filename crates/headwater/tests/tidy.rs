//! What of ARCHITECTURE.md's invariants a program can check.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_path_buf()
}

/// Every file of the checkout that a person wrote, as a path from the root and its text.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let skipped = matches!(name.as_str(), "target" | "node_modules" | "vendor" | "headwater-data" | ".git");
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending))
                && let Ok(text) = fs::read_to_string(&path)
            {
                found.push((path.strip_prefix(root()).expect("below the root").display().to_string(), text));
            }
        }
    }
    found.sort();
    found
}

fn is_test(path: &str) -> bool {
    ["/tests/", "/benches/", "/examples/", "/testing/", "bench/", "fuzz/", "/tests.rs", "/testing.rs"]
        .iter()
        .any(|part| path.contains(part))
}

/// The source without its test modules at the end, and without comments.
fn product(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    code.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Fails with all faults at once.
fn none(what: &str, faults: Vec<String>) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

/// Who may know whom. An arrow that isn't here is a decision to be made, not a line to be added in passing.
const ARROWS: [(&str, &[&str]); 8] = [
    ("event", &[]),
    ("eventlog", &["event"]),
    ("link", &["event"]),
    ("hub", &["event"]),
    ("edge", &["event", "hub"]),
    ("service", &["event"]),
    ("apps", &["event", "hub", "service"]),
    ("headwater", &["event", "eventlog", "link", "hub", "edge", "service", "apps"]),
];

#[test]
fn crates_know_only_whom_they_may() {
    let mut faults = Vec::new();
    for (name, may) in ARROWS {
        let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or("").split("\n[").next().unwrap_or("");
        for line in dependencies.lines().filter_map(|line| line.strip_prefix("headwater-")) {
            let known = line.split(['.', ' ', '=']).next().unwrap_or("");
            if !may.contains(&known) {
                faults.push(format!("{name} knows {known}"));
            }
        }
    }
    none("ARCHITECTURE.md, rooms", faults);
}

#[test]
fn each_crate_keeps_what_must_stay_absent_absent() {
    // Where, what, and the reason.
    let absent: &[(&str, &[&str], &str)] = &[
        (
            "crates/event/src/",
            &["std::fs", "std::net", "serde", "macro_rules!", "tokio::"],
            "event does no I/O, no serde, no macros",
        ),
        (
            "crates/eventlog/src/",
            &["serde_json", "from_utf8(&payload", "axum", "hyper"],
            "eventlog never looks inside a payload and knows no protocol",
        ),
        (
            "crates/hub/src/",
            &["axum", "hyper", "eventlog", "TcpStream", "WebSocket", "std::fs"],
            "hub knows no engine and no protocol",
        ),
        (
            "crates/edge/src/",
            &["eventlog", "rusqlite", "std::fs::write", "events.log"],
            "an edge translates and does nothing else",
        ),
        (
            "crates/apps/src/",
            &["eventlog", "TcpListener", "TcpStream", "tokio::net"],
            "an app never touches an engine or a socket",
        ),
        (
            "crates/",
            &["unbounded_channel", "mpsc::channel()", "process::abort"],
            "nothing without a bound, nothing that ends the process",
        ),
    ];
    let sources = files(&[".rs"]);
    let mut faults = Vec::new();
    for (folder, words, reason) in absent {
        for (path, text) in sources.iter().filter(|(path, _)| path.starts_with(folder) && !is_test(path)) {
            if path.ends_with("event/src/contract.rs") || path.contains("event/src/contract/") {
                continue; // The test set runs on a runtime.
            }
            let code = product(text);
            faults.extend(
                words.iter().filter(|word| code.contains(**word)).map(|word| format!("{path}: {word} ({reason})")),
            );
        }
    }
    none("what must stay absent", faults);
}

#[test]
fn every_module_says_what_it_is_for() {
    let sources = files(&[".rs"]);
    let silent = sources.iter().filter(|(path, text)| path.starts_with("crates/") && !text.starts_with("//!"));
    none("a module begins with //! and one sentence", silent.map(|(path, _)| path.clone()).collect());
}

#[test]
fn names_say_what_a_thing_is() {
    let mut faults = Vec::new();
    for (path, text) in files(&[".rs"]).iter().filter(|(path, _)| path.starts_with("crates/")) {
        let stem = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if ["utils", "util", "common", "misc", "helpers", "manager", "types"].contains(&stem.as_str()) {
            faults.push(format!("{path}: if it has no noun, it isn't one thing yet"));
        }
        for line in text.lines() {
            let Some(rest) = ["pub struct ", "pub enum ", "pub trait ", "pub(crate) struct "]
                .iter()
                .find_map(|kind| line.trim_start().strip_prefix(kind))
            else {
                continue;
            };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            if ["Manager", "Util", "Consumer", "Queue", "Channel"].iter().any(|word| name.contains(word)) {
                faults.push(format!("{path}: {name} (docs/glossary.md has the word)"));
            }
        }
    }
    none("names", faults);
}

/// No file grows past this without a second look.
const LINES_MAX: usize = 500;

#[test]
fn no_file_outgrows_a_reader() {
    let mut faults = Vec::new();
    for (path, text) in files(&[".rs"]).iter().filter(|(path, _)| path.starts_with("crates/") && !is_test(path)) {
        let lines = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text).lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{path}: {lines} lines before its tests, {LINES_MAX} at the most"));
        }
    }
    none("would a newcomer know their room?", faults);
}

#[test]
fn tests_wait_for_events_and_not_for_the_clock() {
    let mut faults = Vec::new();
    for (path, text) in
        files(&[".rs"]).iter().filter(|(path, _)| path.starts_with("crates/") && path.contains("/tests/"))
    {
        // A test that owns the clock of its runtime moves it by sleeping, and waits for nothing.
        let owns_time = text.contains("start_paused = true") || text.contains("time::pause()");
        for (at, line) in text.lines().enumerate() {
            let sleeps = line.contains("thread::sleep") || (!owns_time && line.contains("time::sleep("));
            if sleeps && !line.contains("// sleep:") && !path.ends_with("tidy.rs") {
                faults.push(format!("{path}:{}: wait for the event, or say why not (`// sleep: reason`)", at + 1));
            }
        }
        if text.contains("#[ignore") && !path.ends_with("tidy.rs") {
            faults.push(format!("{path}: a test that is switched off protects nobody"));
        }
    }
    none("tests", faults);
}

#[test]
fn pages_ask_no_other_host() {
    let mut faults = Vec::new();
    for (path, text) in files(&[".html", ".js", ".mjs", ".css"]).iter().filter(|(path, _)| path.starts_with("crates/"))
    {
        for (at, line) in text.lines().enumerate() {
            let code = line.replace("http://www.w3.org/", "");
            let asks = ["src=\"http", "href=\"http", "url(http", "from \"http", "fetch(\"http", "import(\"http"]
                .iter()
                .any(|way| code.contains(way));
            if asks && !code.contains("rel=\"noreferrer\"") {
                faults.push(format!("{path}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    none("default-src 'self'", faults);
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut faults = Vec::new();
    for (path, text) in files(&[".md"]) {
        let folder = root().join(&path).parent().expect("a folder").to_path_buf();
        let code_free: String = text.split("```").step_by(2).collect();
        for part in code_free.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or("");
            if target.is_empty() || target.contains("://") || target.starts_with('/') || target.starts_with("mailto:") {
                continue;
            }
            if !folder.join(target).exists() {
                faults.push(format!("{path}: {target}"));
            }
        }
    }
    none("dead links", faults);
}

#[test]
fn the_decoders_are_fuzzed() {
    let targets: Vec<String> = fs::read_dir(root().join("fuzz"))
        .expect("fuzz/")
        .flatten()
        .map(|entry| entry.path().display().to_string())
        .collect();
    assert!(!targets.is_empty());
}

#[test]
fn the_readmes_first_command_has_one_program_to_run() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let workspace: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo answers in JSON");
    let list = |value: &serde_json::Value| value.as_array().expect("a list").clone();
    let defaults = list(&workspace["workspace_default_members"]);
    let programs: Vec<_> = list(&workspace["packages"])
        .into_iter()
        .filter(|package| defaults.contains(&package["id"]))
        .flat_map(|package| list(&package["targets"]))
        .filter(|target| list(&target["kind"]).contains(&"bin".into()))
        .map(|target| target["name"].clone())
        .collect();
    assert_eq!(programs, ["headwater"], "`cargo run` must know which");
}
