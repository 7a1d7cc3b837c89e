//! How HTTP spells a refusal.

use axum::http::StatusCode;
use headwater_event::Refusal;
use headwater_hub::WatchError;

use super::problem::Problem;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::NotAuthenticated => StatusCode::UNAUTHORIZED,
            Refusal::NotAllowed => StatusCode::FORBIDDEN,
            Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
            Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooFast { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::OutOfOrder { .. } => StatusCode::CONFLICT,
            Refusal::Full { .. } | Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut problem = Self::new(status, refusal.name(), refusal.to_string());
        problem.retry_after = refusal.retry_after();
        problem
    }
}

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Self {
        let detail = error.to_string();
        match error {
            WatchError::Refusal(refusal) => refusal.into(),
            WatchError::Gone { oldest } => Self::new(StatusCode::GONE, "gone", detail).with("oldest", oldest),
            WatchError::NoSuchPosition { head } => {
                Self::new(StatusCode::CONFLICT, "no_such_position", detail).with("head", head)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::header::RETRY_AFTER;
    use axum::response::IntoResponse;
    use headwater_event::Position;

    use super::*;

    #[test]
    fn each_refusal_has_its_status_and_says_whether_to_come_again() {
        let wait = Duration::from_millis(20);
        for (refusal, status, again) in [
            (Refusal::NotAuthenticated, 401, false),
            (Refusal::NotAllowed, 403, false),
            (Refusal::Malformed("x".into()), 400, false),
            (Refusal::TooLarge { max: 1 }, 413, false),
            (Refusal::TooFast { wait }, 429, true),
            (Refusal::Full { wait }, 503, true),
            (Refusal::OutOfOrder { expected: 1 }, 409, false),
            (Refusal::Unavailable, 503, true),
        ] {
            let name = refusal.name();
            let problem = Problem::from(refusal);
            assert_eq!((problem.status.as_u16(), problem.name), (status, name));
            assert_eq!(problem.into_response().headers().contains_key(RETRY_AFTER), again, "{name}");
        }
    }

    #[test]
    fn a_position_that_is_not_there_comes_with_one_that_is() {
        let gone = Problem::from(WatchError::Gone { oldest: Position::new(7, 3) });
        assert_eq!((gone.status.as_u16(), &gone.more[..]), (410, &[("oldest", "7:3".to_owned())][..]));
        let other = Problem::from(WatchError::NoSuchPosition { head: Position::new(7, 9) });
        assert_eq!((other.status.as_u16(), &other.more[..]), (409, &[("head", "7:9".to_owned())][..]));
    }
}
