//! What an acknowledgement of a NATS server means, asked of it.
//!
//! JetStream writes and acknowledges; whether it has synced depends on `sync_interval` (two minutes by default), which only
//! the server's monitoring page tells. Several replicas make it a quorum's.

use std::time::Duration;

use headwater_event::Durability;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long the monitoring page may take, and how long it may be.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
const ANSWER_LEN_MAX: u64 = 1 << 20;

/// Before this version acknowledged messages could be lost.
pub(super) const VERSION_MIN: [u32; 3] = [2, 10, 23];

/// Fewer replicas are no quorum that outlives a machine.
const REPLICAS_MIN: usize = 3;

/// What it means with so many replicas, as far as the page at `monitor` (`HOST:PORT`) tells.
///
/// # Errors
/// Why the page can't be read, and whether that may pass.
pub(super) async fn durability(replicas: usize, monitor: Option<&str>) -> Result<Durability, NoPage> {
    let always = match monitor {
        Some(place) => syncs_always(place).await?,
        None => false,
    };
    Ok(match (always, replicas >= REPLICAS_MIN) {
        (true, _) => Durability::Synced,
        (false, true) => Durability::Quorum,
        (false, false) => Durability::Written,
    })
}

/// Why there's no monitoring page, in words that follow "the engine ...".
pub(super) enum NoPage {
    /// Nobody answers.
    Unreachable(String),
    /// What answers is something else.
    Other(String),
}

async fn syncs_always(place: &str) -> Result<bool, NoPage> {
    let asking = async {
        let mut stream = TcpStream::connect(place).await?;
        let request = format!("GET /varz HTTP/1.0\r\nHost: {place}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = match tokio::time::timeout(ANSWER_TIME_MAX, asking).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            return Err(NoPage::Unreachable(format!("has a monitoring page at {place} that can't be read: {error}")));
        }
        Err(_) => return Err(NoPage::Unreachable(format!("has a monitoring page at {place} that doesn't answer"))),
    };
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| &answer[at + 4..]).unwrap_or_default();
    let page: Value = serde_json::from_slice(body).map_err(|_| {
        NoPage::Other(format!("has no monitoring page at {place}: what answers there is something else"))
    })?;
    Ok(page.pointer("/jetstream/config/sync_always").and_then(Value::as_bool).unwrap_or(false))
}
