//! Whether a server can be used at all, asked once at the start.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::{dial, read_config, read_error};
use crate::store::StoreError;

/// The first version that has all that the tables are made of (generated columns), as the server says it: 10,000 a major version.
const VERSION_MIN: u32 = 120_000;

/// Connects, and asks how old the server is.
pub(in crate::store) async fn reach(config: &str) -> Result<(), StoreError> {
    let mut config = read_config(config)?;
    config.application_name("headwater");
    let client = dial(&config, not_let_in).await?;
    check_version(&client).await
}

/// What the client itself finds wrong before or in the handshake: a URL without the password that is asked for, TLS, which it
/// doesn't speak, a way of logging in that it doesn't know.
const FINAL: [&str; 3] = ["invalid configuration", "error performing TLS handshake", "authentication error"];

async fn check_version(client: &Client) -> Result<(), StoreError> {
    let row = client.query_one("SHOW server_version_num", &[]).await.map_err(read_error)?;
    let said: &str = row.try_get(0).map_err(read_error)?;
    // Relatives that count in another way are as new as they say elsewhere.
    match said.parse::<u32>() {
        Ok(version) if version < VERSION_MIN => Err(StoreError::Refused(format!(
            "it is PostgreSQL {}, and {} or later is needed",
            version / 10_000,
            VERSION_MIN / 10_000
        ))),
        _ => Ok(()),
    }
}

/// Why it doesn't let us in, told apart by whether that passes by itself. For the start alone: of a store that was in use, all
/// of this passes.
pub(super) fn not_let_in(error: tokio_postgres::Error) -> StoreError {
    let Some(said) = error.as_db_error() else {
        let text = error.to_string();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        return match source {
            // What the URL lacks or wants too much of is known before the server says anything.
            Some(source) if FINAL.contains(&text.as_str()) => StoreError::Refused(format!("{text}: {source}")),
            Some(source) if text == "error connecting to server" => StoreError::Unavailable(source),
            _ => read_error(error),
        };
    };
    let code = said.code();
    // The classes of appendix A: who we are, and which database.
    let is_final = code.code().starts_with("28")
        || *code == SqlState::INVALID_CATALOG_NAME
        || *code == SqlState::INSUFFICIENT_PRIVILEGE;
    if is_final { StoreError::Refused(said.message().to_owned()) } else { read_error(error) }
}
