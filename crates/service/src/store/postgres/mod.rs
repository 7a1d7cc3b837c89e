//! PostgreSQL: a schema a service, a connection a lane, a few that read.

mod columns;
mod duties;
mod pool;
mod reach;
mod session;
pub(crate) mod work;

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

pub(crate) use self::duties::Duties;
pub(crate) use self::pool::Pool;
pub(super) use self::reach::reach;
pub(crate) use self::session::Session;
use super::{Pulse, StoreError};

/// How long a server may take to let somebody in.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// After how long without a sign of life a connection is taken for lost: a host that vanishes says nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What a server holds against those who write: how long one waits for a row that others have, and after how long the rows of one
/// who says nothing in the middle of a transaction (a frozen process) are given to others.
const WRITER_OPTIONS: &str = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=300s";

/// The schema of one service.
pub(crate) struct Postgres {
    config: Arc<Config>,
    name: Arc<str>,
    pool: Arc<Pool>,
    pulse: Arc<Pulse>,
}

impl Postgres {
    /// Reaches the server, and makes the schema when there's none.
    pub(super) async fn open(config: &str, name: &str, pulse: &Arc<Pulse>) -> Result<Self, StoreError> {
        let mut config = read_config(config)?;
        config.application_name(format!("headwater {name}"));
        let client = connect(&config).await?;
        let schema =
            client.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&name]).await.map_err(read_error)?;
        if schema.is_empty() {
            // The name was checked: it needs no quotes that could be broken out of.
            let made = client.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS \"{name}\"")).await;
            made.map_err(reach::not_let_in)?;
        }
        // What is prepared and written from here on means this schema alone.
        let options = config.get_options().map_or_else(String::new, |options| format!("{options} "));
        config.options(format!("{options}-c search_path={name}"));
        let pool = Arc::new(Pool::new(config.clone())?);
        Ok(Self { config: Arc::new(config), name: name.into(), pool, pulse: Arc::clone(pulse) })
    }

    pub(super) fn pool(&self) -> Arc<Pool> {
        Arc::clone(&self.pool)
    }

    /// A connection of its own.
    pub(super) async fn connect(&self) -> Result<Client, StoreError> {
        connect(&self.config).await
    }

    /// What programs that change the tables of this schema wait for.
    pub(super) fn lock_name(&self) -> String {
        format!("headwater/{}", self.name)
    }

    /// A connection that writes, behind the fence of a life; made with its first transaction, and anew when it was lost.
    pub(super) fn session(&self, life: Option<i64>) -> Session {
        let mut config = Config::clone(&self.config);
        let options = config.get_options().unwrap_or_default().to_owned();
        config.options(format!("{options} {WRITER_OPTIONS}"));
        if let Some(life) = life {
            config.application_name(duties::session_name(life, &self.name));
        }
        Session::new(Arc::new(config), Arc::clone(&self.name), Arc::clone(&self.pulse), life)
    }

    /// A connection for keeping duties.
    pub(crate) async fn duties(&self) -> Result<Duties, StoreError> {
        Duties::open(&self.config).await
    }

    /// A connection for the parts of a life.
    pub(crate) async fn work(&self) -> Result<work::Work, StoreError> {
        work::Work::open(&self.config).await
    }
}

/// A URL, with how long we wait for its server.
fn read_config(url: &str) -> Result<Config, StoreError> {
    let mut config: Config =
        url.parse().map_err(|error| StoreError::Url(format!("the store's URL can't be read: {error}")))?;
    config.connect_timeout(CONNECT_WAIT).keepalives_idle(SILENCE_MAX / 2).tcp_user_timeout(SILENCE_MAX);
    Ok(config)
}

/// A connection, served by a task on the runtime of the caller.
async fn connect(config: &Config) -> Result<Client, StoreError> {
    dial(config, read_error).await
}

/// The same; why there's none is read by whoever asks.
async fn dial(config: &Config, read: fn(tokio_postgres::Error) -> StoreError) -> Result<Client, StoreError> {
    let connecting = tokio::time::timeout(CONNECT_WAIT, config.connect(NoTls));
    let connected = connecting.await.map_err(|_| StoreError::Unavailable("the server gives no answer".into()))?;
    let (client, connection) = connected.map_err(read)?;
    tokio::spawn(async move {
        // Whoever uses the client hears of it.
        if let Err(error) = connection.await {
            tracing::debug!("a connection to PostgreSQL ended: {error}");
        }
    });
    Ok(client)
}

/// What PostgreSQL said, sorted by what can be done about it.
pub(super) fn read_error(error: tokio_postgres::Error) -> StoreError {
    let Some(said) = error.as_db_error() else {
        let text = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        // A parameter that doesn't fit its column is found before anything is sent.
        return if is_mismatch(&error) { StoreError::Statement(text) } else { StoreError::Unavailable(text) };
    };
    let text = match said.detail() {
        Some(detail) => format!("{} ({detail})", said.message()),
        None => said.message().to_owned(),
    };
    let code = said.code();
    let is_busy = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::IN_FAILED_SQL_TRANSACTION,
        SqlState::QUERY_CANCELED,
        // A table that a migration of another process is changing right now.
        SqlState::OBJECT_IN_USE,
    ];
    if is_busy.contains(code) {
        return StoreError::Busy(text);
    }
    // The classes of appendix A: connection, resources (disk full, too many connections), intervention (shutdown), system.
    match &code.code()[..2] {
        "23" => StoreError::Constraint(text),
        "08" | "53" | "57" | "58" | "XX" => StoreError::Unavailable(text),
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::Unavailable(text),
        _ if code.code().starts_with("28") => StoreError::Unavailable(text),
        _ => StoreError::Statement(text),
    }
}

fn is_mismatch(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    text.starts_with("error serializing parameter") || text.starts_with("error deserializing column")
}
