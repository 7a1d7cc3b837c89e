//! Promise 7: memory stays flat with slow watchers and overload.

use std::io::Write;
use std::net::TcpStream;

use crate::http_client::{HttpClient, Sse};
use crate::program::Place;

/// What the process may grow by while watchers stall: the rings' budgets and the sockets' leftovers, not the traffic.
const GROWTH_KIB: u64 = 24 * 1_024;

#[test]
fn bounded_memory_with_stalled_watchers_who_get_everything_afterwards() {
    let place = Place::new();
    let hub = place.start();
    let mut client = HttpClient::connect(hub.http).unwrap();
    let body = "x".repeat(64 * 1_024);
    for warm in 0..50 {
        client.post("flood", &format!("warm{warm}"), &body).unwrap();
    }
    let mut stalled: Vec<_> = (0..20).map(|_| Sse::watch(hub.http, "filter=flood", None).unwrap()).collect();
    let before = hub.rss_kib();
    const EVENTS: usize = 1_500;
    for number in 0..EVENTS {
        assert_eq!(client.post("flood", &format!("k{number}"), &body).unwrap().status, 200);
    }
    let grown = hub.rss_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB, "{} MiB went by 20 stalled watchers, memory grew by {grown} KiB", EVENTS / 16);
    // They wake up: each gets the whole range, or hears of each gap.
    for watcher in &mut stalled[..3] {
        let mut got = 0;
        while got < EVENTS {
            let sent = watcher.next().unwrap();
            assert_eq!(sent.kind, "message", "by default nothing is left out: {}", sent.data);
            got += 1;
        }
    }
}

#[test]
fn bounded_memory_before_the_first_good_frame_whatever_length_is_claimed() {
    let place = Place::new();
    let hub = place.start();
    const CONNECTIONS: u64 = 500;
    let before = hub.rss_kib();
    let mut held = Vec::new();
    for at in 0..CONNECTIONS {
        let mut socket = TcpStream::connect(if at % 2 == 0 { hub.frames } else { hub.http }).unwrap();
        if at % 2 == 0 {
            // A token of 65,535 bytes, of which 8,000 come.
            socket.write_all(b"HWF1").unwrap();
            socket.write_all(&[1; 16]).unwrap();
            socket.write_all(&[0xff, 0xff]).unwrap();
            let _ = socket.write_all(&[b't'; 8_000]);
        } else {
            socket
                .write_all(b"POST /v1/events/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000000\r\nX: ")
                .unwrap();
            let _ = socket.write_all(&[b'h'; 8_000]);
        }
        held.push(socket);
    }
    // One good request after them: when it's answered, all of them have been taken up.
    let mut client = HttpClient::connect(hub.http).unwrap();
    assert_eq!(client.post("a", "k", "x").unwrap().status, 200);
    let grown = hub.rss_kib().saturating_sub(before);
    assert!(grown <= CONNECTIONS * 16 + 4_096, "{CONNECTIONS} half-open connections cost {grown} KiB");
}
