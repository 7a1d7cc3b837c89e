//! The examples of docs/websocket.md, said and heard as they stand there.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::client::{Client, Place};

/// A line of an example.
enum Line {
    Says(String),
    Hears(Value),
    /// Comes with the others of its kind around it, in whatever order.
    HearsSome(Value),
}

/// The lines of all blocks that are marked `ws`, as one conversation.
fn conversation() -> Vec<Line> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/websocket.md");
    let text = fs::read_to_string(&page).expect("the page");
    let mut lines = Vec::new();
    for block in text.split("```ws\n").skip(1) {
        for line in block.split("```").next().unwrap_or_default().lines() {
            let (mark, said) = line.split_once(' ').expect("a mark and a frame");
            let json = || serde_json::from_str(said).unwrap_or_else(|error| panic!("{said}: {error}"));
            lines.push(match mark {
                ">" => Line::Says(said.to_owned()),
                "<" => Line::Hears(json()),
                "<~" => Line::HearsSome(json()),
                _ => panic!("{line}"),
            });
        }
    }
    lines
}

#[tokio::test]
async fn the_examples_of_the_page_are_true() {
    let place = Place::new().await;
    let mut client = Client::connect(place.addr, b"").await;
    let mut some: Vec<Value> = Vec::new();
    let lines = conversation();
    assert!(lines.len() > 20, "the page has lost its examples");
    for line in lines {
        if !matches!(line, Line::HearsSome(_)) {
            hear_all(&mut client, std::mem::take(&mut some)).await;
        }
        match line {
            Line::Says(text) => client.say(&text).await,
            Line::Hears(frame) => assert_eq!(client.json().await, frame),
            Line::HearsSome(frame) => some.push(frame),
        }
    }
    assert_eq!(client.ask(r#"{"op":"ping"}"#).await["op"], "pong", "nothing else was said");
}

async fn hear_all(client: &mut Client, mut frames: Vec<Value>) {
    while !frames.is_empty() {
        let heard = client.json().await;
        let at = frames.iter().position(|frame| *frame == heard).unwrap_or_else(|| panic!("{heard}"));
        frames.remove(at);
    }
}
