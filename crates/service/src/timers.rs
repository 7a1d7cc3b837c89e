//! Timers: what a handler wants to be called for later. They're rows, so they survive a restart and leave with their
//! transaction.

use headwater_event::Time;

use crate::effects::TimerChange;
use crate::store::{Engine, Row, Statement, StoreError, Value};

static SET: Statement = Statement::new(
    "INSERT INTO kit_timer (name, key, due, next, attempts, origin, payload) VALUES ($1, $2, $3, $3, 0, $4, $5)
     ON CONFLICT (name, key) DO UPDATE SET
         due = excluded.due, next = excluded.next, attempts = 0, origin = excluded.origin, payload = excluded.payload",
);
static CLEAR: Statement = Statement::new("DELETE FROM kit_timer WHERE name = $1 AND key = $2");
static TAKE: Statement = Statement::new("DELETE FROM kit_timer WHERE name = $1 AND key = $2 AND origin = $3");
static AGAIN: Statement = Statement::new(
    "INSERT INTO kit_timer (name, key, due, next, attempts, origin, payload) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (name, key) DO NOTHING",
);
static DUE: Statement = Statement::new(
    "SELECT name, key, due, attempts, origin, payload FROM kit_timer WHERE next <= $1 ORDER BY next LIMIT $2",
);
static NEXT: Statement = Statement::new("SELECT MIN(next) FROM kit_timer WHERE next > $1");

#[cfg(any(test, feature = "testing"))]
pub(crate) static STATEMENTS: [&Statement; 6] = [&SET, &CLEAR, &TAKE, &AGAIN, &DUE, &NEXT];

/// What a timer's handler is called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Its name, as it was registered.
    pub name: &'static str,
    /// Which one of that name.
    pub key: String,
    /// What was kept with it.
    pub payload: Vec<u8>,
    /// For when it was set.
    pub due: Time,
}

/// A timer whose time has come.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) due: Time,
    pub(crate) attempts: u32,
    /// What set it; a timer that was set anew meanwhile has another one.
    pub(crate) origin: [u8; 16],
    pub(crate) payload: Vec<u8>,
}

/// Carries out what a call asked for.
pub(crate) async fn change(engine: &mut Engine<'_>, change: TimerChange) -> Result<(), StoreError> {
    match change {
        TimerChange::Set { name, key, due, payload, origin } => {
            let params = vec![name.into(), key.into(), due.into(), Value::Blob(origin.to_vec()), payload.into()];
            engine.note(&SET, params).await
        }
        TimerChange::Clear { name, key } => engine.note(&CLEAR, vec![name.into(), key.into()]).await,
    }
}

/// Takes it out before it fires; `false` when it was cleared or set anew meanwhile, or somebody else has it.
pub(crate) async fn take(engine: &mut Engine<'_>, due: &Due) -> Result<bool, StoreError> {
    let params = [due.name.as_str().into(), due.key.as_str().into(), Value::Blob(due.origin.to_vec())];
    Ok(engine.execute(&TAKE, &params).await? == 1)
}

/// It fires again later.
pub(crate) async fn put_back(engine: &mut Engine<'_>, due: &Due, attempts: u32, next: Time) -> Result<(), StoreError> {
    let params = vec![
        due.name.as_str().into(),
        due.key.as_str().into(),
        due.due.into(),
        next.into(),
        attempts.into(),
        Value::Blob(due.origin.to_vec()),
        Value::Blob(due.payload.clone()),
    ];
    engine.note(&AGAIN, params).await
}

/// What asks for those whose time has come.
pub(crate) fn due(now: Time, limit: i64) -> (&'static Statement, [Value; 2]) {
    (&DUE, [now.into(), limit.into()])
}

/// What asks when the next one is due, after a moment.
pub(crate) fn next(after: Time) -> (&'static Statement, [Value; 1]) {
    (&NEXT, [after.into()])
}

pub(crate) fn read(row: &Row) -> Result<Due, StoreError> {
    Ok(Due {
        name: row.text(0)?.to_owned(),
        key: row.text(1)?.to_owned(),
        due: Time(u64::try_from(row.int(2)?).unwrap_or(0)),
        attempts: u32::try_from(row.int(3)?).unwrap_or(u32::MAX),
        origin: row.blob(4)?.try_into().map_err(|_| StoreError::Row("a timer's origin can't be read".into()))?,
        payload: row.blob(5)?.to_vec(),
    })
}
