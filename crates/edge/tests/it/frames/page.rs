//! The published page: its conversation is played against the edge byte by byte, and its client is run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use headwater_edge::frames::FrameSettings;
use headwater_event::ProducerId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::Edge;
use super::client::Client;
use crate::guarded;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// The hex blocks of the page: what stands behind `hex`, and the bytes.
fn blocks(page: &str) -> Vec<(&str, Vec<u8>)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```hex ") else { continue };
        let bytes = lines.by_ref().take_while(|line| *line != "```").flat_map(bytes_of).collect();
        blocks.push((kind, bytes));
    }
    blocks
}

/// `68 65 6c   "hel"` or `61 x 257   "aaa..."`.
fn bytes_of(line: &str) -> Vec<u8> {
    let hex = line.split("  ").next().unwrap().trim();
    let byte = |text: &str| u8::from_str_radix(text, 16).unwrap_or_else(|_| panic!("{text:?} in {line:?}"));
    match hex.split_once(" x ") {
        Some((repeated, count)) => vec![byte(repeated); count.parse().unwrap()],
        None => hex.split(' ').map(byte).collect(),
    }
}

#[tokio::test]
async fn the_hub_says_what_the_page_says_byte_by_byte() {
    let (settings, _) = guarded::settings_with(&["intake/+"]);
    let edge = Edge::with(FrameSettings::default(), settings).await;
    let page = fs::read_to_string(docs().join("frames.md")).unwrap();
    let blocks = blocks(&page);
    assert!(blocks.len() >= 10, "only {} blocks of hex were found", blocks.len());
    let mut client = Client::connect(edge.addr).await;
    for (kind, bytes) in blocks {
        if kind == "client new connection" {
            client = Client::connect(edge.addr).await;
        }
        if kind.starts_with("client") {
            client.write(&bytes).await;
            continue;
        }
        let mut said = vec![0; bytes.len()];
        client.stream.read_exact(&mut said).await.unwrap();
        assert_eq!(said, bytes, "{kind}");
        if kind == "server end" {
            assert_eq!(client.answer().await, None);
        }
    }
    assert_eq!(edge.bus.payloads(), [&b"hello"[..], b"world", b"4"]);
}

#[test]
fn the_page_shows_the_client_as_it_is() {
    let page = fs::read_to_string(docs().join("frames.md")).unwrap();
    let client = fs::read_to_string(docs().join("examples/frames_client.py")).unwrap();
    assert!(
        page.contains(&format!("```python\n{client}```")),
        "docs/frames.md and docs/examples/frames_client.py differ"
    );
}

/// Runs the page's client; gives what it said on stderr. `None` where there is no Python.
async fn python(edge: &Edge, id: ProducerId, input: String) -> Option<String> {
    let client = Command::new("python3")
        .arg(docs().join("examples/frames_client.py"))
        .args([edge.addr.ip().to_string(), edge.addr.port().to_string(), id.to_string()])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut client) = client else {
        assert!(std::env::var_os("HEADWATER_NO_SKIP").is_none(), "skipped: no python3");
        println!("skipped: no python3");
        return None;
    };
    let mut stdin = client.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = client.wait_with_output().await.unwrap();
    Some(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

#[tokio::test]
async fn the_client_of_the_page_sends_each_line_once_however_often_it_is_run() {
    let edge = Edge::start().await;
    let id = ProducerId::from_u128(5);
    let lines: Vec<String> = (1..=600).map(|line| format!("line {line}")).collect();
    for end in [300, 300, 600] {
        match python(&edge, id, lines[..end].join("\n")).await {
            None => return,
            Some(said) => assert_eq!(said, ""),
        }
        let stored: Vec<_> = edge.bus.payloads().into_iter().map(|line| String::from_utf8(line).unwrap()).collect();
        assert_eq!(stored, lines[..end]);
    }
    let long = format!("{}\n{}\nlast", lines.join("\n"), "x".repeat(257));
    let Some(said) = python(&edge, id, long).await else { return };
    assert_eq!(said, "refused: {601: 1}");
    assert_eq!(edge.bus.payloads().last().unwrap(), b"last");
}
