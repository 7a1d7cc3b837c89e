//! Which events were handled already: ids, noted in the transaction that handled them.

use std::collections::HashSet;

use headwater_event::EventId;

use crate::store::Writes;
use crate::store::{Engine, Statement, StoreError, Value};

static CLAIM: Statement = Statement::new("INSERT INTO kit_inbox (id, at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING");
static UNCLAIM: Statement = Statement::new("DELETE FROM kit_inbox WHERE id = $1");
static LOOK: Statement = Statement::new("SELECT id, at FROM kit_inbox WHERE id > $1 ORDER BY id LIMIT $2");

#[cfg(any(test, feature = "testing"))]
pub(crate) static STATEMENTS: [&Statement; 3] = [&CLAIM, &UNCLAIM, &LOOK];

/// How many ids are looked through with one commit while old ones are being forgotten: some pages.
const SWEPT_PER_COMMIT: i64 = 512;

/// What an event's id is in the inbox: a byte for its kind, so that no text can pass for a UUID, then its bytes. UUIDs that
/// were made one after the other stand one after the other, so a batch touches few pages.
pub(crate) fn id_bytes(id: &EventId) -> Vec<u8> {
    match id {
        // Whoever made it: over another engine the one comes as the other.
        EventId::Uuid(uuid) | EventId::Own(uuid) => [&[0], &uuid.as_bytes()[..]].concat(),
        EventId::Numbered { producer, number } => [&[1], &producer.as_bytes()[..], &number.to_be_bytes()].concat(),
        EventId::Text(text) => [&[2], text.as_bytes()].concat(),
    }
}

/// On SQLite, one after the other: a statement there costs no round trip.
pub(crate) fn claim_each(conn: &mut dyn Writes, ids: &[Vec<u8>], at: i64) -> Result<Vec<bool>, StoreError> {
    let mut params = [Value::Null, Value::Int(at)];
    let mut seen = HashSet::with_capacity(ids.len());
    ids.iter()
        .map(|id| {
            if !seen.insert(id) {
                return Ok(false);
            }
            params[0] = Value::Blob(id.clone());
            Ok(conn.execute(&CLAIM, &params)? == 1)
        })
        .collect()
}

/// Takes a claim back: the event was not handled after all.
pub(crate) async fn unclaim(engine: &mut Engine<'_>, id: Vec<u8>) -> Result<(), StoreError> {
    engine.note(&UNCLAIM, vec![Value::Blob(id)]).await
}

/// Forgets ids from before a moment, a few with each commit: begins after `after`, and gives where to go on; `None` when all
/// were looked at.
pub(crate) async fn sweep(engine: &mut Engine<'_>, after: &[u8], before: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let rows = engine.query(&LOOK, &[Value::Blob(after.to_vec()), Value::Int(SWEPT_PER_COMMIT)]).await?;
    for row in &rows {
        if row.int(1)? < before {
            engine.note(&UNCLAIM, vec![Value::Blob(row.blob(0)?.to_vec())]).await?;
        }
    }
    match rows.last() {
        Some(last) if rows.len() as i64 == SWEPT_PER_COMMIT => Ok(Some(last.blob(0)?.to_vec())),
        _ => Ok(None),
    }
}
