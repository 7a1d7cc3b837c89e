//! What came too early: kept with its bytes until what it waits for has arrived, or its time is over.

use headwater_event::{Event, Time};

use crate::inbox::id_bytes;
use crate::store::{Engine, Row, Statement, StoreError, Value};
use crate::wire;

static PUT: Statement = Statement::new(
    "INSERT INTO kit_parked (id, waits_for, next, deadline, looks, event) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (id) DO NOTHING",
);
static TAKE: Statement = Statement::new("DELETE FROM kit_parked WHERE id = $1");
static WAITING_FOR: Statement =
    Statement::new("SELECT id, next, deadline, looks, event FROM kit_parked WHERE waits_for = $1 LIMIT $2");
static DUE: Statement =
    Statement::new("SELECT id, next, deadline, looks, event FROM kit_parked WHERE next <= $1 ORDER BY next LIMIT $2");
static NEXT: Statement =
    Statement::new("SELECT (SELECT MIN(next) FROM kit_parked WHERE next > $1), COUNT(*) FROM kit_parked");

#[cfg(any(test, feature = "testing"))]
pub(crate) static STATEMENTS: [&Statement; 5] = [&PUT, &TAKE, &WAITING_FOR, &DUE, &NEXT];

/// How many that wait for one thing come again with its arrival; the others come with the next look.
pub(crate) const WOKEN_MAX: i64 = 256;

/// An event that waits.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) id: Vec<u8>,
    pub(crate) deadline: Time,
    pub(crate) looks: u32,
    pub(crate) event: Event,
}

/// Puts an event aside; one that is already there stays as it is.
pub(crate) async fn put(
    engine: &mut Engine<'_>,
    event: &Event,
    waits_for: String,
    next: Time,
    deadline: Time,
) -> Result<(), StoreError> {
    let parked = Parked { id: id_bytes(&event.id), deadline, looks: 0, event: event.clone() };
    insert(engine, &parked, waits_for, next, 0).await
}

/// It waits on.
pub(crate) async fn put_back(
    engine: &mut Engine<'_>,
    parked: &Parked,
    waits_for: String,
    next: Time,
) -> Result<(), StoreError> {
    insert(engine, parked, waits_for, next, parked.looks.saturating_add(1)).await
}

async fn insert(
    engine: &mut Engine<'_>,
    parked: &Parked,
    waits_for: String,
    next: Time,
    looks: u32,
) -> Result<(), StoreError> {
    let mut bytes = wire::begin();
    wire::put(&mut bytes, &parked.event, false);
    let params = vec![
        parked.id.clone().into(),
        waits_for.into(),
        next.into(),
        parked.deadline.into(),
        looks.into(),
        bytes.into(),
    ];
    engine.note(&PUT, params).await
}

/// Takes it out; `false` when somebody else has.
pub(crate) async fn take(engine: &mut Engine<'_>, id: &[u8]) -> Result<bool, StoreError> {
    Ok(engine.execute(&TAKE, &[Value::Blob(id.to_vec())]).await? == 1)
}

/// Those that wait for this.
pub(crate) async fn waiting_for(engine: &mut Engine<'_>, cause: &str) -> Result<Vec<Parked>, StoreError> {
    let rows = engine.query(&WAITING_FOR, &[cause.into(), WOKEN_MAX.into()]).await?;
    rows.iter().map(read).collect()
}

/// What asks for those whose time has come.
pub(crate) fn due(now: Time, limit: i64) -> (&'static Statement, [Value; 2]) {
    (&DUE, [now.into(), limit.into()])
}

/// What asks when the next one is due, after a moment, and how many there are in all.
pub(crate) fn next(after: Time) -> (&'static Statement, [Value; 1]) {
    (&NEXT, [after.into()])
}

pub(crate) fn read(row: &Row) -> Result<Parked, StoreError> {
    let publication = wire::read(row.blob(4)?)?.pop();
    let event = publication.ok_or_else(|| StoreError::Row("an event that was put aside is empty".into()))?.event;
    Ok(Parked {
        id: row.blob(0)?.to_vec(),
        deadline: Time(u64::try_from(row.int(2)?).unwrap_or(0)),
        looks: u32::try_from(row.int(3)?).unwrap_or(u32::MAX),
        event,
    })
}
