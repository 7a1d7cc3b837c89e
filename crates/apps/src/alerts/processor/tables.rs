//! The processor's tables: every statement, once, for both engines.

use headwater_service::{Migration, Statement};

/// How the tables came to be.
pub static MIGRATIONS: &[Migration] = &[Migration { name: "001_alerts", sql: include_str!("001_alerts.sql") }];

/// Takes the row of a place for this transaction: on PostgreSQL a timer may want it at the same moment.
pub static HOLD_ACTIVE: Statement =
    Statement::new("UPDATE active SET ends = ends WHERE lane = $1 AND stage = $2 AND location = $3");
/// What is active at a place.
pub static ACTIVE: Statement = Statement::new(
    "SELECT kind, sent, ends, since, updated, on_air, behind, opened_by, cap, info FROM active \
     WHERE lane = $1 AND stage = $2 AND location = $3",
);
/// What is active at a place from now on.
pub static PUT_ACTIVE: Statement = Statement::new(
    "INSERT INTO active (lane, stage, location, kind, sent, ends, since, updated, on_air, behind, opened_by, cap, info) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
     ON CONFLICT (lane, stage, location) DO UPDATE SET kind = excluded.kind, sent = excluded.sent, ends = excluded.ends, \
     since = excluded.since, updated = excluded.updated, on_air = excluded.on_air, behind = excluded.behind, \
     opened_by = excluded.opened_by, cap = excluded.cap, info = excluded.info",
);
/// Nothing is active there any more.
pub static DROP_ACTIVE: Statement =
    Statement::new("DELETE FROM active WHERE lane = $1 AND stage = $2 AND location = $3");
/// All that is active after this moment, with what the desk said of it.
pub static ALL_ACTIVE: Statement = Statement::new(
    "SELECT a.lane, a.stage, a.location, a.kind, a.sent, a.ends, a.since, a.on_air, a.opened_by, a.info, \
     s.who, s.reason, s.until, k.who, k.reason, k.until FROM active a \
     LEFT JOIN silence s ON s.location = a.location \
     LEFT JOIN acknowledged k ON k.lane = a.lane AND k.location = a.location \
     WHERE a.ends > $1 ORDER BY a.ends, a.location LIMIT $2",
);
/// When a report of this content came last.
pub static RECENT: Statement = Statement::new("SELECT at FROM recent WHERE location = $1 AND content = $2");
/// A report of this content has come.
pub static PUT_RECENT: Statement = Statement::new(
    "INSERT INTO recent (location, content, at) VALUES ($1, $2, $3) \
     ON CONFLICT (location, content) DO UPDATE SET at = excluded.at",
);
/// Forgets the contents of a place that are older.
pub static FORGET_RECENT: Statement = Statement::new("DELETE FROM recent WHERE location = $1 AND at <= $2");
/// Takes the row of a message for this transaction, and makes it where there is none.
pub static HOLD_CAP: Statement = Statement::new(
    "INSERT INTO cap_seen (identity, ended, at) VALUES ($1, 0, $2) \
     ON CONFLICT (identity) DO UPDATE SET ended = cap_seen.ended",
);
/// Whether a message was ended.
pub static CAP_ENDED: Statement = Statement::new("SELECT ended FROM cap_seen WHERE identity = $1");
/// A message is no longer in force.
pub static END_CAP: Statement = Statement::new("UPDATE cap_seen SET ended = 1 WHERE identity = $1");
/// A message speaks of an area.
pub static PUT_CAP_AREA: Statement = Statement::new(
    "INSERT INTO cap_area (identity, location) VALUES ($1, $2) ON CONFLICT (identity, location) DO NOTHING",
);
/// The areas that a message speaks of.
pub static CAP_AREAS: Statement = Statement::new("SELECT location FROM cap_area WHERE identity = $1 ORDER BY location");
/// Forgets them.
pub static DROP_CAP_AREAS: Statement = Statement::new("DELETE FROM cap_area WHERE identity = $1");
/// Forgets messages that were seen longer ago.
pub static FORGET_CAP: Statement = Statement::new("DELETE FROM cap_seen WHERE at < $1");
/// Forgets the areas of those.
pub static FORGET_CAP_AREAS: Statement =
    Statement::new("DELETE FROM cap_area WHERE identity IN (SELECT identity FROM cap_seen WHERE at < $1)");
