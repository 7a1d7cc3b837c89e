//! What a start does about a server that isn't there: it says so and ends, or tries again for as long as the settings say.

use std::time::Duration;

use headwater_link::LinkError;
use headwater_service::StoreError;

use crate::exit;
use crate::retry::Retry;

/// Why a server that the settings name can't be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Away {
    /// It can't be reached now; trying again may help.
    Passing(String),
    /// It says no, until somebody has changed something.
    Final(String),
}

impl From<LinkError> for Away {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unreachable(why) => Self::Passing(why),
            other => Self::Final(other.to_string()),
        }
    }
}

impl Away {
    /// Of a store, whose address goes in front.
    pub fn store(url: &str, error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => Self::Passing(format!("the store {url} can't be reached: {why}")),
            StoreError::Refused(why) => Self::Final(format!("the store {url} refuses us: {why}")),
            other if other.is_passing() => Self::Passing(format!("the store {url} can't be used: {other}")),
            other => Self::Final(format!("the store {url} can't be used: {other}")),
        }
    }
}

/// The patience of one start, for all servers together.
pub struct StartWait {
    wait: Duration,
    retry: Retry,
}

impl StartWait {
    /// Waits for so long in all.
    pub const fn new(wait: Duration) -> Self {
        Self { wait, retry: Retry::new(wait) }
    }

    /// Tries until the server is there, with back-off, and says once that it waits.
    ///
    /// # Errors
    /// Usage, in one sentence: it says no, or can't be reached for longer than the settings say.
    pub async fn reach<T>(&mut self, mut attempt: impl AsyncFnMut() -> Result<T, Away>) -> anyhow::Result<T> {
        let mut is_told = false;
        loop {
            let why = match attempt().await {
                Ok(there) => return Ok(there),
                Err(Away::Final(why)) => return exit::usage(why),
                Err(Away::Passing(why)) => why,
            };
            if self.wait.is_zero() {
                return exit::usage(why);
            }
            if !is_told {
                is_told = true;
                tracing::warn!("{why}; it's tried again for up to {} s (start_wait)", self.wait.as_secs_f64());
            }
            if !self.retry.wait().await {
                return exit::usage(format!("{why}; it was waited for {} s (start_wait)", self.wait.as_secs_f64()));
            }
        }
    }
}
