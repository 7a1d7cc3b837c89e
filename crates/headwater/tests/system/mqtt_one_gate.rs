//! Promise 6 on MQTT: one gate on the way in, one check on every way out, and a right that is taken back is gone at once.

use std::fs;
use std::time::{Duration, Instant};

use crate::mqtt_client::{Hello, Message, MqttClient, Packet};
use crate::program::{Place, Running};

const RULES: &str = r#"
[roles.device]
publish = ["up/{user}/#"]
subscribe = ["down/{user}/#", "news/#"]

[roles.operator]
publish = ["down/#", "news/#"]
subscribe = ["up/#", "news/#", "down/#"]
"#;

/// A place with three users, whose passwords are known to the tests.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir_all(place.data()).unwrap();
    fs::write(place.data().join("rules.toml"), RULES).unwrap();
    for (user, role) in [("press", "device"), ("lathe", "device"), ("ada", "operator")] {
        let secret = place.dir.join(format!("{user}.secret"));
        fs::write(&secret, password(user)).unwrap();
        let data = place.data().display().to_string();
        let args = ["user", "add", user, "--role", role, "--data", &data, "--password-file"];
        let output = place.run(&[&args[..], &[secret.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    place
}

fn password(user: &str) -> String {
    format!("the secret of {user}")
}

fn connect(hub: &Running, user: &str, hello: Hello<'_>) -> MqttClient {
    MqttClient::connect(hub.mqtt, Hello { login: Some((user, &password(user))), ..hello }).unwrap()
}

/// The reason of the refusal, or `None` when it was let in.
fn refusal(hub: &Running, hello: Hello<'_>) -> Option<String> {
    MqttClient::connect(hub.mqtt, hello).err().map(|error| error.to_string())
}

#[test]
fn one_gate_nobody_connects_without_a_right_to() {
    let place = place();
    let hub = place.start();
    let wrong = Hello { login: Some(("ada", "wrong")), ..Hello::new("x") };
    assert!(refusal(&hub, wrong).unwrap().contains("134"), "0x86");
    let unknown = Hello { login: Some(("nobody", "x")), ..Hello::new("x") };
    assert!(refusal(&hub, unknown).unwrap().contains("134"));
    let old = Hello { is_five: false, login: Some(("ada", "wrong")), ..Hello::new("x") };
    assert!(refusal(&hub, old).unwrap().contains("code: 4"));
    let will =
        Hello { will: Some(("news/today", "gone")), login: Some(("press", "the secret of press")), ..Hello::new("x") };
    assert!(refusal(&hub, will).unwrap().contains("135"), "a will on a topic that isn't allowed: 0x87");
}

#[test]
fn one_gate_what_is_not_allowed_is_refused_in_words_and_changes_nothing() {
    let place = place();
    let hub = place.start();
    let mut press = connect(&hub, "press", Hello::new("p"));
    for filter in ["#", "up/press/#", "down/+/x", "down/lathe/#", "$session/#", "$share/g/down/#"] {
        assert_eq!(press.subscribe(filter, 1), 0x87, "{filter}");
    }
    assert_eq!(press.subscribe("down/press/#", 1), 1);
    for (number, topic) in ["up/lathe/x", "news/x", "$SYS/x", "$session/mqtt/x"].into_iter().enumerate() {
        let id = number as u16 + 1;
        press.publish(topic, "no", 1, id).unwrap();
        assert_eq!(press.next().unwrap(), Packet::Ack(4, id, 0x87), "{topic}");
        press.publish(topic, "no", 2, id).unwrap();
        assert_eq!(press.next().unwrap(), Packet::Ack(5, id, 0x87), "{topic}");
        press.publish(topic, "no", 0, 0).unwrap();
        press.publish_retained(topic, "no", id).unwrap();
        assert_eq!(press.next().unwrap(), Packet::Ack(4, id, 0x87), "{topic}");
    }
    // In 3.1.1 there is no word for it, and an acknowledgement would be a lie.
    let mut old = connect(&hub, "press", Hello { is_five: false, ..Hello::new("old") });
    old.publish("news/x", "no", 1, 1).unwrap();
    assert!(old.next().is_err());
    press.publish("up/press/x", "yes", 1, 9).unwrap();
    assert_eq!(press.next().unwrap(), Packet::Ack(4, 9, 0));
    assert_eq!(place.export().len(), 1);
}

#[test]
fn one_gate_a_right_that_is_taken_back_ends_what_is_running_within_a_second() {
    let place = place();
    let hub = place.start();
    let mut press = connect(&hub, "press", Hello::kept("p"));
    assert_eq!(press.subscribe("news/#", 1), 1);
    assert_eq!(press.subscribe("down/press/#", 1), 1);
    let mut ada = connect(&hub, "ada", Hello::new("a"));
    ada.publish("news/1", "allowed", 1, 1).unwrap();
    assert_eq!(ada.next().unwrap(), Packet::Ack(4, 1, 0));
    assert_eq!(press.message().text(), "allowed");

    fs::write(place.data().join("rules.toml"), RULES.replace(r#""down/{user}/#", "news/#"]"#, r#""down/{user}/#"]"#))
        .unwrap();
    let since = Instant::now();
    hub.signal("-HUP");
    assert_eq!(press.next().unwrap(), Packet::Disconnect(0x87));
    assert!(press.next().is_err());
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());

    // Nothing of it is delivered later: not live, not as a state, not from the session's backlog.
    ada.publish("news/2", "secret", 1, 2).unwrap();
    assert_eq!(ada.next().unwrap(), Packet::Ack(4, 2, 0));
    ada.publish_retained("news/3", "secret", 3).unwrap();
    assert_eq!(ada.next().unwrap(), Packet::Ack(4, 3, 0));
    let mut press = connect(&hub, "press", Hello::kept("p"));
    assert!(press.is_present);
    assert_eq!(press.subscribe("news/#", 1), 0x87);
    ada.publish("down/press/x", "allowed", 1, 4).unwrap();
    assert_eq!(ada.next().unwrap(), Packet::Ack(4, 4, 0));
    assert_eq!(press.message().text(), "allowed");
}

#[test]
fn one_gate_a_user_that_is_removed_is_gone_within_a_second() {
    let place = place();
    let hub = place.start();
    let mut press = connect(&hub, "press", Hello::new("p"));
    press.subscribe("news/#", 0);
    // One that watches nothing, and only publishes.
    let mut mute = connect(&hub, "press", Hello::new("mute"));
    let data = place.data().display().to_string();
    assert!(place.run(&["user", "remove", "press", "--data", &data]).status.success());
    hub.signal("-HUP");
    assert_eq!(press.next().unwrap(), Packet::Disconnect(0x87));
    assert_eq!(mute.next().unwrap(), Packet::Disconnect(0x87));
}

#[test]
fn one_gate_another_principal_with_the_same_client_id_gets_a_session_of_its_own() {
    let place = place();
    let hub = place.start();
    let mut press = connect(&hub, "press", Hello::kept("same"));
    press.subscribe("news/#", 1);
    let mut lathe = connect(&hub, "lathe", Hello::kept("same"));
    assert!(!lathe.is_present);
    // Both are connected: nothing was taken over.
    let mut ada = connect(&hub, "ada", Hello::new("a"));
    ada.publish("news/1", "x", 1, 1).unwrap();
    assert_eq!(press.message().text(), "x");
    ada.publish("down/lathe/1", "y", 1, 2).unwrap();
    assert_eq!(lathe.subscribe("down/lathe/#", 1), 1);
    // The same principal takes over.
    let mut press_again = connect(&hub, "press", Hello::kept("same"));
    assert!(press_again.is_present);
    assert_eq!(press.next().unwrap(), Packet::Disconnect(0x8E));
    ada.publish("news/2", "z", 1, 3).unwrap();
    let Message { payload, .. } = press_again.message();
    assert_eq!(payload, b"z");
}
