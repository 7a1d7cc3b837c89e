//! What is to leave: written in the transaction that made it, appended to the bus after its commit, deleted with a later one.
//!
//! One row holds all events of a commit, so the outbox costs a commit one insert and one delete, however many there are.

use headwater_event::{Publication, Time};

use crate::store::{Engine, Row, Statement, StoreError, Value};
use crate::wire;

static PUT: Statement = Statement::new("INSERT INTO kit_outbox (worker, number, at, events) VALUES ($1, $2, $3, $4)");
static DROP: Statement = Statement::new("DELETE FROM kit_outbox WHERE worker = $1 AND number = $2");
static LEFT: Statement = Statement::new(
    "SELECT at, worker, number, events FROM kit_outbox WHERE at <= $1 AND (at, worker, number) > ($2, $3, $4)
     ORDER BY at, worker, number LIMIT $5",
);
static OF_THE_DEAD: Statement = Statement::new(
    "SELECT at, worker, number, events FROM kit_outbox WHERE (at, worker, number) > ($1, $2, $3)
     AND NOT EXISTS (SELECT 1 FROM kit_worker WHERE mark = substr(worker, 1, 8)) ORDER BY at, worker, number LIMIT $4",
);
static OWN: Statement = Statement::new(
    "SELECT at, worker, number, events FROM kit_outbox WHERE (at, worker, number) > ($1, $2, $3)
     AND substr(worker, 1, 8) = $4 ORDER BY at, worker, number LIMIT $5",
);
static OF_LANE: Statement = Statement::new(
    "SELECT at, worker, number, events FROM kit_outbox WHERE worker = $1 AND number >= $2 ORDER BY number",
);

#[cfg(any(test, feature = "testing"))]
pub(crate) static STATEMENTS: [&Statement; 6] = [&PUT, &DROP, &LEFT, &OF_THE_DEAD, &OWN, &OF_LANE];

/// From how many bytes on a commit's events are parted into several rows.
const ROW_LEN_MAX: usize = 1 << 20;

/// Which row: a worker's life and its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowId {
    pub(crate) worker: [u8; 16],
    pub(crate) number: i64,
}

/// A row on its way to the bus.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) id: RowId,
    pub(crate) events: Vec<Publication>,
}

/// Writes what a batch publishes.
pub(crate) async fn put(
    engine: &mut Engine<'_>,
    worker: [u8; 16],
    next_number: &mut i64,
    events: Vec<Publication>,
    at: Time,
) -> Result<Vec<Sealed>, StoreError> {
    let mut rows = Vec::new();
    let mut bytes = wire::begin();
    let mut row = Vec::new();
    let mut events = events.into_iter().peekable();
    while let Some(publication) = events.next() {
        wire::put(&mut bytes, &publication.event, publication.sticky);
        row.push(publication);
        if bytes.len() >= ROW_LEN_MAX || events.peek().is_none() {
            let id = RowId { worker, number: *next_number };
            *next_number += 1;
            let bytes = std::mem::replace(&mut bytes, wire::begin());
            let params = vec![Value::Blob(worker.to_vec()), Value::Int(id.number), at.into(), Value::Blob(bytes)];
            engine.note(&PUT, params).await?;
            rows.push(Sealed { id, events: std::mem::take(&mut row) });
        }
    }
    Ok(rows)
}

/// Deletes a row whose events are on the bus.
pub(crate) async fn drop_row(engine: &mut Engine<'_>, id: RowId) -> Result<(), StoreError> {
    engine.note(&DROP, vec![Value::Blob(id.worker.to_vec()), Value::Int(id.number)]).await
}

/// What a lane has written from this number on.
pub(crate) async fn of_lane(engine: &mut Engine<'_>, worker: [u8; 16], since: i64) -> Result<Vec<Sealed>, StoreError> {
    let rows = engine.query(&OF_LANE, &[Value::Blob(worker.to_vec()), since.into()]).await?;
    rows.iter().map(|row| read_left(row).map(|(sealed, _)| sealed)).collect()
}

/// A place among the rows of all workers.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    at: i64,
    row: RowId,
}

impl Cursor {
    /// Before the first row.
    pub(crate) const fn start() -> Self {
        Self { at: -1, row: RowId { worker: [0; 16], number: 0 } }
    }
}

/// What asks for rows that were written up to a moment, behind a place.
pub(crate) fn left(whose: Whose, after: &Cursor, limit: usize) -> (&'static Statement, Vec<Value>) {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let place = [after.at.into(), Value::Blob(after.row.worker.to_vec()), after.row.number.into()];
    match whose {
        Whose::Before(moment) => (&LEFT, [moment.into()].into_iter().chain(place).chain([limit.into()]).collect()),
        Whose::TheDead => (&OF_THE_DEAD, place.into_iter().chain([limit.into()]).collect()),
        Whose::Life(token) => {
            let mark = Value::Blob(token.to_be_bytes().to_vec());
            (&OWN, place.into_iter().chain([mark, limit.into()]).collect())
        }
    }
}

/// Whose rows are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    /// Everybody's, if they were written before this.
    Before(Time),
    /// Those of lives that were declared dead.
    TheDead,
    /// Those of one life.
    Life(i64),
}

/// The worker that stands in a life's rows, for one of its lanes.
pub(crate) fn worker_of(token: i64, lane: usize) -> [u8; 16] {
    let mut worker = [0; 16];
    worker[..8].copy_from_slice(&token.to_be_bytes());
    worker[8..].copy_from_slice(&(lane as u64).to_be_bytes());
    worker
}

/// Reads a row that some worker left.
pub(crate) fn read_left(row: &Row) -> Result<(Sealed, Cursor), StoreError> {
    let worker = row.blob(1)?.try_into().map_err(|_| StoreError::Row("a worker in the outbox can't be read".into()))?;
    let id = RowId { worker, number: row.int(2)? };
    Ok((Sealed { id, events: wire::read(row.blob(3)?)? }, Cursor { at: row.int(0)?, row: id }))
}
