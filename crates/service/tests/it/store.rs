//! The store itself: what one engine reads the other one reads, too.

use headwater_service::testing::kit_statements;
use headwater_service::{Migration, Row, Statement, StoreError, Value};

use crate::kit::*;

on_both_stores! {
    every_statement_is_prepared_on_both_engines
    values_come_back_as_they_went_in
    a_reader_sees_what_is_committed_and_cannot_write
    a_migration_that_changed_after_it_ran_is_refused
    a_migration_that_fails_leaves_nothing
    a_store_of_a_later_version_is_refused
    a_statement_that_is_wrong_is_found_at_the_start
    old_ids_are_forgotten_in_small_steps_and_young_ones_are_kept
}

async fn every_statement_is_prepared_on_both_engines(house: House) {
    let running = house.start(books().on("add", book)).await;
    let store = house.store("books").await;
    store.prepare_all(STATEMENTS).await.unwrap();
    store.prepare_all(&kit_statements()).await.unwrap();
    running.stop().await;
}

async fn values_come_back_as_they_went_in(house: House) {
    async fn fill(tx: &mut headwater_service::Tx<'_>) -> Result<(), headwater_service::Failure> {
        static PUT: Statement = Statement::new("INSERT INTO v (i, r, t, b) VALUES ($1, $2, $3, $4)");
        let rows: [[Value; 4]; 3] = [
            [i64::MIN.into(), 1.5.into(), "ü".into(), vec![0_u8, 255].into()],
            [i64::MAX.into(), (-0.25).into(), "".into(), Vec::<u8>::new().into()],
            [Value::Null, Value::Null, Value::Null, Value::Null],
        ];
        for row in &rows {
            assert_eq!(tx.execute(&PUT, row).await?, 1);
        }
        Ok(())
    }
    static TABLE: &[Migration] =
        &[Migration { name: "001_v", sql: "CREATE TABLE v (i BIGINT, r DOUBLE PRECISION, t TEXT, b BYTEA)" }];
    let service = headwater_service::Service::new("values").migrations(TABLE).on("add", book).seed(fill);
    house.start(service).await.stop().await;
    let reader = house.store("values").await.reader();
    static ALL: Statement = Statement::new("SELECT i, r, t, b FROM v WHERE t IS NOT NULL ORDER BY i");
    let rows: Vec<Row> = reader.query(&ALL, &[]).await.unwrap();
    assert_eq!((rows[0].int(0), rows[1].int(0)), (Ok(i64::MIN), Ok(i64::MAX)));
    assert_eq!((rows[0].real(1), rows[1].real(1)), (Ok(1.5), Ok(-0.25)));
    assert_eq!((rows[0].text(2), rows[1].text(2)), (Ok("ü"), Ok("")));
    assert_eq!((rows[0].blob(3), rows[1].blob(3)), (Ok(&[0, 255][..]), Ok(&[][..])));
    assert!(rows[0].text(0).is_err() && rows[0].int(9).is_err());
    static NULLS: Statement = Statement::new("SELECT i, t, SUM(i) FROM v WHERE t IS NULL GROUP BY i, t");
    let row = reader.query_opt(&NULLS, &[]).await.unwrap().unwrap();
    assert_eq!((row.int_opt(0), row.text_opt(1), row.int_opt(2)), (Ok(None), Ok(None), Ok(None)));
    assert!(row.int(0).is_err());
}

async fn a_reader_sees_what_is_committed_and_cannot_write(house: House) {
    let running = house.start(books().on("add", book)).await;
    house.publish("add", &add("anna", 5)).await;
    house.seen("booked", 1).await;
    let reader = house.store("books").await.reader();
    let row = reader.query_opt(&SUM, &["anna".into()]).await.unwrap().unwrap();
    assert_eq!(row.int(0), Ok(5));
    assert!(reader.query_opt(&SUM, &["berta".into()]).await.unwrap().is_none());
    static WIPE: Statement = Statement::new("DELETE FROM account");
    assert!(reader.query(&WIPE, &[]).await.is_err());
    assert!(matches!(reader.query(&SUM, &[]).await, Err(StoreError::Statement(_))), "a parameter is missing");
    static NONSENSE: Statement = Statement::new("SELECT nonsense");
    assert!(matches!(reader.query(&NONSENSE, &[]).await, Err(StoreError::Statement(_))));
    running.stop().await;
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM account").await, 1);
}

fn table(name: &'static str, sql: &'static str) -> &'static [Migration] {
    Box::leak(Box::new([Migration { name, sql }]))
}

async fn refusal(house: &House, migrations: &'static [Migration]) -> String {
    let service = headwater_service::Service::new("steps").migrations(migrations).on("add", book);
    house.try_start(service).await.err().map(|error| error.to_string()).unwrap_or_default()
}

async fn a_migration_that_changed_after_it_ran_is_refused(house: House) {
    assert_eq!(refusal(&house, table("001_a", "CREATE TABLE a (i BIGINT);\nSELECT 1")).await, "");
    assert_eq!(refusal(&house, table("001_a", "CREATE TABLE a (i BIGINT);\r\nSELECT 1")).await, "", "line ends");
    let said = refusal(&house, table("001_a", "CREATE TABLE a (i BIGINT, j BIGINT)")).await;
    assert!(said.contains("001_a has changed"), "{said}");
}

async fn a_migration_that_fails_leaves_nothing(house: House) {
    let said = refusal(&house, table("001_a", "CREATE TABLE a (i BIGINT); CREATE TABLE a (i BIGINT)")).await;
    assert!(said.contains("001_a failed"), "{said}");
    assert_eq!(refusal(&house, table("001_a", "CREATE TABLE a (i BIGINT)")).await, "");
    assert_eq!(house.int("steps", "SELECT COUNT(*) FROM a").await, 0);
}

async fn a_store_of_a_later_version_is_refused(house: House) {
    assert_eq!(refusal(&house, table("002_b", "CREATE TABLE b (i BIGINT)")).await, "");
    let said = refusal(&house, &[]).await;
    assert!(said.contains("002_b") && said.contains("later version"), "{said}");
}

async fn a_statement_that_is_wrong_is_found_at_the_start(house: House) {
    static WRONG: Statement = Statement::new("SELECT nonsense FROM account");
    static ALL: &[&Statement] = &[&WRONG];
    let said = house.try_start(books().on("add", book).statements(ALL)).await.err().unwrap().to_string();
    assert!(said.contains("nonsense"), "{said}");
}

async fn old_ids_are_forgotten_in_small_steps_and_young_ones_are_kept(house: House) {
    use std::time::Duration;
    let options = headwater_service::ServiceOptions { inbox_keep: Duration::from_secs(3_600), ..Default::default() };
    let running = house.start(books().on("add", book).options(options)).await;
    let events: Vec<_> = (0..1_500).map(|n| house.event("add", &add("anna", n))).collect();
    for part in events.chunks(100) {
        house.publish_all(part.to_vec()).await;
    }
    house.settled("books").await;
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM kit_inbox").await, 1_500);
    house.pass(Duration::from_secs(7_200));
    let young = house.event("add", &add("anna", 1));
    // A commit forgets a few hundred.
    for _ in 0..20 {
        house.publish_all(vec![young.clone()]).await;
        house.publish("add", &add("berta", 1)).await;
        house.settled("books").await;
    }
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM kit_inbox").await, 21);
    running.stop().await;
    assert_eq!(house.int("books", "SELECT changes FROM account WHERE name = 'anna'").await, 1_501);
}
