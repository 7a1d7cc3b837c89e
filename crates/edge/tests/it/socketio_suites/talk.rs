//! The official Socket.IO suite's cases.

use serde_json::Value;

use super::client::{Came, Socket};
use super::place::{Place, suite};

async fn connected(place: &Place) -> Socket {
    let (mut socket, _) = place.connected("").await;
    assert_eq!(socket.text().await, r#"42["auth",{}]"#);
    socket
}

#[tokio::test]
async fn a_client_enters_a_namespace_and_is_told_what_it_showed() {
    let place = Place::echo();
    for (said, head, told) in [
        ("40", "40", r#"42["auth",{}]"#),
        (r#"40{"token":"123"}"#, "40", r#"42["auth",{"token":"123"}]"#),
        ("40/custom,", "40/custom,", r#"42/custom,["auth",{}]"#),
        ("40/custom", "40/custom,", r#"42/custom,["auth",{}]"#),
        (r#"40/custom,{"token":"abc"}"#, "40/custom,", r#"42/custom,["auth",{"token":"abc"}]"#),
    ] {
        let mut socket = place.socket().await;
        socket.say(said).await;
        let answer = socket.text().await;
        let handshake: Value =
            serde_json::from_str(answer.strip_prefix(head).unwrap_or_else(|| panic!("{answer}"))).unwrap();
        let members = handshake.as_object().unwrap();
        assert!(members.len() == 1 && members["sid"].is_string(), "{handshake}");
        assert_eq!(socket.text().await, told);
    }
}

#[tokio::test]
async fn an_unknown_namespace_is_refused_and_the_connection_stays() {
    let place = Place::echo();
    let mut socket = place.socket().await;
    socket.say("40/random").await;
    assert_eq!(socket.text().await, r#"44/random,{"message":"Invalid namespace"}"#);
    socket.say("40").await;
    assert!(socket.text().await.starts_with("40{"));
}

#[tokio::test]
async fn who_leaves_one_namespace_stays_in_the_others_and_connected() {
    let place = Place::echo();
    let mut socket = connected(&Place::echo_with(suite())).await;
    socket.say("41").await;
    assert_eq!(socket.text().await, "2", "nothing but the next ping");

    let mut socket = connected(&place).await;
    socket.say("40/custom,").await;
    assert!(socket.talk().await.starts_with("40/custom,"));
    assert_eq!(socket.talk().await, r#"42/custom,["auth",{}]"#);
    socket.say("41/custom,").await;
    socket.say(r#"42["message","message to main namespace"]"#).await;
    assert_eq!(socket.talk().await, r#"42["message-back","message to main namespace"]"#);
}

#[tokio::test]
async fn events_and_acknowledgements_keep_their_arguments() {
    let place = Place::echo();
    let mut socket = connected(&place).await;
    for (said, answer) in [
        (r#"42["message",1,"2",{"3":[true]}]"#, r#"42["message-back",1,"2",{"3":[true]}]"#),
        (r#"42["message"]"#, r#"42["message-back"]"#),
        (r#"42456["message-with-ack",1,"2",{"3":[false]}]"#, r#"43456[1,"2",{"3":[false]}]"#),
        (r#"420["message-with-ack"]"#, "430[]"),
    ] {
        socket.say(said).await;
        assert_eq!(socket.talk().await, answer);
    }
}

#[tokio::test]
async fn attachments_come_back_behind_their_packet() {
    let place = Place::echo();
    let mut socket = connected(&place).await;
    let places = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
    for (said, answer) in [
        (format!(r#"452-["message",{places}]"#), format!(r#"452-["message-back",{places}]"#)),
        (format!(r#"452-789["message-with-ack",{places}]"#), format!("462-789[{places}]")),
    ] {
        socket.say(&said).await;
        socket.say_bytes(&[1, 2, 3]).await;
        socket.say_bytes(&[4, 5, 6]).await;
        assert_eq!(socket.talk().await, answer);
        assert_eq!(socket.came().await, Came::Binary(vec![1, 2, 3]));
        assert_eq!(socket.came().await, Came::Binary(vec![4, 5, 6]));
    }
}

#[tokio::test]
async fn attachments_travel_by_polls_too() {
    let place = Place::echo();
    let sid = place.poller().await;
    assert_eq!(place.post(&sid, "40").await.status, 200);
    assert!(place.poll(&sid).await.text().starts_with("40{"));
    let payload = "451-[\"message\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID";
    assert_eq!(place.post(&sid, payload).await.status, 200);
    let mut told = place.poll(&sid).await.text();
    while told == "2" {
        assert_eq!(place.post(&sid, "3").await.status, 200);
        told = place.poll(&sid).await.text();
    }
    assert_eq!(told, "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID");
}
