//! `alerts`: public alerts, from those who raise them to everybody who is connected.
//!
//! The *listener* takes reports and CAP messages by HTTP and answers when they are on disk ([`listener`]); the *processor* is
//! a service that makes of them what is told ([`processor()`]); the *notifier* shows what is told and what is active: a page,
//! JSON, Atom and CAP. What reaches phones and pages live is the hub's own fan-out of `alerts/#`, on every protocol.

mod answer;
mod board;
pub mod cap;
mod counts;
mod feed;
mod incoming;
mod keys;
pub mod lane;
mod listener;
pub mod moment;
pub mod place;
mod processor;
pub mod report;
pub mod topics;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::{Extensions, request};
use axum::routing::{get, post};
use headwater_event::{Clock, Principal};
use headwater_hub::Hub;
use headwater_service::Reader;

pub use processor::{MIXED, NAME, ProcessorSettings, processor, tables};

use keys::Keys;

use crate::page;

/// Finds out from what the edge has put beside a request who sends it.
pub type Who = Arc<dyn Fn(&Extensions) -> Principal + Send + Sync>;

/// What the application is told by the program.
#[derive(Clone)]
pub struct AlertsSettings {
    /// Whether this process takes reports.
    pub listener: bool,
    /// Whether this process shows what is told; it needs a reader of the processor's store for it.
    pub notifier: Option<Reader>,
    /// Who sends a request.
    pub who: Who,
    /// What time it is.
    pub clock: Clock,
    /// The `sender` of CAP messages that this program writes.
    pub cap_sender: String,
}

impl AlertsSettings {
    /// A sender that is nobody's: whoever sends CAP to others says who they are.
    pub const CAP_SENDER: &str = "headwater@localhost";
}

impl Default for AlertsSettings {
    fn default() -> Self {
        Self {
            listener: true,
            notifier: None,
            who: Arc::new(|_| Principal::anonymous()),
            clock: Clock::system(),
            cap_sender: Self::CAP_SENDER.to_owned(),
        }
    }
}

impl fmt::Debug for AlertsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertsSettings")
            .field("listener", &self.listener)
            .field("notifier", &self.notifier.is_some())
            .field("cap_sender", &self.cap_sender)
            .finish_non_exhaustive()
    }
}

/// The page and its files.
const PAGE: page::Files = &[
    ("", include_bytes!("page/index.html")),
    ("alerts.css", include_bytes!("page/alerts.css")),
    ("icon.svg", include_bytes!("page/icon.svg")),
    ("map.LICENSE", include_bytes!("page/map.LICENSE")),
    ("alarm.js", include_bytes!("page/alarm.js")),
    ("alerts.js", include_bytes!("page/alerts.js")),
    ("chart.js", include_bytes!("page/chart.js")),
    ("desk.js", include_bytes!("page/desk.js")),
    ("live.js", include_bytes!("page/live.js")),
    ("map.js", include_bytes!("page/map.js")),
    ("model.js", include_bytes!("page/model.js")),
    ("places.js", include_bytes!("page/places.js")),
    ("simulator.js", include_bytes!("page/simulator.js")),
    ("htm-preact.js", crate::HTM_PREACT),
];

/// What all handlers share.
#[derive(Clone)]
struct Alerts(Arc<Shared>);

struct Shared {
    hub: Arc<Hub>,
    settings: AlertsSettings,
    keys: Keys,
    counts: counts::Counts,
}

impl Alerts {
    fn who(&self, head: &request::Parts) -> Principal {
        (self.0.settings.who)(&head.extensions)
    }
}

/// The application's routes: `/api/alerts`, and all below `/alerts`.
pub fn routes(hub: Arc<Hub>, settings: AlertsSettings) -> Router {
    let (listens, shows) = (settings.listener, settings.notifier.is_some());
    let alerts = Alerts(Arc::new(Shared { hub, settings, keys: Keys::default(), counts: counts::Counts::default() }));
    let mut routes = Router::new();
    if listens {
        for path in ["/api/alerts", "/api/alerts/", "/alerts/api/alerts", "/alerts/api/alerts/"] {
            routes = routes.route(path, post(listener::alerts));
        }
        routes = routes
            .route("/alerts/api/counts", get(counts::counts))
            .route("/alerts/api/cap", post(listener::cap))
            .route("/alerts/api/silences", post(listener::silence))
            .route("/alerts/api/acknowledgements", post(listener::acknowledge));
    }
    if shows {
        routes = routes
            .route("/alerts/api/active", get(board::active))
            .route("/alerts/api/record", get(board::record))
            .route("/alerts/feed.atom", get(feed::atom))
            .route("/alerts/cap/{id}", get(feed::cap))
            .merge(page::routes("/alerts", PAGE));
    }
    routes.with_state(alerts)
}
