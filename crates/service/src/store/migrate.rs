//! Tables come to be: ordered steps, each in a transaction of its own, each carried out once.

use std::borrow::Cow;
use std::hash::Hasher as _;

use rusqlite::{Connection, OptionalExtension as _};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::{Kind, Migration, Store, StoreError};

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS kit_migration (name TEXT PRIMARY KEY, checksum TEXT NOT NULL, at BIGINT NOT NULL)";

/// A step as this engine reads it.
struct Step<'a> {
    name: &'static str,
    sql: Cow<'a, str>,
    checksum: String,
}

impl Store {
    /// Carries out the steps that this store doesn't have yet. Two programs that start at once do each of them once.
    pub(crate) async fn migrate(
        &self,
        kit: &'static [Migration],
        own: &'static [Migration],
        at: i64,
    ) -> Result<(), StoreError> {
        let steps = steps(kit, own)?;
        match &self.0.kind {
            Kind::Sqlite(sqlite) => sqlite.writer().alone(move |conn| on_sqlite(conn, &steps, at)).await,
            Kind::Postgres(postgres) => postgres.migrate(&steps, at).await,
        }
    }
}

fn steps(kit: &'static [Migration], own: &'static [Migration]) -> Result<Vec<Step<'static>>, StoreError> {
    for pair in own.windows(2) {
        if pair[0].name >= pair[1].name {
            let (before, after) = (pair[0].name, pair[1].name);
            return Err(StoreError::Migration(format!(
                "the migration {after} stands after {before}: their names must be in ascending order"
            )));
        }
    }
    if let Some(step) = own.iter().find(|step| kit.iter().any(|kit| kit.name == step.name)) {
        return Err(StoreError::Migration(format!("the name {} is the kit's", step.name)));
    }
    let all = kit.iter().chain(own);
    Ok(all.map(|step| Step { name: step.name, sql: step.sql.into(), checksum: checksum(step.sql) }).collect())
}

/// What a step's text is recognised by. How lines end is not part of it: a checkout may have changed that.
fn checksum(sql: &str) -> String {
    let mut hasher = SipHasher24::new_with_key(b"headwater/migrat");
    hasher.write(sql.replace("\r\n", "\n").as_bytes());
    format!("{:032x}", hasher.finish128().as_u128())
}

/// What was carried out before is left; what has changed since is refused.
fn is_done(step: &Step<'_>, known: Option<&str>) -> Result<bool, StoreError> {
    match known {
        None => Ok(false),
        Some(checksum) if checksum == step.checksum => Ok(true),
        Some(_) => Err(StoreError::Migration(format!(
            "the migration {} has changed since it was carried out on this store: put it back as it was, and write the \
             change as a new one",
            step.name
        ))),
    }
}

/// What is known here and not there: the store was used by a later version of the program.
fn check_unknown<'a>(steps: &[Step<'_>], known: impl Iterator<Item = &'a str>) -> Result<(), StoreError> {
    for name in known {
        if !steps.iter().any(|step| step.name == name) {
            return Err(StoreError::Migration(format!(
                "the store has the migration {name}, which this program doesn't know: it was used by a later version"
            )));
        }
    }
    Ok(())
}

fn failed(step: &Step<'_>, error: StoreError) -> StoreError {
    match error {
        error if error.is_passing() => error,
        error => StoreError::Migration(format!("the migration {} failed, and nothing of it stays: {error}", step.name)),
    }
}

fn on_sqlite(conn: &Connection, steps: &[Step<'_>], at: i64) -> Result<(), StoreError> {
    let read = super::sqlite::read_error;
    conn.execute_batch(TABLE).map_err(read)?;
    for step in steps {
        // The lock first: another program may be at the same step.
        conn.execute_batch("BEGIN IMMEDIATE").map_err(read)?;
        let carried_out = carry_out(conn, step, at).and_then(|()| conn.execute_batch("COMMIT").map_err(read));
        if let Err(error) = carried_out {
            if !conn.is_autocommit() {
                conn.execute_batch("ROLLBACK").map_err(read)?;
            }
            return Err(failed(step, error));
        }
    }
    let mut names = conn.prepare("SELECT name FROM kit_migration ORDER BY name").map_err(read)?;
    let names: Result<Vec<String>, _> = names.query_map([], |row| row.get(0)).map_err(read)?.collect();
    check_unknown(steps, names.map_err(read)?.iter().map(String::as_str))
}

fn carry_out(conn: &Connection, step: &Step<'_>, at: i64) -> Result<(), StoreError> {
    let read = super::sqlite::read_error;
    let known: Option<String> = conn
        .query_row("SELECT checksum FROM kit_migration WHERE name = ?1", [step.name], |row| row.get(0))
        .optional()
        .map_err(read)?;
    if is_done(step, known.as_deref())? {
        return Ok(());
    }
    // What only SQLite reads stands in comments of the kit's own steps.
    let sql = step.sql.replace("/*sqlite:", "").replace(":sqlite*/", "");
    conn.execute_batch(&sql).map_err(read)?;
    let noted = "INSERT INTO kit_migration (name, checksum, at) VALUES (?1, ?2, ?3)";
    conn.execute(noted, (step.name, &step.checksum, at)).map(drop).map_err(read)
}

impl super::postgres::Postgres {
    async fn migrate(&self, steps: &[Step<'_>], at: i64) -> Result<(), StoreError> {
        let client = self.connect().await?;
        let read = super::postgres::read_error;
        // Held by this connection: another program that starts waits here, and a broken one lets go.
        client.execute("SELECT pg_advisory_lock(hashtext($1))", &[&self.lock_name()]).await.map_err(read)?;
        client.batch_execute(TABLE).await.map_err(read)?;
        let rows = client.query("SELECT name, checksum FROM kit_migration", &[]).await.map_err(read)?;
        let known: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        check_unknown(steps, known.iter().map(|(name, _)| name.as_str()))?;
        for step in steps {
            let checksum = known.iter().find(|(name, _)| name == step.name).map(|(_, checksum)| checksum.as_str());
            if is_done(step, checksum)? {
                continue;
            }
            // One text is one transaction, and what fails in it undoes all of it.
            let (name, sum) = (step.name.replace('\'', "''"), &step.checksum);
            let noted = format!("INSERT INTO kit_migration (name, checksum, at) VALUES ('{name}', '{sum}', {at})");
            let sql = format!("BEGIN;\n{}\n;{noted};\nCOMMIT;", step.sql);
            client.batch_execute(&sql).await.map_err(|error| failed(step, read(error)))?;
        }
        Ok(())
    }
}
