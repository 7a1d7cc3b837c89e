//! The page and its files, as they lie in the program.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

/// Nothing from another host, nothing inline: what a message says can't become code.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Name, type, content.
const FILES: [(&str, &str, &[u8]); 5] = [
    ("", "text/html; charset=utf-8", include_bytes!("../page/index.html")),
    ("shop.js", "text/javascript; charset=utf-8", include_bytes!("../page/shop.js")),
    ("shop.css", "text/css; charset=utf-8", include_bytes!("../page/shop.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("../page/icon.svg")),
    ("htm-preact.js", "text/javascript; charset=utf-8", crate::HTM_PREACT),
];

/// `GET /shop`
pub async fn to_the_page() -> Redirect {
    Redirect::permanent("/shop/")
}

/// `GET /shop/`
pub async fn page() -> Response {
    answer("")
}

/// `GET /shop/{file}`
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
