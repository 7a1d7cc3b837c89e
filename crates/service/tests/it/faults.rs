//! The store says no: nothing is acknowledged that isn't stored, and it goes on by itself.

use std::process::Command;

use headwater_event::{Event, Health};
use headwater_service::testing::{Bench, Postgres};
use headwater_service::{StoreUrl, body};

use crate::kit::*;

fn is_failing(health: &Health, word: &str) -> bool {
    matches!(health, Health::Failing(why) if why.contains(word))
}

#[tokio::test]
async fn a_file_that_another_program_holds_is_waited_for() {
    let house = House::sqlite();
    let running = house.start(books().on("add", book)).await;
    let path = house.folder().unwrap().join("books.sqlite");
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    house.publish("add", &add("anna", 5)).await;
    passing(&house, "it says so", || is_failing(&running.health(), "another program holds the file")).await;
    assert_eq!(house.stat("books").in_flight, 1);
    assert!(house.all("booked").await.is_empty());
    other.execute_batch("ROLLBACK").unwrap();
    passing(&house, "it's well again", || running.health() == Health::Good).await;
    house.seen("booked", 1).await;
    house.settled("books").await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 5);
}

/// A small disk of its own.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, with a word, where mounting isn't allowed.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        assert!(std::env::var_os("HEADWATER_NO_SKIP").is_none(), "mounting needs root, and nothing may be skipped");
        eprintln!("skipped: mounting a small disk needs root");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_acknowledged_until_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let house = House::with(|bus| Bench::over(bus, StoreUrl::sqlite(disk.0.path())));
    let running = house.start(books().on("add", book).key_of(account)).await;
    let ballast = disk.0.path().join("ballast");
    fill(&ballast);
    let events: Vec<Event> = (0..200).map(|n| house.event("add", &add(&format!("account {n}"), 1))).collect();
    house.publish_all(events).await;
    passing(&house, "it says so", || is_failing(&running.health(), "the disk")).await;
    let settled = house.stat("books").settled.seq;
    let acknowledged = house.all("add").await.iter().filter(|add| add.position.seq <= settled).count();
    assert!(acknowledged < 200, "the disk was never full");
    assert!(house.int("books", "SELECT COUNT(*) FROM account").await >= acknowledged as i64);
    std::fs::remove_file(ballast).unwrap();
    passing(&house, "it's well again", || running.health() == Health::Good && house.stat("books").in_flight == 0).await;
    house.settled("books").await;
    house.seen("booked", 200).await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM account").await, 200);
}

/// Takes all the room there is.
fn fill(path: &std::path::Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    for len in [4_096, 512, 1] {
        let zeros = vec![0; len];
        while file.write_all(&zeros).is_ok() {}
    }
}

#[tokio::test]
async fn a_server_that_is_restarted_under_load_loses_nothing() {
    let Some(server) = Postgres::start() else { return };
    let url = server.database().await;
    let house = House::with(|bus| Bench::over(bus, url));
    let running = house.start(books().on("add", book).key_of(account)).await;
    let mut sum = 0;
    for round in 0..3 {
        let events: Vec<Event> = (0..100).map(|n| house.event("add", &add(&format!("a{}", n % 9), n))).collect();
        sum += (0..100).sum::<i64>();
        let (first, second) = events.split_at(50);
        house.publish_all(first.to_vec()).await;
        house.seen("booked", round * 100 + 1).await;
        server.restart();
        house.publish_all(second.to_vec()).await;
        passing(&house, "all is settled", || {
            let stat = house.stat("books");
            stat.in_flight == 0 && stat.waiting_retry == 0 && stat.settled.seq >= house.bus().head().seq
        })
        .await;
        house.seen("booked", (round + 1) * 100).await;
    }
    passing(&house, "it's well again", || running.health() == Health::Good).await;
    assert!(house.dead_letters("books").await.is_empty());
    running.stop().await;
    assert_eq!(house.int("books", "SELECT CAST(SUM(sum) AS BIGINT) FROM account").await, sum);
    let mut ids: Vec<_> = house.all("booked").await.into_iter().map(|recorded| recorded.event.id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 300);
    assert!(house.all("booked").await.iter().all(|recorded| body::read::<Add>(&recorded.event).is_ok()));
}

#[tokio::test]
async fn what_was_taken_out_and_is_there_again_after_a_kill_of_the_server_is_taken_out_again() {
    let Some(server) = Postgres::start() else { return };
    let url = server.database().await;
    let StoreUrl::Postgres { config } = &url else { unreachable!() };
    let (other, connection) = tokio_postgres::connect(config, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let house = House::with(|bus| Bench::over(bus, url.clone()));
    let running = house.start(books().on("add", book).key_of(account)).await;
    let keeps = "SET search_path = books; CREATE TABLE kept (LIKE kit_work);
        CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO books.kept VALUES (NEW.*); RETURN NEW; END $$;
        CREATE TRIGGER keeps AFTER INSERT ON kit_work FOR EACH ROW EXECUTE FUNCTION keep()";
    other.batch_execute(keeps).await.unwrap();
    house.publish_all((0..3).map(|_| house.event("add", &add("anna", 5))).collect()).await;
    house.seen("booked", 3).await;
    house.settled("books").await;
    // A server that is killed may have forgotten the last of what was taken out.
    let rows = other.execute("INSERT INTO kit_work SELECT * FROM kept LIMIT 2", &[]).await.unwrap();
    assert_eq!(rows, 2);
    server.restart();
    let begun = std::time::Instant::now();
    while house.int("books", "SELECT COUNT(*) FROM kit_work").await > 0 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "rows stay for ever");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await; // sleep: the table tells nobody
    }
    running.stop().await;
    drop(other);
    let _ = connection.await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 15, "once each");
}
