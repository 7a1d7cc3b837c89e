//! A request's body: bounded in length and in time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use headwater_event::Refusal;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::answer::Problem;

/// How long a body may take to come.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Why there is no body.
pub enum Fault {
    /// The hub's own words.
    Refused(Refusal),
    /// Others.
    Problem(Problem),
}

/// Reads all of it.
pub async fn read(body: Body, max: usize) -> Result<Bytes, Fault> {
    match timeout(TIME_MAX, read_bounded(body, max)).await {
        Ok(read) => read,
        Err(_) => Err(Fault::Problem(Problem::too_slow("the body took too long"))),
    }
}

async fn read_bounded(mut body: Body, max: usize) -> Result<Bytes, Fault> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::Problem(Problem::malformed("the body broke off")))?;
        // Trailers have nothing to say here.
        let Ok(piece) = frame.into_data() else { continue };
        if all.len() + piece.len() > max {
            return Err(Fault::Refused(Refusal::TooLarge { max }));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}
