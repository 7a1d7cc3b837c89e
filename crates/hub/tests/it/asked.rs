//! Strangers whom a service knows: it is asked, answers, and can take its answer back.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use headwater_event::*;
use headwater_hub::access::*;
use headwater_hub::*;
use serde_json::{Value, json};

use crate::support::*;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

fn role(publish: &[&str], subscribe: &[&str]) -> Role {
    let patterns = |texts: &[&str], purpose| texts.iter().map(|text| Pattern::new(text, purpose).unwrap()).collect();
    Role {
        publish: patterns(publish, For::Publishing),
        subscribe: patterns(subscribe, For::Watching),
        ..Role::default()
    }
}

fn policy(openness: Openness, wait: Duration) -> Policy {
    let rules = Rules::new([
        ("anonymous", &role(&[], &["public/#"])),
        ("doorkeeper", &role(&["$auth/answer/+"], &["$auth/ask"])),
        ("device", &role(&["devices/{user}/up"], &["devices/{user}/down"])),
    ]);
    let password = Some(PasswordHash::of(&Secret::new("correct horse")).unwrap());
    let keeper = User {
        name: "keeper".into(),
        password,
        roles: vec!["doorkeeper".into()],
        certificates: vec![],
        is_disabled: false,
    };
    let asks = AskRules { wait, holds: Duration::from_secs(60) };
    Policy::new(openness, rules.unwrap(), Users::new([keeper]).unwrap(), None).asking(Some(asks))
}

/// A hub whose users a service knows, and that service.
struct Place {
    house: House,
    clock: Clock,
    access: Access,
    keeper: Principal,
    questions: WatchStream,
}

/// Far beyond what an answer takes.
const LONG: Duration = Duration::from_secs(20);

async fn place() -> Place {
    place_that_waits(LONG).await
}

async fn place_that_waits(wait: Duration) -> Place {
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let access = Access::keeping(policy(Openness::Rules, wait), clock.clone());
    let house = house(Settings { access: access.clone(), clock: clock.clone(), ..Settings::default() });
    let keeper = login(&house.hub, "keeper", "correct horse").await.unwrap();
    let questions = house.hub.stream(&keeper, watch("$auth/ask")).await.unwrap();
    Place { house, clock, access, keeper, questions }
}

fn login(hub: &Hub, user: &str, password: &str) -> Later<'static, Result<Principal, Refusal>> {
    let proof = Proof::Password { user: user.into(), password: Secret::new(password) };
    hub.authenticate(Credentials { proof, client_id: Some("c-7".into()), peer: PEER })
}

impl Place {
    /// The next question.
    async fn question(&mut self) -> Value {
        let line = lines(&mut self.questions, 1).await.remove(0);
        let (head, question) = line.split_once('{').unwrap();
        assert!(head.starts_with("passing "), "it is kept nowhere: {head}");
        serde_json::from_str(&format!("{{{question}")).unwrap()
    }

    async fn say(&self, to: &str, what: &Value) {
        let batch = vec![publication(to, what.to_string())];
        self.house.hub.publish(&self.keeper, batch).unwrap().await.unwrap();
    }

    /// Logs in, with the service saying this.
    async fn asked(&mut self, user: &str, password: &str, answer: Value) -> (Result<Principal, Refusal>, Value) {
        let login = tokio::spawn(login(&self.house.hub, user, password));
        let question = self.question().await;
        self.say(question["answer_to"].as_str().unwrap(), &answer).await;
        (login.await.unwrap(), question)
    }
}

#[tokio::test]
async fn a_service_says_who_a_stranger_is_and_what_they_hold() {
    let mut place = place().await;
    let (who, question) = place.asked("press", "hush hush", json!({"allow": true, "roles": ["device"]})).await;
    let who = who.unwrap();
    assert_eq!((who.user(), who.client()), (Some("press"), Some("c-7")));
    let expected = json!({
        "answer_to": question["answer_to"], "peer": "10.0.0.9", "client": "c-7", "user": "press", "password": "hush hush"
    });
    assert_eq!(question, expected);
    let hub = &place.house.hub;
    assert!(hub.may_publish(&who, &topic("devices/press/up")).is_ok());
    assert!(hub.may_publish(&who, &topic("devices/other/up")).is_err());
    assert!(hub.may_watch(&who, &filter("$auth/ask")).is_err());
    let (who, _) = place.asked("press", "wrong", json!({"allow": false})).await;
    assert_eq!(who.err(), Some(Refusal::NotAuthenticated));
    for unread in [json!({"allow": "yes"}), json!([]), json!({"allow": true, "roles": "device"})] {
        let (who, _) = place.asked("press", "odd", unread.clone()).await;
        assert_eq!(who.err(), Some(Refusal::NotAuthenticated), "{unread}");
    }
}

