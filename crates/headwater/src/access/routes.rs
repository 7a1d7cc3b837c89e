//! `POST /v1/admin/reload`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use headwater_edge::http::{Caller, Problem};
use headwater_event::Refusal;
use serde_json::json;

use super::reload::{NotReloaded, Reloaded, Reloading};

/// The routes that change who may what.
pub fn routes(reloading: Arc<Reloading>) -> Router {
    Router::new().route("/v1/admin/reload", post(reload)).with_state(reloading)
}

async fn reload(State(reloading): State<Arc<Reloading>>, request: Request) -> Result<Response, Problem> {
    let who = Caller::of(request.extensions()).map(|caller| caller.who.clone());
    let who = who.filter(|who| reloading.hub().access().may_administer(who)).ok_or(Refusal::NotAllowed)?;
    match reloading.reload(who.name()).await {
        Ok(Reloaded { users, roles, patterns, ended, remarks }) => {
            let answer =
                json!({"users": users, "roles": roles, "patterns": patterns, "ended": ended, "remarks": remarks});
            Ok(axum::Json(answer).into_response())
        }
        Err(NotReloaded::Refusal(refusal)) => Err(refusal.into()),
        Err(NotReloaded::Faults(faults)) => {
            let detail = format!("what was in force before stays: {faults}");
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "faults", detail))
        }
    }
}
