//! A connection to PostgreSQL that breaks at the worst moment: the commit took effect, and nobody heard of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headwater_event::Event;
use headwater_service::testing::{Bench, Postgres};
use headwater_service::{StoreUrl, body};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::kit::*;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What asks the outbox for a life's own rows.
const LOOK: &[u8] = b"substr(worker, 1, 8) = $4";

/// For how long that isn't answered.
const LOOK_WAIT: Duration = Duration::from_secs(1);

/// Stands between the worker and the server, and loses the answer to a commit that publishes, and its connection with it, or all.
async fn between(server: String, is_losing: Arc<AtomicBool>, cuts_all: bool) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let cut = watch::Sender::new(());
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            let (is_losing, cut, mut is_cut) = (Arc::clone(&is_losing), cut.clone(), cut.subscribe());
            tokio::spawn(async move {
                tokio::select! {
                    has_lost = pass(client, server, is_losing) => if has_lost && cuts_all { cut.send_replace(()) },
                    _ = is_cut.changed() => {}
                }
            });
        }
    });
    addr
}

/// Gives whether it ended with the answer that was to be lost.
async fn pass(mut client: TcpStream, mut server: TcpStream, is_losing: Arc<AtomicBool>) -> bool {
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut lost: Option<Vec<u8>> = None;
    let mut publishes = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(len @ 1..) => {
                    publishes |= has(&asked[..len], b"INTO kit_outbox");
                    if publishes && has(&asked[..len], b"COMMIT") && is_losing.swap(false, Ordering::SeqCst) {
                        lost = Some(Vec::new());
                    }
                    if has(&asked[..len], LOOK) {
                        tokio::time::sleep(LOOK_WAIT).await; // sleep: a server that is slow to answer one question
                    }
                    if server.write_all(&asked[..len]).await.is_err() {
                        return false;
                    }
                }
                _ => return false,
            },
            read = server.read(&mut answered) => match (read, &mut lost) {
                (Ok(len @ 1..), None) => {
                    if client.write_all(&answered[..len]).await.is_err() {
                        return false;
                    }
                }
                (Ok(len @ 1..), Some(lost)) => {
                    lost.extend_from_slice(&answered[..len]);
                    // The server says that it's done.
                    if has(lost, b"COMMIT\0") {
                        return true;
                    }
                }
                _ => return false,
            },
        }
    }
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// What it published stands in the outbox under a number that nothing else may have: whoever relays it deletes it by that.
#[tokio::test]
async fn what_a_commit_in_doubt_has_published_and_what_comes_after_it_both_leave() {
    let Some(postgres) = Postgres::shared() else { return };
    let url = postgres.database().await.to_string();
    let (server, database) = url.rsplit_once('@').unwrap().1.rsplit_once('/').unwrap();
    let is_losing = Arc::new(AtomicBool::new(false));
    let addr = between(server.to_owned(), Arc::clone(&is_losing), false).await;
    let url = StoreUrl::new(&format!("postgres://test@{addr}/{database}"), std::path::Path::new("")).unwrap();
    let house = House::with(|bus| Bench::over(bus, url));
    // Nothing leaves for now, so that both rows are there to be looked at.
    Faults::set(&house.faults.no_append, true);
    let running = house.start(books().on("add", book)).await;
    is_losing.store(true, Ordering::SeqCst);
    house.publish("add", &add("anna", 1)).await;
    let begun = Instant::now();
    while is_losing.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
        assert!(begun.elapsed() < PATIENCE, "there was no commit");
    }
    house.publish("add", &add("anna", 2)).await;
    while house.int("books", "SELECT COUNT(*) FROM kit_outbox").await < 2 {
        house.pass(Duration::from_millis(20));
        assert!(begun.elapsed() < PATIENCE, "what comes after it has no place");
    }
    assert_eq!(house.stat("books").dead, 0);
    drop(running);
    Faults::set(&house.faults.no_append, false);
    let running = house.start(books().on("add", book)).await;
    house.seen("booked", 2).await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 3);
    assert_eq!(house.all("booked").await.len(), 2);
}

/// What was said before the doubt is told before what is said after it.
#[tokio::test]
async fn what_commits_in_doubt_have_published_leaves_in_its_order() {
    let Some(postgres) = Postgres::shared() else { return };
    let url = postgres.database().await.to_string();
    let (server, database) = url.rsplit_once('@').unwrap().1.rsplit_once('/').unwrap();
    let is_losing = Arc::new(AtomicBool::new(false));
    let addr = between(server.to_owned(), Arc::clone(&is_losing), true).await;
    let url = StoreUrl::new(&format!("postgres://test@{addr}/{database}"), std::path::Path::new("")).unwrap();
    let house = House::with(|bus| Bench::over(bus, url));
    let running = house.start(books().on("add", book).key_of(account)).await;
    for round in 0..3 {
        let events: Vec<Event> = (0..300).map(|n| house.event("add", &add("anna", round * 300 + n))).collect();
        is_losing.store(true, Ordering::SeqCst);
        house.publish_all(events).await;
        let begun = Instant::now();
        while is_losing.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
            assert!(begun.elapsed() < PATIENCE, "there was no commit");
        }
        // No one's clock stands still here: what failed is tried again when its time has come.
        while house.all("booked").await.len() < usize::try_from(round + 1).unwrap() * 300 {
            house.pass(Duration::from_millis(5));
            tokio::task::yield_now().await;
            assert!(begun.elapsed() < PATIENCE, "what is in doubt never leaves");
        }
    }
    let told = house.all("booked").await;
    let told: Vec<i64> = told.iter().map(|said| body::read::<Add>(&said.event).unwrap().amount).collect();
    assert_eq!(told, (0..900).collect::<Vec<_>>());
    running.stop().await;
}
