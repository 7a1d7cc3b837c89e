//! Promise 10: bad input gets a clear error in its protocol, changes nothing, and never ends the process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::frame_client::{Answer, FrameClient, hello, message};
use crate::http_client::{HttpClient, WebSocket, get, post};
use crate::load;
use crate::program::{PATIENCE, Place};

/// Writes bytes, closes the sending side, and gives what comes back until the other side closes.
fn exchange(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    answer
}

/// Path, headers, body, and the status that it must be answered with.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8], u16);

#[test]
fn refused_means_nothing_happened_by_http() {
    let place = Place::new();
    let hub = place.start();
    let big = vec![b'x'; 2 << 20];
    let json = [("Content-Type", "application/cloudevents+json")];
    let cases: &[Case<'_>] = &[
        ("/v1/events/a/+/b", &[], b"x", 400),
        ("/v1/events/a/%23", &[], b"x", 400),
        ("/v1/events/a%00b", &[], b"x", 400),
        ("/v1/events/a%ffb", &[], b"x", 400),
        ("/v1/events/a%zz", &[], b"x", 400),
        ("/v1/events/$SYS/x", &[], b"x", 403),
        ("/v1/events/a?sticky=perhaps", &[], b"x", 400),
        ("/v1/events/a?stikcy=true", &[], b"x", 400),
        ("/v1/events/a", &[("Idempotency-Key", "")], b"x", 400),
        ("/v1/events/a", &[("Origin", "http://elsewhere.example")], b"x", 403),
        ("/v1/events/a", &[], &big, 413),
        ("/v1/events", &json, b"{", 400),
        ("/v1/events", &json, br#"{"specversion":"1.0","id":"1","type":"t"}"#, 400),
        ("/v1/events", &json, br#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#, 400),
        ("/v1/nothing", &[], b"x", 404),
    ];
    for (path, headers, body, status) in cases {
        let response = post(hub.http, path, headers, body);
        assert_eq!(response.status, *status, "{path}: {}", response.text());
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{path}");
        let problem = response.json();
        assert!(problem["title"].is_string() && problem["status"] == *status, "{path}: {problem}");
    }
    let long = format!("/v1/events/{}", "x".repeat(1_025));
    assert_eq!(post(hub.http, &long, &[], b"x").status, 400);
    let deep = format!("/v1/events/{}", "a/".repeat(128));
    assert_eq!(post(hub.http, &deep, &[], b"x").status, 400);
    for (path, status) in [
        ("/v1/events?filter=a%23&from=start", 400),
        ("/v1/events?filter=a&from=yesterday", 400),
        ("/v1/events?filter=a&limit=-1", 400),
        ("/v1/live?filter=%2B%2B", 400),
        ("/v1/sticky/none", 404),
    ] {
        assert_eq!(get(hub.http, path).status, status, "{path}");
    }
    assert!(place.export().is_empty(), "nothing happened");
    assert_eq!(post(hub.http, "/v1/events/a", &[], b"x").status, 200);
}

#[test]
fn refused_means_nothing_happened_by_raw_http() {
    let place = Place::new();
    let hub = place.start();
    let cases: &[(&[u8], &str)] = &[
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
        (b"GET\r\n\r\n", "400"),
        (b"POST /v1/events/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        (b"POST /v1/events/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "400"),
        (b"POST /v1/events/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: minus\r\n\r\nx", "400"),
        (b"POST /v1/events/a HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\nx", "400"),
        (b"POST /v1/events/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx", "400"),
    ];
    for (bytes, status) in cases {
        let answer = String::from_utf8_lossy(&exchange(hub.http, bytes)).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{:?}: {answer}",
            String::from_utf8_lossy(bytes)
        );
    }
    let mut endless = b"GET / HTTP/1.1\r\n".to_vec();
    endless.extend("X-Filler: filler filler filler\r\n".repeat(40_000).bytes());
    let answer = String::from_utf8_lossy(&exchange(hub.http, &endless)).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    // Half a body is no event.
    exchange(hub.http, b"POST /v1/events/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf");
    assert!(place.export().is_empty(), "nothing happened");
    assert_eq!(get(hub.http, "/healthz").status, 200);
}

#[test]
fn refused_means_nothing_happened_by_frames() {
    let place = Place::new();
    let hub = place.start();
    let mut bystander = FrameClient::connect(hub.frames, [99; 16]).unwrap();
    bystander.send(1, b"before");

    // No hello: a welcome that says no, or nothing, and the end.
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"HWF2................",
        b"HWF1",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ] {
        let answer = exchange(hub.frames, bytes);
        assert!(answer.is_empty() || (answer.starts_with(b"HWF1") && answer[4] != 0), "{bytes:?}: {answer:?}");
    }
    // Cut in the middle of everything.
    let whole = [hello([5; 16], b""), message(1, b"cut")].concat();
    for len in 0..whole.len() {
        exchange(hub.frames, &whole[..len]);
    }
    assert_eq!(place.export().len(), 1, "half a message is no message");

    let mut client = FrameClient::connect(hub.frames, [6; 16]).unwrap();
    client.write(0, b"numbers start at 1").unwrap();
    assert_eq!(client.answer().unwrap(), Answer::Nack { seq: 0, code: 6 });
    let mut client = FrameClient::connect(hub.frames, [6; 16]).unwrap();
    client.write(2, b"a hole").unwrap();
    assert_eq!(client.answer().unwrap(), Answer::Nack { seq: 2, code: 4 });
    client.write(1, &vec![b'x'; client.max_payload as usize + 1]).unwrap();
    assert_eq!(client.answer().unwrap(), Answer::Nack { seq: 1, code: 1 });
    client.send(2, b"on with the next");
    client.send(3, &vec![0xff; client.max_payload as usize]);
    // Four gigabytes, it says.
    let mut liar = FrameClient::connect(hub.frames, [4; 16]).unwrap();
    liar.socket.write_all(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, b'x']).unwrap();
    assert_eq!(liar.answer().unwrap(), Answer::Nack { seq: 1, code: 1 });

    bystander.send(2, b"after");
    let payloads: Vec<_> =
        place.export().iter().filter_map(|event| event["payload"].as_str().map(str::to_owned)).collect();
    assert_eq!(payloads, ["before", "on with the next", "after"]);
    let binary = place.export().iter().filter(|event| event["payload_base64"].is_string()).count();
    assert_eq!(binary, 1, "bytes that are no text come out as base64");
}

