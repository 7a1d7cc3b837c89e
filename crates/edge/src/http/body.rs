//! A request's body: bounded in length before it is read where its length is told, while it is read where not, and in time.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use headwater_event::Refusal;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::time::timeout;

use super::first::too_slow;
use super::limits::Limits;
use super::problem::Problem;

/// How many bytes the client says that it will send; 0 when it doesn't say.
pub(super) fn told_len(body: &Body) -> usize {
    usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX)
}

/// Reads all of it.
///
/// # Errors
/// 413 beyond `max`, 408 when it takes too long, 400 when it breaks off.
pub(super) async fn read(body: Body, max: usize, limits: &Limits) -> Result<Bytes, Problem> {
    if told_len(&body) > max {
        return Err(Refusal::TooLarge { max }.into());
    }
    match timeout(limits.body, read_bounded(body, max)).await {
        Ok(read) => read,
        Err(_) => Err(too_slow("the body", limits.body)),
    }
}

async fn read_bounded(mut body: Body, max: usize) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::malformed("the body broke off"))?;
        // Trailers have nothing to say here.
        let Ok(piece) = frame.into_data() else { continue };
        if first.len() + all.len() + piece.len() > max {
            return Err(Refusal::TooLarge { max }.into());
        }
        // Most bodies are one piece, which needs no copy.
        if first.is_empty() && all.is_empty() {
            first = piece;
            continue;
        }
        all.extend_from_slice(&std::mem::take(&mut first));
        all.extend_from_slice(&piece);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
