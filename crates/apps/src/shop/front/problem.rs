//! What only the shop's front has to say no to.

use axum::http::StatusCode;
use headwater_service::StoreError;

pub(super) use crate::problem::Problem;

impl Problem {
    /// 400: this field has to be mended.
    pub(super) fn wrong_field(field: impl Into<String>, why: impl Into<String>) -> Self {
        let (field, why) = (field.into(), why.into());
        let detail = format!("{field}: {why}");
        Self::malformed(detail).about(field)
    }

    /// 404: there is no such order.
    pub(super) fn no_order(id: &str) -> Self {
        Self::not_found(format!("there is no order {id}"))
    }

    /// 422: the key was used with another body.
    pub(super) fn other_body() -> Self {
        let detail = "this Idempotency-Key came with another order before: take a new key for a new order";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", detail).about("Idempotency-Key")
    }

    /// 409: the first request with this key has no answer yet.
    pub(super) fn still_running() -> Self {
        let detail = "the first request with this Idempotency-Key is still running: ask again in a moment";
        Self::new(StatusCode::CONFLICT, "still_running", detail).for_now()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "a service's tables can't be read");
        Self::busy("the tables can't be read at present: try again in a moment")
    }
}
