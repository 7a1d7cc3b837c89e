//! An application's page and its files, as they lie in the program.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

/// Nothing from another host, nothing inline: what a message says can't become code.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Name and content; the page itself has none. The kind follows from the ending.
pub(crate) type Files = &'static [(&'static str, &'static [u8])];

/// The page at `ROOT/`, its files below it, and a way there from `ROOT`.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(root: &'static str, files: Files) -> Router<S> {
    let to_the_page = move || async move { Redirect::permanent(&format!("{root}/")) };
    files.iter().fold(Router::new().route(root, get(to_the_page)), |router, (name, content)| {
        router.route(&format!("{root}/{name}"), get(move || async move { answer(name, content) }))
    })
}

fn answer(name: &str, content: &'static [u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind(name)),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Asked for each time: a new version of the program brings new files under the same names.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, content).into_response()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}
