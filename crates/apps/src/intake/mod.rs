//! `intake`: acknowledged message logging. The page `/intake/` with the live tail, search, and who sends how much.
//!
//! Messages come in by the frame protocol and lie on `intake/{client_id}`; here they are only read. Nothing is read while
//! nobody looks: the page's first request begins to count, and a minute after the last one it ends.

mod api;
mod board;
mod follow;
mod live;
mod search;
mod tally;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use headwater_event::{Clock, EventId, Filter, ProducerId, Recorded};
use headwater_hub::Hub;
use tokio::sync::Semaphore;

use follow::Follower;

use crate::page;

/// How many pages may watch the tail at once; each costs a connection and a wake-up ten times a second.
const VIEWERS_MAX: usize = 256;
/// How many searches may read the log at once: reading must not take the disk from those who write.
const SEARCHES_MAX: usize = 2;

/// What the application is told by the program.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// Where the frame protocol listens, for the page to tell; `None` when it doesn't.
    pub frames: Option<String>,
    /// What time it is.
    pub clock: Clock,
}

impl Default for IntakeSettings {
    fn default() -> Self {
        Self { frames: None, clock: Clock::system() }
    }
}

/// The page and its files.
const PAGE: page::Files = &[
    ("", include_bytes!("page/index.html")),
    ("intake.js", include_bytes!("page/intake.js")),
    ("intake.css", include_bytes!("page/intake.css")),
    ("icon.svg", include_bytes!("page/icon.svg")),
    ("htm-preact.js", crate::HTM_PREACT),
];

/// What all handlers share.
#[derive(Clone)]
struct Intake(Arc<Shared>);

struct Shared {
    hub: Arc<Hub>,
    settings: IntakeSettings,
    follower: Arc<Follower>,
    viewers: Arc<Semaphore>,
    searches: Semaphore,
}

/// The application's routes, all below `/intake`.
pub fn routes(hub: Arc<Hub>, settings: IntakeSettings) -> Router {
    let intake = Intake(Arc::new(Shared {
        follower: Follower::new(hub.clone(), settings.clock.clone()),
        hub,
        settings,
        viewers: Arc::new(Semaphore::new(VIEWERS_MAX)),
        searches: Semaphore::new(SEARCHES_MAX),
    }));
    page::routes("/intake", PAGE)
        .route("/intake/api/summary", get(api::summary))
        .route("/intake/api/clients", get(api::clients))
        .route("/intake/api/search", get(api::search))
        .route("/intake/api/live", get(live::live))
        .with_state(intake)
}

/// Everything that clients have sent.
fn all_messages() -> Filter {
    Filter::new("intake/+").expect("a constant that is a filter")
}

/// Who sent it, and under which number; `None` for what another edge published there.
const fn sender(recorded: &Recorded) -> Option<(ProducerId, u64)> {
    match recorded.event.id {
        EventId::Numbered { producer, number } => Some((producer, number)),
        _ => None,
    }
}
