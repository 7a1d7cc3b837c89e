//! The front: HTTP over the other two services. It keeps nothing that a restart could lose: writes go to the log and are
//! answered when durable, reads come from the services' tables, beside those who write there.

mod admin;
mod cancel;
mod catalogue;
mod once;
mod place;
mod problem;
mod status;
mod timeline;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::{Extensions, HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use headwater_event::{Bus, Event, EventId, Headers, Later, Principal, Publication, Receipts, Refusal, Time, Topic};
use headwater_hub::Hub;
use headwater_service::{Reader, Row, Statement, StoreError};
use serde::Serialize;
use tokio::sync::Semaphore;

use catalogue::Catalogue;
use once::Turns;
use problem::Problem;

use super::wire_id::WireId;
use crate::page;

/// The longest body of a request: an order of a thousand lines has 40 KB.
const BODY_LEN_MAX: usize = 64 * 1_024;
/// How many timelines may be read out of the log at once: reading must not take the disk from those who write.
const TIMELINES_MAX: usize = 2;

/// Finds out who sends a request, from what the edge has put beside it.
pub type Callers = Arc<dyn Fn(&Extensions) -> Principal + Send + Sync>;

/// What the front is told by the program.
#[derive(Clone)]
pub struct FrontSettings {
    /// Whether the shop is also served at `/inventory` and `/order`.
    pub root_paths: bool,
    /// The inventory's tables.
    pub inventory: Reader,
    /// The order service's tables.
    pub orders: Reader,
    /// The log, to see when the catalogue has changed and to tell the story of an order.
    pub bus: Arc<dyn Bus>,
    /// Who sends a request.
    pub callers: Callers,
}

impl fmt::Debug for FrontSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontSettings").field("root_paths", &self.root_paths).finish_non_exhaustive()
    }
}

/// The page and its files.
const PAGE: page::Files = &[
    ("", include_bytes!("../page/index.html")),
    ("shop.js", include_bytes!("../page/shop.js")),
    ("shop.css", include_bytes!("../page/shop.css")),
    ("icon.svg", include_bytes!("../page/icon.svg")),
    ("htm-preact.js", crate::HTM_PREACT),
];

/// What all handlers share.
#[derive(Clone)]
struct Front(Arc<Shared>);

struct Shared {
    hub: Arc<Hub>,
    inventory: Reader,
    orders: Reader,
    bus: Arc<dyn Bus>,
    callers: Callers,
    catalogue: Arc<Catalogue>,
    turns: Turns,
    timelines: Semaphore,
}

/// The application's routes; call it inside of a tokio runtime.
pub fn routes(hub: Arc<Hub>, settings: FrontSettings) -> Router {
    let FrontSettings { root_paths, inventory, orders, bus, callers } = settings;
    let catalogue = Catalogue::follow(inventory.clone(), &bus);
    let timelines = Semaphore::new(TIMELINES_MAX);
    let shared = Shared { hub, inventory, orders, bus, callers, catalogue, turns: Turns::default(), timelines };
    let front = Front(Arc::new(shared));
    let mut router = page::routes("/shop", PAGE)
        .route("/shop/api/stock", post(admin::edit_stock))
        .route("/shop/api/orders", get(admin::orders))
        .route("/shop/api/orders/{id}/timeline", get(timeline::timeline))
        .route("/shop/api/audit", get(admin::audit))
        .route("/shop/api/me", get(admin::me));
    for root in if root_paths { &["/shop", ""][..] } else { &["/shop"] } {
        let place = place::At(if root.is_empty() { "/order" } else { "/shop/order" });
        router = router
            .route(&format!("{root}/inventory"), get(catalogue::catalogue))
            .route(&format!("{root}/order"), post(place::place).layer(axum::Extension(place)))
            .route(&format!("{root}/order/{{id}}"), get(status::status).delete(cancel::cancel));
    }
    router.layer(DefaultBodyLimit::max(BODY_LEN_MAX)).with_state(front)
}

impl Front {
    fn who(&self, extensions: &Extensions) -> Principal {
        (self.0.callers)(extensions)
    }

    /// Lets an administrator through.
    fn admin(&self, extensions: &Extensions) -> Result<Principal, Problem> {
        let who = self.who(extensions);
        if self.0.hub.access().may_administer(&who) {
            return Ok(who);
        }
        Err(Problem::of(Refusal::NotAllowed, &who, &self.0.hub))
    }

    /// Publishes one event in the caller's name. When the inner future gives `Ok`, it is durable.
    fn publish(
        &self,
        who: &Principal,
        topic: &'static str,
        id: EventId,
        body: &impl Serialize,
    ) -> Result<Later<'static, Result<Receipts, headwater_event::Refusal>>, Problem> {
        let payload = serde_json::to_vec(body).map_err(|error| Problem::broken(error.to_string()))?;
        let event = Event {
            id,
            topic: Topic::new(topic).expect("a constant that is a topic"),
            headers: Headers::from_pairs([(Headers::CONTENT_TYPE, "application/json")]).expect("a short header"),
            payload: payload.into(),
            at: Time::default(),
        };
        let publishing = self.0.hub.publish(who, vec![Publication { event, sticky: false }]);
        publishing.map_err(|refusal| Problem::of(refusal, who, &self.0.hub))
    }
}

/// Rows of the order service. Where its tables aren't there, it hasn't run yet, or the orders are a foreign service's: nothing is
/// known then.
async fn rows_of_orders(front: &Front, statement: &Statement, id: &str) -> Result<Option<Row>, Problem> {
    match front.0.orders.query_opt(statement, &[id.into()]).await {
        Err(StoreError::Statement(why)) => {
            tracing::debug!(why, "there are no orders to be read");
            Ok(None)
        }
        other => Ok(other?),
    }
}

/// The name of an order in a path; `None` for what can be none.
fn order_of(path: Result<Path<String>, axum::extract::rejection::PathRejection>) -> Result<WireId, Problem> {
    let Ok(Path(id)) = path else { return Err(Problem::no_order("of this name")) };
    WireId::new(id.as_str()).map_err(|_| Problem::no_order(&id))
}

/// JSON that is out of date at once.
fn json_answer(value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| Problem::broken(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// Whether the client has this very state already (RFC 9110 section 13.1.2, weak comparison).
fn has_already(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag.strip_prefix("W/").unwrap_or(etag)
    })
}

/// The body of a request; a problem in our words where it is too long or broke off.
fn body_of(body: Result<Bytes, axum::extract::rejection::BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.status() {
        axum::http::StatusCode::PAYLOAD_TOO_LARGE => headwater_event::Refusal::TooLarge { max: BODY_LEN_MAX }.into(),
        _ => Problem::wrong_field("body", rejection.body_text()),
    })
}
