//! From polls to a WebSocket, as the official Engine.IO suite asks for it.

use super::client::{Came, Socket};
use super::place::Place;

async fn probe(place: &Place, sid: &str) -> Socket {
    let mut socket = place.bare_socket(&format!("&sid={sid}")).await;
    socket.say("2probe").await;
    assert_eq!(socket.text().await, "3probe");
    socket
}

#[tokio::test]
async fn polls_give_way_to_a_websocket() {
    let place = Place::engine();
    let sid = place.poller().await;
    let mut socket = probe(&place, &sid).await;
    assert_eq!(place.poll(&sid).await.text(), "6");
    socket.say("5").await;
    socket.say("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    assert_eq!(place.poll(&sid).await.status, 400, "polls of an upgraded session are refused");
    assert_eq!(place.post(&sid, "4x").await.status, 400);
    let mut other = place.bare_socket(&format!("&sid={sid}")).await;
    assert_eq!(other.came().await, Came::End, "and so is another WebSocket");
    socket.say("4still here").await;
    assert_eq!(socket.talk().await, "4still here");
}

#[tokio::test]
async fn a_poll_that_waits_is_let_go_by_the_probe() {
    let place = Place::engine();
    let sid = place.poller().await;
    let (polled, mut socket) = tokio::join!(place.poll(&sid), probe(&place, &sid));
    assert_eq!(polled.text(), "6");
    socket.say("5").await;
    socket.say_bytes(b"after").await;
    assert_eq!(socket.came().await, Came::Binary(b"after".to_vec()));
}

#[tokio::test]
async fn what_no_poll_has_fetched_comes_over_the_websocket() {
    let place = Place::engine();
    let sid = place.poller().await;
    let mut socket = probe(&place, &sid).await;
    assert_eq!(place.post(&sid, "4early\u{1e}bAQI=").await.text(), "ok");
    socket.say("5").await;
    assert_eq!(socket.text().await, "4early");
    assert_eq!(socket.came().await, Came::Binary(vec![1, 2]));
}

#[tokio::test]
async fn a_probe_that_fails_leaves_the_session_to_its_polls() {
    let place = Place::engine();
    let sid = place.poller().await;
    for bad in ["2", "4hello", "abc", "3probe"] {
        let mut socket = place.bare_socket(&format!("&sid={sid}")).await;
        socket.say(bad).await;
        socket.ends().await;
    }
    drop(probe(&place, &sid).await);
    assert_eq!(place.post(&sid, "4hello").await.status, 200);
    loop {
        // Until the server has seen that the probe is gone, a poll is let go at once.
        match place.poll(&sid).await.text().as_str() {
            "6" => tokio::task::yield_now().await,
            text => break assert_eq!(text, "4hello"),
        }
    }
}
