//! Whoever is connected is listed, with what they watch, and can be sent away; whoever has gone is not.

use std::time::Duration;

use headwater_hub::Hub;
use headwater_hub::presence::{Connected, Search};
use serde_json::json;
use tokio::time::timeout;

use crate::frames::Edge;
use crate::http::support::{Watcher, place};
use crate::ws::client::Place;

/// Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

fn listed(hub: &Hub) -> Vec<Connected> {
    hub.presence().page(Search::default(), 0, 100).found
}

/// The one connection that is there.
async fn the_one(hub: &Hub) -> Connected {
    let came = async {
        while hub.presence().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, came).await.expect("nobody came");
    let mut all = listed(hub);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

async fn nobody_is_left(hub: &Hub) {
    let left = async {
        while !hub.presence().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, left).await.expect("an entry stays behind");
}

fn filters(connected: &Connected) -> Vec<String> {
    let page = connected.outlet().expect("its way out").watched(0, 10);
    assert_eq!(page.next, None);
    page.watches.iter().map(|watched| watched.filter.as_str().to_owned()).collect()
}

#[tokio::test]
async fn a_websocket_is_listed_with_what_it_watches_and_hears_why_it_is_sent_away() {
    let place = Place::new().await;
    let mut client = place.client().await;
    for filter in ["a/+", "b"] {
        assert_eq!(client.ask(&json!({"op": "subscribe", "filter": filter}).to_string()).await["op"], "subscribed");
        assert_eq!(client.json().await["op"], "current");
    }
    let connected = the_one(&place.hub).await;
    assert_eq!((connected.protocol, connected.client.as_deref(), connected.who.name()), ("ws", None, "anonymous"));
    assert!(connected.peer.ip().is_loopback() && connected.peer.port() > 0);
    assert_eq!(filters(&connected), ["a/+", "b"]);
    client.ask(r#"{"op":"unsubscribe","filter":"a/+"}"#).await;
    assert_eq!(filters(&connected), ["b"]);
    assert!(connected.dismiss());
    assert_eq!(client.closed().await, 1008);
    drop(client);
    nobody_is_left(&place.hub).await;
    assert!(!connected.dismiss());
    assert!(place.hub.presence().find(connected.id).is_none());
}

#[tokio::test]
async fn a_watcher_by_server_sent_events_is_listed_until_it_goes() {
    let place = place();
    let watcher = Watcher::open(&place, "filter=a/%2B", "").await;
    let connected = the_one(&place.hub).await;
    assert_eq!((connected.protocol, filters(&connected)), ("sse", vec!["a/+".to_owned()]));
    drop(watcher);
    nobody_is_left(&place.hub).await;
    let mut watcher = Watcher::open(&place, "filter=b", "").await;
    assert!(the_one(&place.hub).await.dismiss());
    watcher.client.rest().await;
    nobody_is_left(&place.hub).await;
}

#[tokio::test]
async fn a_client_of_the_frame_protocol_is_listed_by_its_id_and_can_be_sent_away() {
    let edge = Edge::start().await;
    let mut client = edge.client(7).await;
    let connected = the_one(&edge.hub).await;
    assert_eq!(connected.client.as_deref(), Some("00000000-0000-0000-0000-000000000007"));
    assert!(connected.outlet().is_none());
    client.send(1, b"one").await;
    assert!(client.answer().await.is_some());
    assert!(connected.dismiss());
    assert_eq!(client.answer().await, None);
    nobody_is_left(&edge.hub).await;
}
