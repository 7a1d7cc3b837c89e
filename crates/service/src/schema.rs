//! The kit's own tables, in each service's store.

use headwater_event::Time;
use uuid::Uuid;

use crate::ids::Namer;
use crate::store::{Engine, Migration, Statement, StoreError, Value};

/// Carried out before the service's own steps.
pub(crate) static KIT: &[Migration] = &[
    Migration {
        name: "000_kit",
        // Its text is known to stores by its checksum, blanks and all.
        sql: "
        CREATE TABLE kit_meta (name TEXT PRIMARY KEY, value BYTEA NOT NULL);
        CREATE TABLE kit_inbox (id BYTEA PRIMARY KEY, at BIGINT NOT NULL) /*sqlite: WITHOUT ROWID :sqlite*/;
        CREATE TABLE kit_outbox (
            worker BYTEA NOT NULL, number BIGINT NOT NULL, at BIGINT NOT NULL, events BYTEA NOT NULL,
            PRIMARY KEY (worker, number)
        );
        CREATE TABLE kit_parked (
            id BYTEA PRIMARY KEY, waits_for TEXT NOT NULL, next BIGINT NOT NULL, deadline BIGINT NOT NULL,
            looks BIGINT NOT NULL, event BYTEA NOT NULL
        );
        CREATE INDEX kit_parked_waits_for ON kit_parked (waits_for);
        CREATE INDEX kit_parked_next ON kit_parked (next);
        CREATE TABLE kit_timer (
            name TEXT NOT NULL, key TEXT NOT NULL, due BIGINT NOT NULL, next BIGINT NOT NULL, attempts BIGINT NOT NULL,
            origin BYTEA NOT NULL, payload BYTEA NOT NULL, PRIMARY KEY (name, key)
        );
        CREATE INDEX kit_timer_next ON kit_timer (next);
    ",
    },
    // Used on PostgreSQL alone, where several processes may share a service's work.
    Migration {
        name: "000_kit_scale",
        sql: "
        CREATE TABLE kit_token (last BIGINT NOT NULL);
        INSERT INTO kit_token (last) VALUES (0);
        CREATE TABLE kit_worker (
            token BIGINT PRIMARY KEY, mark BYTEA NOT NULL, holder TEXT NOT NULL, until BIGINT NOT NULL
        );
        CREATE TABLE kit_duty (name TEXT PRIMARY KEY, token BIGINT);
        CREATE TABLE kit_work (
            part BIGINT NOT NULL, n BIGINT NOT NULL, id BYTEA NOT NULL UNIQUE, attempts BIGINT NOT NULL,
            event BYTEA NOT NULL, PRIMARY KEY (part, n)
        );
    ",
    },
];

static NOTE: Statement =
    Statement::new("INSERT INTO kit_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING");
static GET: Statement = Statement::new("SELECT value FROM kit_meta WHERE name = $1");

const ID_KEY: &str = "id_key";
const SEEDED: &str = "seeded";

/// The store's own key for ids of outgoing events, drawn once.
pub(crate) async fn namer(engine: &mut Engine<'_>) -> Result<Namer, StoreError> {
    let drawn = Uuid::new_v4().as_bytes().to_vec();
    engine.execute(&NOTE, &[ID_KEY.into(), drawn.into()]).await?;
    let rows = engine.query(&GET, &[ID_KEY.into()]).await?;
    let key = rows.first().ok_or_else(|| StoreError::Row("the store has lost its key".into()))?;
    let key = key.blob(0)?.try_into().map_err(|_| StoreError::Row("the store's key has not 16 bytes".into()))?;
    Ok(Namer::new(key))
}

/// Whether the store's tables are still to be filled; said once, to one.
pub(crate) async fn take_seed(engine: &mut Engine<'_>, now: Time) -> Result<bool, StoreError> {
    let at = Value::Blob(now.as_micros().to_be_bytes().to_vec());
    Ok(engine.execute(&NOTE, &[SEEDED.into(), at]).await? == 1)
}

/// Every statement of the kit, so that a test can prepare each on both engines.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn statements() -> Vec<&'static Statement> {
    let mut all = vec![&NOTE, &GET];
    all.extend(crate::inbox::STATEMENTS);
    all.extend(crate::outbox::STATEMENTS);
    all.extend(crate::parked::STATEMENTS);
    all.extend(crate::timers::STATEMENTS);
    all
}
