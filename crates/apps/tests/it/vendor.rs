//! The files of others are what they were when they came.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn vendored_files_are_as_they_came_and_each_is_listed() {
    let vendor = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor");
    let listed = fs::read_to_string(vendor.join("SHA256SUMS")).unwrap();
    let mut names: Vec<&str> = listed.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    names.sort_unstable();
    let mut found = Vec::new();
    for folder in fs::read_dir(&vendor).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        for file in fs::read_dir(folder.path()).unwrap().flatten() {
            found.push(file.path().strip_prefix(&vendor).unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort_unstable();
    assert_eq!(names, found);
    match Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&vendor).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => {
            assert!(std::env::var_os("HEADWATER_NO_SKIP").is_none(), "skipped: no sha256sum");
            println!("skipped: no sha256sum");
        }
    }
}
