//! Every event passes the same gate on its way in, every watch the same check on its way out, and a right that is taken
//! back stops what it had allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_event::*;
use headwater_hub::*;

use crate::support::*;

#[tokio::test]
async fn what_is_published_is_told_to_who_watches_and_to_nobody_else() {
    let house = house(Settings::default());
    let hub = &house.hub;
    publish(hub, vec![publication("a/1", "before")]).await;
    let mut stream = hub.stream(&anyone(), watch("a/+")).await.unwrap();
    publish(hub, vec![publication("b/1", "not wanted"), publication("a/1", "x"), publication("a/2", "y")]).await;
    assert_eq!(lines(&mut stream, 2).await, ["event 3 a/1 x", "event 4 a/2 y"]);
}

#[tokio::test]
async fn an_event_is_stamped_on_its_way_in() {
    let clock = Clock::manual(Time(1_000));
    let house = house(Settings { clock: clock.clone(), ..Settings::default() });
    clock.advance(std::time::Duration::from_micros(5));
    publish(&house.hub, vec![publication("a", "x")]).await;
    let mut history = house.hub.history(&anyone(), filter("a"), From::Oldest).unwrap();
    assert_eq!(history.next().await.unwrap().unwrap()[0].event.at, Time(1_005));
}

#[tokio::test]
async fn nobody_publishes_to_or_watches_what_is_reserved() {
    let house = house(Settings::default());
    let hub = &house.hub;
    let not_allowed = Refusal::NotAllowed;
    for prefix in RESERVED_PREFIXES {
        for rest in ["", "SYS", "SYS/a", "share/g/a", "/a"] {
            let text = format!("{prefix}{rest}");
            let batch = vec![publication("a", "x"), publication(&text, "x")];
            assert_eq!(hub.publish(&anyone(), batch).err(), Some(not_allowed.clone()), "{text}");
            assert_eq!(hub.precheck(&anyone(), &topic(&text), 0), Err(not_allowed.clone()));
            for filter_text in [text.clone(), format!("{text}/#"), format!("{text}/+")] {
                let filter = filter(&filter_text);
                if WATCHABLE_PREFIXES.iter().any(|prefix| filter_text.starts_with(prefix)) {
                    assert!(hub.history(&anyone(), filter, From::Oldest).is_ok(), "{filter_text}");
                    continue;
                }
                let watched = hub.stream(&anyone(), watch(&filter_text)).await.err();
                assert_eq!(watched, Some(WatchError::Refusal(not_allowed.clone())), "{filter_text}");
                assert_eq!(hub.latest(&anyone(), &filter, None, 10).await.err(), Some(not_allowed.clone()));
                assert!(hub.history(&anyone(), filter, From::Oldest).is_err());
            }
        }
    }
    assert_eq!(hub.head().seq, 0, "refused means that nothing happened");
}

/// A rule that a test can change: `secret/...` is open or not.
fn changing() -> (Arc<AtomicBool>, Settings) {
    let is_open = Arc::new(AtomicBool::new(true));
    let rule = Arc::clone(&is_open);
    let access = Access::by(move |_, ask| match ask {
        Ask::Publish(topic) => !topic.as_str().starts_with("secret") || rule.load(Ordering::SeqCst),
        Ask::Watch(filter) => !filter.as_str().starts_with("secret") || rule.load(Ordering::SeqCst),
    });
    (is_open, Settings { access, ..Settings::default() })
}

#[tokio::test]
async fn a_right_that_is_taken_back_stops_deliveries_and_only_those() {
    let (is_open, settings) = changing();
    let house = house(settings);
    let hub = &house.hub;
    let (secret, public) = (Socket::open(), Socket::open());
    let (one, one_task) = connect(hub, &secret);
    let (other, other_task) = connect(hub, &public);
    one.watch(watch("public")).await.unwrap();
    one.watch(watch("secret/#")).await.unwrap();
    other.watch(watch("public")).await.unwrap();
    publish(hub, vec![publication("secret/1", "x"), publication("public", "x")]).await;
    until("all is told", || secret.lines().len() == 2 && public.lines().len() == 1).await;

    is_open.store(false, Ordering::SeqCst);
    assert_eq!(hub.recheck().await, 1);
    is_open.store(true, Ordering::SeqCst);
    publish(hub, vec![publication("secret/1", "x"), publication("public", "x")]).await;
    until("the other one is told", || public.lines().len() == 2).await;
    assert_eq!(secret.lines().len(), 2, "{}", secret.text());
    assert_eq!(one_task.await.unwrap(), Closed::NotAllowed);
    assert!(!other_task.is_finished());
}

#[tokio::test]
async fn a_publisher_whose_right_was_taken_back_is_refused_the_next_time() {
    let (is_open, settings) = changing();
    let house = house(settings);
    publish(&house.hub, vec![publication("secret/1", "x")]).await;
    is_open.store(false, Ordering::SeqCst);
    let refused = house.hub.publish(&anyone(), vec![publication("public", "x"), publication("secret/1", "x")]).err();
    assert_eq!(refused, Some(Refusal::NotAllowed));
    assert_eq!(house.hub.head().seq, 1);
}

#[tokio::test]
async fn who_shows_nothing_is_anonymous_and_what_is_wrong_is_refused_also_where_everybody_may_everything() {
    let house = house(Settings::default());
    let peer = std::net::Ipv4Addr::LOCALHOST.into();
    let who = house.hub.authenticate(Credentials::none(peer)).await.unwrap();
    assert!(who.is_anonymous() && who.client().is_none());
    let by_id = Credentials { client_id: Some("c1".into()), ..Credentials::none(peer) };
    let who = house.hub.authenticate(by_id).await.unwrap();
    assert_eq!((who.user(), who.client()), (None, Some("c1")));
    let password = Proof::Password { user: "ada".into(), password: Secret::new("x") };
    for proof in [password, Proof::Token(Secret::new("x")), Proof::Certificate { names: vec!["ada".into()] }] {
        let shown = Credentials { proof, ..Credentials::none(peer) };
        assert_eq!(house.hub.authenticate(shown).await.err(), Some(Refusal::NotAuthenticated));
    }
}

/// The type system forbids a second way in from outside of this crate's gate; this looks after the inside.
#[test]
fn the_log_is_written_in_one_place() {
    let mut sources = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut writers = Vec::new();
    while let Some(file) = sources.pop() {
        if file.is_dir() {
            sources.extend(std::fs::read_dir(file).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let calls = text.matches("bus.append(").count() + text.matches("bus.use_up(").count();
        let holds = text.matches("Arc<dyn Bus>").count();
        if calls > 0 || holds > 0 {
            writers.push((file.file_name().unwrap().to_string_lossy().into_owned(), calls));
        }
    }
    writers.sort();
    // `hub.rs` is handed the bus and hands it on to the gate.
    assert_eq!(writers, [("gate.rs".to_owned(), 2), ("hub.rs".to_owned(), 0)]);
}
