//! A few connections that read, beside the lanes.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, PoolError, RecyclingMethod, Runtime, TimeoutType, Timeouts};
use tokio_postgres::{Config, NoTls};

use super::columns::{params, rows_of};
use super::{CONNECT_WAIT, read_error};
use crate::store::{Row, Statement, StoreError, Value};

/// As many as there are lanes by default.
const CONNECTIONS: usize = 4;

/// How long a read waits for a connection that others have.
const TURN_WAIT: Duration = Duration::from_secs(5);

/// Connections for reading.
pub(crate) struct Pool(deadpool_postgres::Pool);

impl Pool {
    pub(super) fn new(mut config: Config) -> Result<Self, StoreError> {
        // A reader that writes is a fault in a program, found at once.
        let options = config.get_options().map_or_else(String::new, |options| format!("{options} "));
        config.options(format!("{options}-c default_transaction_read_only=on"));
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = deadpool_postgres::Pool::builder(Manager::from_config(config, NoTls, recycling))
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: Some(TURN_WAIT), create: Some(CONNECT_WAIT), recycle: Some(CONNECT_WAIT) })
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self(pool))
    }

    pub(crate) async fn query(&self, statement: &Statement, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let client = self.0.get().await.map_err(refused)?;
        let prepared = client.prepare_cached(statement.sql()).await.map_err(read_error)?;
        if prepared.params().len() != values.len() {
            let (wants, has) = (prepared.params().len(), values.len());
            return Err(StoreError::Statement(format!(
                "it wants {wants} parameters and has {has}: {}",
                statement.sql()
            )));
        }
        rows_of(client.query_raw(&prepared, params(values)).await.map_err(read_error)?).await
    }

    pub(crate) async fn prepare_all(&self, statements: &[&'static Statement]) -> Result<(), StoreError> {
        let client = self.0.get().await.map_err(refused)?;
        for statement in statements {
            client.prepare_cached(statement.sql()).await.map_err(|error| match read_error(error) {
                StoreError::Statement(why) => StoreError::Statement(format!("{why}: {}", statement.sql())),
                error => error,
            })?;
        }
        Ok(())
    }
}

fn refused(error: PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => read_error(error),
        PoolError::Timeout(TimeoutType::Wait) => StoreError::Busy("all connections that read are in use".into()),
        other => StoreError::Unavailable(other.to_string()),
    }
}