/// The silence over a place.
pub static SILENCE: Statement = Statement::new("SELECT until FROM silence WHERE location = $1");
/// Silence over a place.
pub static PUT_SILENCE: Statement = Statement::new(
    "INSERT INTO silence (location, who, reason, at, until) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (location) DO UPDATE SET who = excluded.who, reason = excluded.reason, at = excluded.at, until = excluded.until",
);
/// The silence ends.
pub static DROP_SILENCE: Statement = Statement::new("DELETE FROM silence WHERE location = $1 AND until <= $2");
/// All silences after this moment.
pub static SILENCES: Statement = Statement::new(
    "SELECT location, who, reason, at, until FROM silence WHERE until > $1 ORDER BY until, location LIMIT $2",
);
/// Somebody has taken note.
pub static PUT_ACKNOWLEDGED: Statement = Statement::new(
    "INSERT INTO acknowledged (lane, location, who, reason, at, until) VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (lane, location) DO UPDATE SET who = excluded.who, reason = excluded.reason, at = excluded.at, \
     until = excluded.until",
);
/// There is nothing to take note of any more.
pub static DROP_ACKNOWLEDGED: Statement = Statement::new("DELETE FROM acknowledged WHERE lane = $1 AND location = $2");
/// On record.
pub static PUT_AUDIT: Statement = Statement::new(
    "INSERT INTO audit (id, at, who, what, lane, location, kind, sent, ends, opened_by, detail) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING",
);
/// The record, newest first, before a moment.
pub static AUDIT: Statement = Statement::new(
    "SELECT id, at, who, what, lane, location, kind, sent, ends, opened_by, detail FROM audit \
     WHERE at < $1 ORDER BY at DESC, id DESC LIMIT $2",
);
/// One entry of it.
pub static AUDIT_ENTRY: Statement = Statement::new(
    "SELECT id, at, who, what, lane, location, kind, sent, ends, opened_by, detail FROM audit WHERE id = $1",
);
/// What was sent to the public of late, newest first.
pub static SENT: Statement = Statement::new(
    "SELECT id, at, who, what, lane, location, kind, sent, ends, opened_by, detail FROM audit \
     WHERE lane = $1 AND what IN ('open', 'close', 'update', 'all-clear') ORDER BY at DESC, id DESC LIMIT $2",
);
/// Forgets older entries.
pub static FORGET_AUDIT: Statement = Statement::new("DELETE FROM audit WHERE at < $1");

/// All of them, for the test that prepares each on both engines.
pub static STATEMENTS: &[&Statement] = &[
    &HOLD_ACTIVE,
    &ACTIVE,
    &PUT_ACTIVE,
    &DROP_ACTIVE,
    &ALL_ACTIVE,
    &RECENT,
    &PUT_RECENT,
    &FORGET_RECENT,
    &HOLD_CAP,
    &CAP_ENDED,
    &END_CAP,
    &PUT_CAP_AREA,
    &CAP_AREAS,
    &DROP_CAP_AREAS,
    &FORGET_CAP,
    &FORGET_CAP_AREAS,
    &SILENCE,
    &PUT_SILENCE,
    &DROP_SILENCE,
    &SILENCES,
    &PUT_ACKNOWLEDGED,
    &DROP_ACKNOWLEDGED,
    &PUT_AUDIT,
    &AUDIT,
    &AUDIT_ENTRY,
    &SENT,
    &FORGET_AUDIT,
];