#[tokio::test]
async fn no_password_that_a_service_is_asked_about_reaches_the_disk() {
    let mut place = place().await;
    place.asked("press", "canary-hush", json!({"allow": true})).await.0.unwrap();
    let mut tail = place.house.log.tail(place.house.log.oldest()).unwrap();
    while let Some(batch) = tail.next_now(&|_| true).await.unwrap() {
        for recorded in batch.events {
            assert_ne!(recorded.event.topic.as_str(), "$auth/ask");
            assert!(!String::from_utf8_lossy(&recorded.event.payload).contains("canary-hush"));
        }
    }
}

#[tokio::test]
async fn an_answer_is_known_for_its_time_and_the_login_ends_with_it() {
    let mut place = place().await;
    let answer = json!({"allow": true, "roles": ["device"], "seconds": 30});
    let who = place.asked("press", "hush", answer).await.0.unwrap();
    let again = login(&place.house.hub, "press", "hush").await.unwrap();
    assert_eq!(again.user(), Some("press"), "nobody was asked: nobody answered");
    place.clock.advance(Duration::from_secs(31));
    assert!(!place.access.stands(&who) && place.house.hub.may_publish(&who, &topic("devices/press/up")).is_err());
    let (refused, _) = place.asked("press", "hush", json!({"allow": false})).await;
    assert!(refused.is_err(), "asked anew");
}

#[tokio::test]
async fn an_answer_that_is_taken_back_ends_what_it_allowed() {
    let mut place = place().await;
    let who = place.asked("press", "hush", json!({"allow": true, "roles": ["device"]})).await.0.unwrap();
    let other = place.asked("lathe", "hush", json!({"allow": true, "roles": ["device"]})).await.0.unwrap();
    let mut stream = place.house.hub.stream(&who, watch("devices/press/down")).await.unwrap();
    place.say("$auth/answer/revoke", &json!({"user": "press"})).await;
    assert!(stream.next().await.is_none(), "the connection ends");
    assert!(!place.access.stands(&who) && place.access.stands(&other));
    let who = place.asked("press", "hush", json!({"allow": true, "roles": ["device"]})).await.0.unwrap();
    assert!(place.access.stands(&who), "a later answer counts");
}

#[tokio::test]
async fn nobody_but_who_a_rule_names_hears_questions_or_answers_them() {
    let mut place = place().await;
    let hub = place.house.hub.clone();
    let pending = tokio::spawn(login(&hub, "press", "hush"));
    let question = place.question().await;
    let to = question["answer_to"].as_str().unwrap();
    let forged = hub.publish(&anyone(), vec![publication(to, r#"{"allow":true}"#)]);
    assert_eq!(forged.err(), Some(Refusal::NotAllowed));
    assert!(!pending.is_finished());
    place.say(to, &json!({"allow": false})).await;
    assert!(pending.await.unwrap().is_err());
    // Where everybody may everything, that doesn't mean other people's passwords.
    place.access.replace(policy(Openness::Everybody, LONG));
    for who in [&anyone(), &place.keeper] {
        assert!(hub.may_watch(who, &filter("$auth/ask")).is_err());
        assert!(hub.may_publish(who, &topic("$auth/answer/1")).is_err());
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_refuses_in_time_and_counts_as_nobodys_mistake() {
    let mut place = place_that_waits(Duration::from_millis(20)).await;
    for _ in 0..30 {
        assert_eq!(login(&place.house.hub, "press", "hush").await.err(), Some(Refusal::Unavailable));
        place.question().await;
    }
}

#[tokio::test]
async fn who_is_known_here_is_never_asked_about() {
    let place = place().await;
    assert_eq!(login(&place.house.hub, "keeper", "wrong").await.err(), Some(Refusal::NotAuthenticated));
    drop(place.questions);
}
