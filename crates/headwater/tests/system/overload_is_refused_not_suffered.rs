//! Promise 8: above a number of waiting events new ones are refused at once, and accepted ones keep their latency.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::frame_client::{Answer, FrameClient};
use crate::http_client::{HttpClient, get};
use crate::program::{PATIENCE, Place};

/// One sync takes this long, and only so many events may wait for it.
const SYNC_MS: u64 = 200;
const WAITING: usize = 20;

fn place() -> Place {
    Place::new()
        .config(&format!("[limits]\nwaiting_events_max = {WAITING}\n"))
        .arg("--test-sync-delay")
        .arg(&SYNC_MS.to_string())
}

#[test]
fn overload_is_refused_not_suffered_by_http() {
    let place = place();
    let hub = place.start();
    let (accepted, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let slowest = std::sync::Mutex::new(Duration::ZERO);
    std::thread::scope(|scope| {
        for client in 0..100 {
            let (accepted, refused, slowest, addr) = (&accepted, &refused, &slowest, hub.http);
            scope.spawn(move || {
                let mut connection = HttpClient::connect(addr).unwrap();
                let begun = Instant::now();
                let response = connection.post("a", &format!("c{client}"), "x").unwrap();
                match response.status {
                    200 => {
                        accepted.fetch_add(1, Ordering::SeqCst);
                        let mut slowest = slowest.lock().unwrap();
                        *slowest = slowest.max(begun.elapsed());
                    }
                    503 => {
                        refused.fetch_add(1, Ordering::SeqCst);
                        assert!(response.header("retry-after").is_some());
                        assert_eq!(response.header("content-type"), Some("application/problem+json"));
                    }
                    other => panic!("{other}: {}", response.text()),
                }
            });
        }
    });
    let (accepted, refused) = (accepted.into_inner(), refused.into_inner());
    assert_eq!(accepted + refused, 100, "every offer is answered");
    assert!(refused > 0, "100 at once are more than {WAITING} may wait");
    assert!(accepted >= WAITING as u64 / 2, "{accepted}");
    // The rest of a sync that runs, and one's own: not the sum of all.
    let slowest = slowest.into_inner().unwrap();
    assert!(slowest < Duration::from_millis(SYNC_MS * 2) + Duration::from_secs(5), "{slowest:?}");
    assert_eq!(place.export().len() as u64, accepted, "a refused one left nothing behind");
    let mut again = HttpClient::connect(hub.http).unwrap();
    assert_eq!(again.post("a", "after", "x").unwrap().status, 200, "it's back to normal at once");
    assert!(get(hub.http, "/metrics").text().contains("refused"));
}

#[test]
fn overload_is_refused_not_suffered_by_frames() {
    let place = place();
    let hub = place.start();
    let mut client = FrameClient::connect(hub.frames, [3; 16]).unwrap();
    let offered = 200;
    for seq in 1..=offered {
        client.write(seq, b"x").unwrap();
    }
    let mut next = 1;
    let mut refused = 0;
    let begun = Instant::now();
    while next <= offered {
        assert!(begun.elapsed() < PATIENCE);
        match client.answer().unwrap() {
            Answer::Ack { seq, .. } => {
                assert_eq!(seq, next);
                next += 1;
            }
            Answer::Nack { seq, code } => {
                assert!(code == 3 || code == 4, "{code}");
                refused += 1;
                // Resend from the refused number once all that was in flight is answered.
                if code == 3 {
                    for seq in seq..=offered {
                        client.write(seq, b"x").unwrap();
                    }
                }
            }
        }
    }
    assert!(refused > 0, "200 at once are more than {WAITING} may wait");
    assert_eq!(place.export().len() as u64, offered);
}

/// Clients that were all let through while there was room, and then come at once: the last gate on the way in holds too.
#[test]
fn overload_is_refused_not_suffered_by_those_who_were_let_through_before() {
    let place = place();
    let hub = place.start();
    let mut clients: Vec<_> = (0..100).map(|_| HttpClient::connect(hub.http).unwrap()).collect();
    for client in &mut clients {
        client.begin_post("a", 1).unwrap();
    }
    for client in &mut clients {
        client.send_body(b"x").unwrap();
    }
    let statuses: Vec<_> = clients.iter_mut().map(|client| client.answer().unwrap().status).collect();
    let accepted = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 503).count();
    assert_eq!(accepted + refused, 100, "{statuses:?}");
    assert!(refused > 0, "100 at once are more than {WAITING} may wait");
    assert!(accepted >= WAITING / 2, "{accepted}");
    assert_eq!(place.export().len(), accepted);
}
