//! Into NATS: everything, whole and in order.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use headwater_event::{Bus, EventId, GroupName, GroupOptions, Publication, Recorded, Settlement, Start, Tag};
use headwater_eventlog::{EventLog, OpenOptions};

use serde_json::Value;

use super::{Folder, event, key, link, many, said, soon, sticky};
use crate::nats_server::NatsServer;

impl Folder {
    /// Runs it to its end, which must be good.
    fn migrated(&self, engine: &str) -> Value {
        let output = self.migrate(engine, &[]);
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Everything that the engine has, but the note at the end.
async fn all(bus: &Arc<dyn Bus>) -> Vec<Recorded> {
    let mut tail = bus.tail(bus.oldest()).unwrap();
    let mut events = Vec::new();
    while let Some(batch) = soon(tail.next_now(&|topic| !topic.starts_with("$migrate/"))).await.unwrap() {
        events.extend(batch.events);
    }
    events
}

/// Whether what is there is what was here: each event once, in its order, whole.
fn assert_taken_over(there: &[Recorded], here: &[Publication]) {
    let found: Vec<_> = there.iter().map(|recorded| key(&recorded.event)).collect();
    let wanted: Vec<_> = here.iter().map(|publication| key(&publication.event)).collect();
    assert!(found == wanted, "{} there, {} here", found.len(), wanted.len());
    for (recorded, publication) in there.iter().zip(here) {
        assert_eq!((&recorded.event.headers, recorded.event.at), (&publication.event.headers, publication.event.at));
        assert_eq!(recorded.sticky, publication.sticky);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_with_its_id_is_taken_over_in_its_order_and_a_second_run_adds_nothing() {
    let server = NatsServer::start();
    let here = many(3_000);
    let folder = Folder::with(here.clone()).await;
    let first = folder.migrated(&server.url());
    assert_eq!((&first["written"], &first["read_back"]), (&3_000.into(), &3_000.into()), "{first}");
    let engine = link(&server.url()).await;
    let bus = engine.bus();
    assert_taken_over(&all(&bus).await, &here);
    let head = bus.head();
    let second = folder.migrated(&server.url());
    assert_eq!((&second["written"], &second["sha256"]), (&0.into(), &first["sha256"]), "{second}");
    let page = soon(bus.latest(&"state/#".parse().unwrap(), None, 100)).await.unwrap();
    assert_eq!(page.as_of.seq, head.seq, "nothing was added");
    let states: Vec<_> = page.events.iter().map(|state| key(&state.event)).collect();
    let latest: Vec<_> = here[2_960..].iter().filter(|of| of.sticky).map(|of| key(&of.event)).collect();
    assert_eq!(states.len(), 10);
    assert!(latest.iter().all(|state| states.contains(state)), "{states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_it_goes_on_where_it_was_and_nothing_is_there_twice() {
    let server = NatsServer::start();
    let here = many(12_000);
    let folder = Folder::with(here.clone()).await;
    let engine = link(&server.url()).await;
    let bus = engine.bus();
    let mut tail = bus.tail(bus.oldest()).unwrap();
    let mut kills = 0;
    for (signal, until) in [("-KILL", 1_500), ("-TERM", 4_000), ("-INT", 6_500)] {
        let mut run = folder.command(&server.url(), &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while tail.position().seq < until {
            soon(tail.next(&|_| true)).await.unwrap();
        }
        end(&mut run, signal);
        kills += 1;
        assert!(!all(&bus).await.is_empty());
    }
    let last = folder.migrated(&server.url());
    assert_eq!(kills, 3);
    assert!(last["written"].as_u64().unwrap() < 6_000, "it went on, and didn't begin anew: {last}");
    assert_taken_over(&all(&bus).await, &here);
}

/// Ends it by a signal, and sees that it didn't come to its end before.
fn end(run: &mut Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap().success());
    assert!(!run.wait().unwrap().success(), "it was through before {signal}: more events are needed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_go_on_at_their_places_with_their_dead_letters() {
    let server = NatsServer::start();
    let folder = Folder::new();
    let name = GroupName::new("service/orders").unwrap();
    let log = folder.log();
    soon(log.append((0..100).map(|at| event(EventId::generate(), "g/x", &at.to_string())).collect())).await.unwrap();
    let options = GroupOptions { start: Start::Oldest, ..GroupOptions::new(vec!["g/#".parse().unwrap()]) };
    let mut member = soon(log.join(&name, options.clone())).await.unwrap();
    let deliveries = soon(member.next(60)).await.unwrap();
    assert_eq!(deliveries.len(), 60);
    let settled = |tag: Tag| match tag.seq {
        7 => (tag, Settlement::Dead { why: "no such patient".into() }),
        _ => (tag, Settlement::Done),
    };
    soon(member.settle(deliveries.iter().map(|delivery| settled(delivery.tag())).collect())).await.unwrap();
    drop(member);
    log.close().unwrap();
    drop(log);

    let told = folder.migrated(&server.url());
    assert_eq!((&told["groups"], &told["dead_letters"]), (&1.into(), &1.into()), "{told}");
    let engine = link(&server.url()).await;
    let bus = engine.bus();
    let letters = soon(bus.dead_letters(&name, 0, 10)).await.unwrap();
    let letter = letters.first().expect("the letter");
    assert_eq!((letters.len(), &letter.why[..], letter.attempts), (1, "no such patient", 1));
    assert_eq!(&letter.recorded.event.payload[..], b"6");
    let mut member = soon(bus.join(&name, options)).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 40 {
        let deliveries = soon(member.next(64)).await.unwrap();
        assert!(deliveries.iter().all(|delivery| delivery.attempt == 1));
        seen.extend(deliveries.iter().map(|of| String::from_utf8_lossy(&of.recorded.event.payload).into_owned()));
        soon(member.settle(deliveries.iter().map(|of| (of.tag(), Settlement::Done)).collect())).await.unwrap();
    }
    assert_eq!(seen, (60..100).map(|at| at.to_string()).collect::<Vec<_>>());
    assert_eq!(soon(bus.revive(&name, vec![letter.recorded.position.seq], true)).await, Ok(1));
    let again = soon(member.next(64)).await.unwrap();
    assert_eq!(&again[0].recorded.event.payload[..], b"6");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_whose_events_were_freed_and_ids_that_were_used_again_are_taken_over_too() {
    let server = NatsServer::start();
    let folder = Folder::new();
    let options = OpenOptions { ids_max: 0, retain_bytes: Some(1 << 20), ..OpenOptions::new(folder.data()) };
    let log = EventLog::open(options).unwrap();
    soon(log.append(vec![sticky("state/kept", "old"), sticky("$reserved/kept", "old")])).await.unwrap();
    let large = "x".repeat(60_000);
    for at in 0..100 {
        soon(log.append(vec![event(EventId::generate(), "large", &format!("{at}{large}"))])).await.unwrap();
    }
    let again: EventId = "used-again".parse().unwrap();
    for payload in ["first", "second", "third"] {
        soon(log.append(vec![event(again.clone(), "again", payload)])).await.unwrap();
    }
    log.free().unwrap();
    let freed = log.oldest().seq;
    assert!(freed > 10, "{freed} events are freed");
    log.close().unwrap();
    drop(log);

    let told = folder.migrated(&server.url());
    let engine = link(&server.url()).await;
    let bus = engine.bus();
    let there = all(&bus).await;
    assert_eq!(there.len() as u64, 105 - freed + 2, "{told}");
    let states: Vec<_> = there[..2].iter().map(|state| (state.event.topic.as_str(), state.sticky)).collect();
    assert_eq!(states, [("state/kept", true), ("$reserved/kept", true)]);
    let used: Vec<_> = there.iter().filter(|of| of.event.topic.as_str() == "again").map(|of| key(&of.event)).collect();
    let payloads: Vec<_> = used.iter().map(|(_, _, payload)| &payload[..]).collect();
    assert_eq!(payloads, ["first", "second", "third"], "each of them, in their order");
    assert_eq!(used[0].0, "used-again");
    assert_eq!(used[1].0, "used-again~104", "the engine would have taken it for a copy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_others_use_is_refused_and_stays_as_it_is() {
    let server = NatsServer::start();
    let engine = link(&server.url()).await;
    let bus = engine.bus();
    soon(bus.append(vec![event(EventId::generate(), "other/topic", "theirs")])).await.unwrap();
    let folder = Folder::with(many(10)).await;
    let output = folder.migrate(&server.url(), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("other/topic"), "{}", said(&output));
    assert_eq!(all(&bus).await.len(), 1);
    // The log that grew after it was taken over isn't taken over a second time in silence.
    let other = NatsServer::start();
    folder.migrated(&other.url());
    let log = folder.log();
    soon(log.append(many(1))).await.unwrap();
    drop(log);
    let output = folder.migrate(&other.url(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("$migrate/"), "{}", said(&output));
}
