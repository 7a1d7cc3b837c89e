//! `GET /shop/inventory`: the catalogue, ready as bytes until an event says that it has changed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use headwater_event::{Bus, BusError};
use headwater_service::Reader;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::problem::Problem;
use super::{Front, has_already};
use crate::shop::inventory::tables::CATALOGUE;
use crate::shop::inventory::{PRODUCT_TOPICS, Shown};
use crate::shop::messages::ON_STOCK;

/// How old the catalogue may become when no event says that it has changed: an event may be lost with a foreign engine.
const AGE_MAX: Duration = Duration::from_secs(5);
/// The shortest time between two readings, however fast it changes: 200 readings a second cost a hundredth of a core.
const READ_EVERY: Duration = Duration::from_millis(5);
/// How long is waited before the log is followed again after trouble.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The catalogue.
pub struct Catalogue {
    reader: Reader,
    held: RwLock<Option<Arc<Held>>>,
    /// Counts the changes that were told.
    changes: AtomicU64,
    turn: Mutex<()>,
}

/// It, as it was at a moment.
struct Held {
    bytes: Bytes,
    etag: HeaderValue,
    at: Instant,
    /// How many changes had been told when it was read: with one more it is old.
    changes: u64,
}

impl Catalogue {
    /// The catalogue, and a task that listens for changes until the log is closed.
    pub fn follow(reader: Reader, bus: &Arc<dyn Bus>) -> Arc<Self> {
        let catalogue =
            Arc::new(Self { reader, held: RwLock::default(), changes: AtomicU64::new(0), turn: Mutex::default() });
        tokio::spawn(listen(catalogue.clone(), bus.clone()));
        catalogue
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn held(&self) -> Option<Arc<Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is held, if it is good.
    fn good(&self) -> Option<Arc<Held>> {
        let held = self.held()?;
        (held.changes == self.changes.load(Ordering::Acquire) && held.at.elapsed() < AGE_MAX).then_some(held)
    }

    /// The catalogue as it is now: one reads it for all who wait.
    async fn current(&self) -> Result<Arc<Held>, Problem> {
        if let Some(held) = self.good() {
            return Ok(held);
        }
        let _turn = self.turn.lock().await;
        if let Some(held) = self.good() {
            return Ok(held);
        }
        let before = self.held();
        if let Some(held) = &before {
            sleep_until(held.at + READ_EVERY).await;
        }
        match self.read().await {
            Ok(held) => {
                *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(held.clone());
                Ok(held)
            }
            // An old catalogue, with its age, is better than none.
            Err(problem) => before.ok_or(problem),
        }
    }

    async fn read(&self) -> Result<Arc<Held>, Problem> {
        // Before the reading: what changes while it runs is read once more.
        let (at, changes) = (Instant::now(), self.changes.load(Ordering::Acquire));
        let rows = self.reader.query(&CATALOGUE, &[]).await?;
        let shown = rows.iter().map(Shown::from_row).collect::<Result<Vec<_>, _>>()?;
        let bytes = serde_json::to_vec(&shown).map_err(|error| Problem::broken(error.to_string()))?;
        let etag = format!("\"{}\"", etag_of(&bytes));
        let etag = HeaderValue::try_from(etag).map_err(|error| Problem::broken(error.to_string()))?;
        Ok(Arc::new(Held { bytes: bytes.into(), etag, at, changes }))
    }
}

/// The same bytes have the same tag, on every front.
fn etag_of(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

async fn listen(catalogue: Arc<Catalogue>, bus: Arc<dyn Bus>) {
    let is_change =
        |topic: &str| topic == ON_STOCK || topic.strip_prefix(PRODUCT_TOPICS).is_some_and(|rest| rest.starts_with('/'));
    loop {
        catalogue.changed();
        let Ok(mut tail) = bus.tail(bus.head()) else {
            sleep(AGAIN_AFTER).await;
            continue;
        };
        loop {
            match tail.next(&is_change).await {
                Ok(batch) if batch.events.is_empty() => {}
                Ok(_) => catalogue.changed(),
                Err(BusError::Closed) => return,
                Err(_) => break,
            }
        }
        sleep(AGAIN_AFTER).await;
    }
}

/// `GET /shop/inventory`
pub async fn catalogue(State(front): State<Front>, headers: HeaderMap) -> Result<Response, Problem> {
    let held = front.0.catalogue.current().await?;
    let is_known = held.etag.to_str().is_ok_and(|etag| has_already(&headers, etag));
    let mut response =
        if is_known { StatusCode::NOT_MODIFIED.into_response() } else { held.bytes.clone().into_response() };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, held.etag.clone());
    headers.insert(header::AGE, HeaderValue::from(held.at.elapsed().as_secs()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if !is_known {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(response)
}
