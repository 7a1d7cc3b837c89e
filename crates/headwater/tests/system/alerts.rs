//! Public alerts on the real program: what was answered 200 is told once, whatever is killed.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::http_client::{HttpClient, Sse};
use crate::program::Place;

/// How many sources post at once, and how much each.
const SOURCES: usize = 4;
const POSTS: usize = 150;
/// How often the hub is killed meanwhile.
const KILLS: usize = 10;

/// Posts what this source has not had an answer for, until all is answered or the connection breaks.
fn post(hub: SocketAddr, source: usize, answered: &AtomicUsize) -> io::Result<()> {
    let mut client = HttpClient::connect(hub)?;
    while answered.load(Ordering::SeqCst) < POSTS {
        let number = answered.load(Ordering::SeqCst);
        let body = format!(
            "{{\"location\":\"place {source}-{number}\",\"type\":\"Flood\",\"timestamp\":\"2050-01-01T00:00:00Z\",\"duration\":5}}"
        );
        // Every other source names its posts, the others trust that the same content is the same report.
        let key = format!("{source}-{number}");
        let headers: &[(&str, &str)] = if source.is_multiple_of(2) { &[("Idempotency-Key", &key)] } else { &[] };
        let response = client.request("POST", "/api/alerts", headers, body.as_bytes())?;
        assert_eq!((response.status, response.text().as_str()), (200, "\"Event processed successfully\""));
        answered.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

#[test]
fn every_report_that_was_answered_is_told_once_whatever_is_killed() {
    let place = Place::new();
    let answered: Vec<Arc<AtomicUsize>> = (0..SOURCES).map(|_| Arc::default()).collect();
    let all = || answered.iter().map(|answered| answered.load(Ordering::SeqCst)).sum::<usize>();
    for round in 1..=KILLS + 1 {
        let hub = place.start();
        let posters: Vec<_> = (0..SOURCES)
            .map(|source| {
                let (http, answered) = (hub.http, Arc::clone(&answered[source]));
                std::thread::spawn(move || post(http, source, &answered))
            })
            .collect();
        let enough = SOURCES * POSTS * round / (KILLS + 1);
        while all() < enough {
            std::thread::sleep(Duration::from_micros(200)); // sleep: polls a counter that other threads raise
        }
        if round <= KILLS {
            hub.kill();
            // The connection broke under them: what had no answer is posted again to the next one.
            posters.into_iter().for_each(|poster| drop(poster.join().expect("an answer that must not be")));
            continue;
        }
        posters.into_iter().for_each(|poster| poster.join().expect("an answer that must not be").unwrap());
        let mut told: HashMap<String, usize> = HashMap::new();
        let mut watcher = Sse::watch(hub.http, "filter=alerts/%23&from=start", None).unwrap();
        while told.len() < SOURCES * POSTS {
            let said: serde_json::Value = serde_json::from_str(&watcher.next().unwrap().payload()).unwrap();
            assert_eq!(said["eventType"], "open");
            *told.entry(said["location"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        hub.kill();
        let twice: Vec<_> = told.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "told more than once: {twice:?}");
    }
    // And none of them was told once more after the last that was waited for.
    let opens =
        place.export().into_iter().filter(|event| event["topic"].as_str().unwrap().starts_with("alerts/")).count();
    assert_eq!(opens, SOURCES * POSTS);
}
