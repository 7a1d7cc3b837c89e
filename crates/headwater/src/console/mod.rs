//! The console: the page at `/`, and the routes below `/v1/admin` that it lives on, described in `docs/console.md`.
//!
//! Every route asks for rights in one place ([`rights`]), gives a page of a bounded size, and does work that doesn't grow
//! with the number of connections, groups or topics.

mod api;
mod hint;
mod page;
mod rights;
mod spelling;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::{Router, middleware};
use headwater_edge::accept::{AcceptCounts, Stopping};
use headwater_edge::http::Logins;
use headwater_edge::mqtt;
use headwater_event::Bus;
use headwater_eventlog::EventLog;
use headwater_hub::Hub;
use headwater_service::Store;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::{App, Open};
use crate::nodes::Nodes;

pub use spelling::moment;

/// How many pages may follow the tail at once: each reads the log for itself.
const TAILS_MAX: usize = 16;

/// How many requests may read back in the log at once: reading must not take the disk from those who write.
const READINGS_MAX: usize = 2;

/// What the console is told by the program.
pub struct Facts {
    /// Protocol and address of every listener.
    pub listening: Vec<(&'static str, SocketAddr)>,
    /// What each listener counts.
    pub counts: Vec<(&'static str, Arc<AcceptCounts>)>,
    /// The applications that run.
    pub apps: Vec<App>,
    /// Whether everybody may everything.
    pub open: Open,
    /// The log in the data folder, where the engine is the embedded one: the console tells its size.
    pub embedded: Option<Arc<EventLog>>,
    /// The logins of browsers.
    pub logins: Logins,
    /// Where MQTT's sessions are; `None` where nobody speaks it.
    pub mqtt: Option<mqtt::Front>,
    /// This process and the others.
    pub nodes: Arc<Nodes>,
    /// The stores of services that are open here.
    pub stores: Vec<Store>,
    /// Tells the pages that follow something to let go when the program ends.
    pub stopping: Stopping,
}

/// What all routes share.
#[derive(Clone)]
struct Console(Arc<Shared>);

struct Shared {
    hub: Arc<Hub>,
    log: Arc<dyn Bus>,
    facts: Facts,
    begun: Instant,
    tails: Arc<Semaphore>,
    readings: Semaphore,
    slowest: api::Slowest,
}

/// The console's routes.
pub fn routes(hub: Arc<Hub>, log: Arc<dyn Bus>, facts: Facts) -> Router {
    let console = Console(Arc::new(Shared {
        hub,
        log,
        facts,
        begun: Instant::now(),
        tails: Arc::new(Semaphore::new(TAILS_MAX)),
        readings: Semaphore::new(READINGS_MAX),
        slowest: api::Slowest::default(),
    }));
    let guard = middleware::from_fn_with_state(console.clone(), rights::guard);
    api::guarded().layer(guard).merge(api::free()).with_state(console).merge(page::routes())
}
