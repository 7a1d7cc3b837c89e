//! How many requests of sources were taken and refused.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;

use super::answer::{self, Problem};
use super::{Alerts, board};

/// The counts, since the process began.
#[derive(Debug, Default)]
pub struct Counts {
    taken: AtomicU64,
    malformed: AtomicU64,
    refused: AtomicU64,
}

#[derive(Serialize)]
struct Told {
    taken: u64,
    malformed: u64,
    refused: u64,
}

impl Counts {
    /// Counts how a request was answered.
    pub fn note(&self, taken: &Result<(), Problem>) {
        let count = match taken {
            Ok(()) => &self.taken,
            Err(problem) if problem.is_malformed() => &self.malformed,
            Err(_) => &self.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// `GET /alerts/api/counts`
pub async fn counts(State(alerts): State<Alerts>, request: Request) -> Result<Response, Problem> {
    board::may_watch(&alerts, request.extensions())?;
    let counts = &alerts.0.counts;
    let told = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Ok(answer::ok(&Told {
        taken: told(&counts.taken),
        malformed: told(&counts.malformed),
        refused: told(&counts.refused),
    }))
}
