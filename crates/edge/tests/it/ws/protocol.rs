//! What is no WebSocket ends its connection with the right code; what is no request is answered, and the connection lives.

use std::time::Duration;

use headwater_edge::ws::Settings;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::client::{Client, Frame, Place, frame};

#[tokio::test]
async fn a_newcomer_is_welcomed_with_the_head_and_the_limits() {
    let place = Place::new().await;
    place.client().await.ask(r#"{"op":"publish","topic":"a","payload":"x"}"#).await;
    let welcome = Client::connect(place.addr, b"").await.json().await;
    let limits = json!({
        "payload_bytes": 1_048_576, "message_bytes": 2_162_688, "in_flight": 1_000, "subscriptions": 1_024,
        "ping_seconds": 25,
    });
    assert_eq!(welcome, json!({"op": "welcome", "head": "7:1", "limits": limits}));
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_the_connection_lives() {
    let place = Place::new().await;
    let mut client = place.client().await;
    for text in ["", "{", "[]", r#"{"op":"fly","ref":1}"#, r#"{"op":"publish","topic":"+","payload":"x"}"#] {
        let error = client.ask(text).await;
        assert_eq!((&error["op"], &error["error"]), (&json!("error"), &json!("malformed")), "{text}");
        assert!(error["message"].as_str().unwrap().len() > 10, "{error}");
    }
    client.send(&frame(0x82, b"{\"op\":\"ping\"}")).await;
    assert_eq!(client.json().await["error"], "malformed");
    assert_eq!(client.ask(r#"{"op":"ping"}"#).await["op"], "pong");
    assert_eq!(place.hub.head().seq, 0);
}

#[tokio::test]
async fn what_is_no_websocket_ends_that_connection_with_its_code_and_no_other() {
    let place = Place::new().await;
    let mut neighbour = place.client().await;
    for (bytes, code) in [
        (&[0x81, 0x01, b'x'][..], 1002),
        (&[0xC1, 0x80, 0, 0, 0, 0], 1002),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[0x80, 0x80, 0, 0, 0, 0], 1002),
        (&[0x88, 0x81, 0, 0, 0, 0, 3], 1002),
        (&[0x81, 0x82, 0, 0, 0, 0, b'x', 0xFF], 1007),
        (&[0x81, 0xFF, 0, 0, 0, 0, 0, 0x30, 0, 0, 0, 0, 0, 0], 1009),
    ] {
        let mut client = place.client().await;
        // More of the same behind it must not cost the client the close frame.
        client.send(&[bytes, &[0; 1_000]].concat()).await;
        assert_eq!(client.closed().await, code, "{bytes:x?}");
    }
    assert_eq!(neighbour.ask(r#"{"op":"ping"}"#).await["op"], "pong");
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    let place = Place::new().await;
    for (payload, code) in [(&b""[..], 0), (b"\x03\xe8", 1000), (b"\x0f\xa0bye", 4000)] {
        let mut client = place.client().await;
        client.send(&frame(0x88, payload)).await;
        assert_eq!(client.closed().await, code);
    }
}

#[tokio::test]
async fn frames_may_come_in_any_pieces_and_right_behind_the_request() {
    let place = Place::new().await;
    let ping = frame(0x81, br#"{"op":"ping","ref":1}"#);
    let mut client = Client::connect(place.addr, &[&ping[..], &ping[..7]].concat()).await;
    assert_eq!(client.json().await["op"], "welcome");
    assert_eq!(client.json().await["op"], "pong");
    for byte in &ping[7..] {
        client.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.json().await["op"], "pong");
    client.send(&frame(0x01, br#"{"op":"#)).await;
    client.send(&frame(0x89, b"amid")).await;
    client.send(&frame(0x80, br#""ping"}"#)).await;
    assert_eq!(client.frame().await, Some(Frame::Pong(b"amid".to_vec())));
    assert_eq!(client.json().await["op"], "pong");
}

#[tokio::test]
async fn a_message_that_never_ends_is_ended() {
    let place = Place::with(Settings { message_time_max: Duration::from_millis(50), ..Settings::default() }).await;
    for start in [&[0x81][..], &[0x81, 0x85, 1, 2, 3, 4, 9], &frame(0x01, b"a fragment")] {
        let mut client = place.client().await;
        client.send(start).await;
        assert_eq!(client.closed().await, 1008, "{start:x?}");
    }
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_dead_and_one_that_does_lives() {
    let (ping_every, silence_max) = (Duration::from_millis(30), Duration::from_millis(300));
    let place = Place::with(Settings { ping_every, silence_max, ..Settings::default() }).await;
    let (mut alive, mut dead) = (place.client().await, place.client().await);
    let answering = async {
        loop {
            match alive.frame().await {
                Some(Frame::Ping(bytes)) => alive.send(&frame(0x8A, &bytes)).await,
                other => panic!("the living was told {other:?}"),
            }
        }
    };
    let silent = async {
        let mut pings = 0;
        while let Some(said) = dead.frame().await {
            assert!(matches!(said, Frame::Ping(_)), "{said:?}");
            pings += 1;
        }
        pings
    };
    let pings = tokio::select! {
        pings = silent => pings,
        () = answering => unreachable!(),
    };
    assert!(pings >= 2, "{pings} pings before the end");
    assert_eq!(alive.ask(r#"{"op":"ping"}"#).await["op"], "pong");
}

#[tokio::test]
async fn a_page_of_another_site_and_a_token_in_the_address_are_refused() {
    let place = Place::new().await;
    for (target, more, status) in [
        ("/v1/ws", "Origin: https://evil.example.com\r\n", "403"),
        ("/v1/ws?token=secret", "", "400"),
        ("/v1/ws", "Sec-WebSocket-Key: again\r\n", "400"),
    ] {
        let mut stream = TcpStream::connect(place.addr).await.unwrap();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
}

#[tokio::test]
async fn when_the_hub_shuts_down_its_clients_are_told_to_go() {
    let place = Place::new().await;
    let mut clients = [place.client().await, place.client().await];
    assert_eq!(clients[1].ask(r#"{"op":"ping"}"#).await["op"], "pong");
    place.stop.request();
    for client in &mut clients {
        assert_eq!(client.closed().await, 1001);
    }
}
