//! Promise 9: after a crash the log opens by itself, cutting only what was never acknowledged; damage is never hidden.

use std::fs;
use std::os::unix::fs::FileExt;

use crate::http_client::HttpClient;
use crate::program::Place;

/// A log with some events, without a checkpoint; and where the last record ends.
fn written(events: usize) -> (Place, usize) {
    let place = Place::new();
    let hub = place.start();
    let mut client = HttpClient::connect(hub.http).unwrap();
    for number in 1..=events {
        let body = format!("event {number} {}", "x".repeat(100));
        assert_eq!(client.post("a", &format!("k{number}"), &body).unwrap().status, 200);
    }
    hub.kill();
    let _ = fs::remove_file(place.data().join("events.checkpoint"));
    let bytes = fs::read(place.log()).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (place, end)
}

#[test]
fn torn_tail_is_cut_wherever_the_last_write_broke_off() {
    let (place, end) = written(5);
    let whole = fs::read(place.log()).unwrap();
    // Every 7th place in the last record, and its very ends.
    let cuts: Vec<usize> = (end - 150..end).step_by(7).chain([end - 1]).collect();
    for cut in cuts {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        fs::write(place.log(), &torn).unwrap();
        let _ = fs::remove_file(place.data().join("events.checkpoint"));
        let hub = place.start();
        let kept = place.export().len();
        assert!(kept == 4 || (kept == 5 && torn[..end] == whole[..end]), "cut at {cut}: {kept} are left");
        let mut client = HttpClient::connect(hub.http).unwrap();
        assert_eq!(client.post("a", "k5", "sent again").unwrap().status, 200);
        assert_eq!(place.export().len(), 5);
    }
}

#[test]
fn torn_tail_of_garbage_is_cut_too() {
    let (place, end) = written(5);
    let file = fs::OpenOptions::new().write(true).open(place.log()).unwrap();
    file.write_all_at(&[0xa5; 300], end as u64).unwrap();
    let _hub = place.start();
    assert_eq!(place.export().len(), 5);
}

#[test]
fn torn_tail_or_damage_damage_in_the_middle_is_said_with_its_place() {
    let (place, end) = written(200);
    let middle = end / 2;
    let file = fs::OpenOptions::new().read(true).write(true).open(place.log()).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], middle as u64).unwrap();
    let before = fs::read(place.log()).unwrap();

    let (status, said) = place.try_start().err().expect("a damaged log must not open");
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("damage") && said.contains("repair"), "it says what is wrong and what can be done: {said}");
    assert_eq!(fs::read(place.log()).unwrap(), before, "nothing was changed");

    let verify = place.run(&["log", "verify", "--data", &place.data().display().to_string()]);
    assert_eq!(verify.status.code(), Some(1));
    let said = String::from_utf8_lossy(&[verify.stdout, verify.stderr].concat()).into_owned();
    assert!(said.chars().any(|c| c.is_ascii_digit()) && said.contains("damage"), "{said}");
}
