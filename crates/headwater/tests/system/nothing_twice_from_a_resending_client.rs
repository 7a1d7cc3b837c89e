//! Promise 3: a client that resends after a broken connection adds nothing twice.

use crate::frame_client::{Answer, FrameClient};
use crate::http_client::{HttpClient, WebSocket, post};
use crate::load;
use crate::program::Place;

#[test]
fn nothing_twice_from_a_resending_client_by_frames() {
    let place = Place::new();
    let hub = place.start();
    let id = [7; 16];
    let mut client = FrameClient::connect(hub.frames, id).unwrap();
    assert_eq!(client.last_seq, 0);
    let first = client.send(1, b"one");
    let second = client.send(2, b"two");
    assert!(second > first);
    // The answer got lost, says the client, on the same connection, on a new one, and after a kill.
    assert_eq!(client.send(2, b"two"), second);
    let mut client = FrameClient::connect(hub.frames, id).unwrap();
    assert_eq!(client.last_seq, 2);
    client.send(1, b"one");
    hub.kill();
    let hub = place.start();
    let mut client = FrameClient::connect(hub.frames, id).unwrap();
    assert_eq!(client.last_seq, 2);
    client.send(2, b"two");
    client.send(3, b"three");
    let payloads: Vec<_> = place.export().iter().map(|event| event["payload"].clone()).collect();
    assert_eq!(payloads, ["one", "two", "three"]);
}

#[test]
fn nothing_twice_from_a_resending_client_also_after_a_refusal_that_used_a_number_up() {
    let place = Place::new();
    let hub = place.start();
    let id = [8; 16];
    let mut client = FrameClient::connect(hub.frames, id).unwrap();
    client.send(1, b"one");
    let long = vec![b'x'; client.max_payload as usize + 1];
    client.write(2, &long).unwrap();
    assert_eq!(client.answer().unwrap(), Answer::Nack { seq: 2, code: 1 });
    hub.kill();
    let hub = place.start();
    let mut client = FrameClient::connect(hub.frames, id).unwrap();
    assert_eq!(client.last_seq, 2, "the refused number is used up, and stays so");
    client.send(3, b"three");
    assert_eq!(place.export().len(), 2);
}

#[test]
fn nothing_twice_from_a_resending_client_by_http_and_websocket() {
    let place = Place::new();
    let hub = place.start();
    let mut client = HttpClient::connect(hub.http).unwrap();
    let first = client.post("orders", "order-17", "paid").unwrap().json();
    let again = client.post("orders", "order-17", "paid").unwrap().json();
    assert_eq!((&first["seq"], &first["id"]), (&again["seq"], &again["id"]));
    hub.kill();
    let hub = place.start();
    let key = [("Idempotency-Key", "order-17")];
    let after_a_kill = post(hub.http, "/v1/events/orders", &key, b"paid").json();
    assert_eq!(first["seq"], after_a_kill["seq"]);
    // The id is the event's, whichever edge it comes by.
    let mut ws = WebSocket::connect(hub.http).unwrap();
    load::ws_welcome(&mut ws);
    let by_ws = load::ws_publish(&mut ws, "orders", "order-17", "paid");
    assert_eq!(first["seq"], by_ws["seq"]);
    assert_eq!(place.export().len(), 1);
}

#[test]
fn nothing_twice_from_a_resending_client_when_the_newer_connection_takes_over() {
    let place = Place::new().arg("--test-sync-delay").arg("100");
    let hub = place.start();
    let id = [9; 16];
    let mut old = FrameClient::connect(hub.frames, id).unwrap();
    for seq in 1..=50 {
        old.write(seq, format!("m{seq}").as_bytes()).unwrap();
    }
    let mut new = FrameClient::connect(hub.frames, id).unwrap();
    for seq in new.last_seq + 1..=50 {
        new.send(seq, format!("m{seq}").as_bytes());
    }
    let payloads: Vec<_> = place.export().iter().map(|event| event["payload"].as_str().unwrap().to_owned()).collect();
    assert_eq!(payloads, (1..=50).map(|seq| format!("m{seq}")).collect::<Vec<_>>());
}