#[test]
fn refused_means_nothing_happened_by_websocket() {
    let place = Place::new();
    let hub = place.start();
    let mut ws = WebSocket::connect(hub.http).unwrap();
    load::ws_welcome(&mut ws);
    for text in [
        "",
        "{",
        "[]",
        "7",
        "{}",
        r#"{"op":"dance"}"#,
        r#"{"op":"publish"}"#,
        r#"{"op":"publish","topic":"a/+","payload":"x"}"#,
        r#"{"op":"publish","topic":"$SYS/a","payload":"x"}"#,
        r#"{"op":"publish","topic":7,"payload":"x"}"#,
        r#"{"op":"publish","topic":"a","payload":"x","sticky":"yes"}"#,
        r#"{"op":"publish","topic":"a","payload_base64":"%%%"}"#,
        r#"{"op":"publish","topic":"a\u0000b","payload":"x"}"#,
        r#"{"op":"publish","topic":"a","topic":"b","payload":"x"}"#,
        r#"{"op":"subscribe","filter":"a#"}"#,
        r#"{"op":"subscribe","filter":"a","from":"never"}"#,
        r#"{"op":"unsubscribe","filter":"never seen"}"#,
    ] {
        ws.write(text).unwrap();
        let answer = ws.next().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(answer["op"], "error", "{text}: {answer}");
    }
    let deep = format!("{}{}", r#"{"op":"#, "[".repeat(5_000));
    ws.write(&deep).unwrap();
    assert_eq!(ws.next().unwrap()["op"], "error");
    // The connection lives on.
    load::ws_publish(&mut ws, "a", "good", "x");
    assert_eq!(place.export().len(), 1);

    // What is no WebSocket ends that connection with the code of RFC 6455 section 7.4.1, and no other.
    for (frame, code) in [
        (&[0x81, 0x01, b'x'][..], 1002_u16),
        (&[0xc1, 0x80, 0, 0, 0, 0], 1002),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[0x09, 0x80, 0, 0, 0, 0], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
        (&[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1009),
    ] {
        let mut socket = TcpStream::connect(hub.http).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            socket,
            "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        socket.write_all(frame).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        let close = [&[0x88][..], &[answer[answer.len().saturating_sub(1)]]].concat();
        let at = answer.windows(2).rposition(|pair| pair[0] == 0x88 && pair[1] >= 2 && pair[1] < 126);
        let at = at.unwrap_or_else(|| panic!("{frame:x?}: no close frame, {close:?}"));
        assert_eq!(u16::from_be_bytes([answer[at + 2], answer[at + 3]]), code, "{frame:x?}");
    }
    load::ws_publish(&mut ws, "a", "still good", "x");
}

#[test]
fn refused_means_nothing_happened_to_the_neighbours() {
    let place = Place::new();
    let hub = place.start();
    let mut neighbour = HttpClient::connect(hub.http).unwrap();
    // Bytes of every kind at every listener, from a fixed seed.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..200_u32 {
        let len = (random() % 600) as usize;
        let mut bytes: Vec<u8> = (0..len).map(|_| random() as u8).collect();
        if round % 3 == 0 {
            bytes.splice(0..0, hello([round as u8; 16], b""));
        }
        exchange(if round % 2 == 0 { hub.frames } else { hub.http }, &bytes);
        if round % 20 == 0 {
            assert_eq!(neighbour.post("neighbour", &format!("n{round}"), "x").unwrap().status, 200);
        }
    }
    assert!(!hub.said().contains("panicked"), "{}", hub.said());
}
