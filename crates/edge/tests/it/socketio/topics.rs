//! The namespace of the hub's topics.

use headwater_edge::socketio::Settings;
use serde_json::{Value, json};

use super::place::{Place, Wire};

async fn answer(wire: &mut Wire, id: u32) -> Value {
    let packet = wire.packet().await;
    let start = format!("43/hub,{id}");
    let arguments = packet.strip_prefix(&*start).unwrap_or_else(|| panic!("{packet}"));
    serde_json::from_str::<Vec<Value>>(arguments).unwrap().remove(0)
}

#[tokio::test]
async fn an_acknowledgement_is_a_receipt_and_rooms_are_filters() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    let (mut wire, shown) = place.connected("40/hub,").await;
    assert!(shown["pid"].is_null(), "who may watch much has no one place to go on from");
    wire.say("42/hub,1[\"join\",{\"filter\":\"a/+\"}]").await;
    let begun = answer(&mut wire, 1).await;
    assert_eq!((&begun["ok"], &begun["filter"]), (&json!(true), &json!("a/+")));
    assert!(
        wire.packet().await.starts_with("42/hub,[\"live\",{\"filter\":\"a/+\"},"),
        "the states, of which there are none"
    );
    wire.say("42/hub,2[\"join\",{\"filter\":\"a/+\"}]").await;
    assert_eq!(answer(&mut wire, 2).await["error"], json!("malformed"));
    wire.say("42/hub,3[\"publish\",{\"topic\":\"a/b\",\"json\":{\"n\":1},\"id\":\"one\"}]").await;
    let (mut receipt, mut told) = (None, None);
    while receipt.is_none() || told.is_none() {
        let packet = wire.packet().await;
        match packet.strip_prefix("43/hub,3") {
            Some(arguments) => receipt = Some(serde_json::from_str::<Value>(arguments).unwrap()),
            None => told = Some(serde_json::from_str::<Value>(packet.strip_prefix("42/hub,").unwrap()).unwrap()),
        }
    }
    let (receipt, told) = (receipt.unwrap(), told.unwrap());
    assert_eq!(
        receipt[0],
        json!({"ok": true, "id": "one", "position": place.hub.head().to_string(), "duplicate": false})
    );
    assert_eq!((&told[0], &told[1]["topic"], &told[2]), (&json!("event"), &json!("a/b"), &receipt[0]["position"]));
    // Bytes come as they are.
    wire.say("451-/hub,4[\"publish\",{\"topic\":\"b\",\"payload\":\"\"},{\"_placeholder\":true,\"num\":0}]").await;
    wire.frame(0x82, &[0, 255]).await;
    assert_eq!(answer(&mut wire, 4).await["ok"], json!(true));
    wire.say("42/hub,5[\"leave\",{\"filter\":\"a/+\"}]").await;
    assert_eq!(answer(&mut wire, 5).await, json!({"ok": true}));
    place.publish("a/b", "gone", false).await;
    let from = begun["position"].as_str().unwrap();
    wire.say(&format!("42/hub,6{}", json!(["subscribe", {"filter": "b", "from": from}]))).await;
    assert_eq!(answer(&mut wire, 6).await["ok"], json!(true));
    let packet = wire.packet().await;
    assert!(packet.contains("\"payload_base64\":\"AP8=\""), "{packet}");
    for bad in [
        "[\"publish\"]",
        "[\"publish\",{\"topic\":\"#\"}]",
        "[\"publish\",{}]",
        "[\"x\",{}]",
        "[\"join\",{\"op\":\"ping\"}]",
    ] {
        wire.say(&format!("42/hub,7{bad}")).await;
        assert_eq!(answer(&mut wire, 7).await["error"], json!("malformed"), "{bad}");
    }
}
