//! The page and its files, as they lie in the program.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

/// Nothing from another host, nothing inline: what a message says can't become code.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, type, content.
const FILES: [(&str, &str, &[u8]); 14] = [
    ("", "text/html; charset=utf-8", include_bytes!("page/index.html")),
    ("alerts.css", "text/css; charset=utf-8", include_bytes!("page/alerts.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("page/icon.svg")),
    ("map.LICENSE", "text/plain; charset=utf-8", include_bytes!("page/map.LICENSE")),
    ("alarm.js", SCRIPT, include_bytes!("page/alarm.js")),
    ("alerts.js", SCRIPT, include_bytes!("page/alerts.js")),
    ("chart.js", SCRIPT, include_bytes!("page/chart.js")),
    ("desk.js", SCRIPT, include_bytes!("page/desk.js")),
    ("live.js", SCRIPT, include_bytes!("page/live.js")),
    ("map.js", SCRIPT, include_bytes!("page/map.js")),
    ("model.js", SCRIPT, include_bytes!("page/model.js")),
    ("places.js", SCRIPT, include_bytes!("page/places.js")),
    ("htm-preact.js", SCRIPT, crate::HTM_PREACT),
    ("simulator.js", SCRIPT, include_bytes!("page/simulator.js")),
];

/// `GET /alerts`
pub async fn to_the_page() -> Redirect {
    Redirect::permanent("/alerts/")
}

/// `GET /alerts/`
pub async fn page() -> Response {
    answer("")
}

/// `GET /alerts/{file}`
pub async fn file(Path(name): Path<String>) -> Response {
    answer(&name)
}

fn answer(name: &str) -> Response {
    let Some((_, kind, content)) = FILES.iter().find(|(have, ..)| *have == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Asked for each time: a new version of the program brings new files under the same names.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, *content).into_response()
}
