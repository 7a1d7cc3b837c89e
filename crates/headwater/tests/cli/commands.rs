//! The commands beside the hub.

use crate::program::{run, stderr, stdout};

#[test]
fn completions_name_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&folder, &["completions", shell]);
        assert!(output.status.success());
        assert!(stdout(&output).contains("ready-file"), "{shell}");
    }
    assert_eq!(run(&folder, &["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn a_hub_that_is_not_there_is_said_with_1_and_a_bad_topic_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for args in [["pub", "a", "b", "--addr", &free].as_slice(), &["sub", "a", "--addr", &free]] {
        let output = run(&folder, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains(&free), "{}", stderr(&output));
    }
    for args in
        [["pub", "a/#", "b"].as_slice(), &["sub", "a#"], &["sub", "a", "--from", "7"], &["pub", "a", "--addr", "x"]]
    {
        let output = run(&folder, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}
