//! `docs/mqtt-conformance.md` names tests that exist, and each statement once.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// The names of all functions below `crates/`.
fn functions() -> HashSet<String> {
    let (mut names, mut folders) = (HashSet::new(), vec![root().join("crates")]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(path).unwrap();
                names.extend(text.split("fn ").skip(1).filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
            }
        }
    }
    names
}

#[test]
fn the_table_of_statements_names_tests_that_exist_and_each_statement_once() {
    let (functions, mut statements) = (functions(), [HashSet::new(), HashSet::new()]);
    let (mut named, mut version) = (0, None);
    for line in fs::read_to_string(root().join("docs/mqtt-conformance.md")).unwrap().lines() {
        match line {
            "## MQTT 5.0" => version = Some(0),
            "## MQTT 3.1.1" => version = Some(1),
            _ => {}
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (Some(version), [_, statement, _, tests, _]) = (version, &cells[..]) else { continue };
        if !statement.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        assert!(statements[version].insert((*statement).to_owned()), "{statement} stands there twice");
        assert!(!tests.is_empty(), "{statement} has neither a test nor a word why");
        for test in tests.split('`').skip(1).step_by(2) {
            assert!(functions.contains(test), "{statement}: there is no test {test}");
            named += 1;
        }
    }
    // A table that can't be read any more has no faults either.
    assert!(statements[0].len() > 240 && statements[1].len() > 130 && named > 400, "{named}");
}
