//! Static files: pages that the program carries inside.
//!
//! The seam for applications is plain data: an app knows nothing of HTTP, it names its files,
//! `pub const FILES: &[(&str, &[u8])] = &[("index.html", include_bytes!("page/index.html")), ("app.js", ...)];`,
//! and the program says where they are served: `extra_routes.merge(page::router("/intake", intake::FILES))`.
//! Routes beyond that are plain functions that the program, too, puts behind a path.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::routing::get;

/// The file that answers for the folder itself.
const INDEX: &str = "index.html";

/// Serves these files below a folder (`/intake`); `index.html` answers at `/intake/`, and `/intake` leads there.
///
/// Every answer has an `ETag` and must be asked for again, so that a new version of the program shows its new pages at
/// once; and it has the content security policy of all pages here: nothing from other hosts, nothing inline.
pub fn router(folder: &'static str, files: &'static [(&'static str, &'static [u8])]) -> Router {
    let mut router = Router::new();
    for (name, bytes) in files {
        let file = File::new(name, bytes);
        let path = format!("{folder}/{}", if *name == INDEX { "" } else { name });
        router = router.route(&path, get(move |headers: HeaderMap| async move { file.answer(&headers) }));
    }
    if !folder.is_empty() && files.iter().any(|(name, _)| *name == INDEX) {
        router = router.route(folder, get(move || async move { moved(folder) }));
    }
    router
}

/// One file, with what is said of it.
#[derive(Clone, Debug)]
pub struct File {
    bytes: &'static [u8],
    kind: &'static str,
    etag: HeaderValue,
}

impl File {
    /// A file; its kind follows from the ending of its name.
    #[must_use]
    pub fn new(name: &str, bytes: &'static [u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let etag = HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish()));
        // Hexadecimal digits and quotes are a good value.
        Self { bytes, kind: kind(name), etag: etag.unwrap_or(HeaderValue::from_static("\"\"")) }
    }

    /// The file, or 304 when the browser has it already.
    #[must_use]
    pub fn answer(&self, asked: &HeaderMap) -> Response<Body> {
        let known = asked.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        let is_known =
            known.flat_map(|tags| tags.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == self.etag);
        let mut response = Response::new(if is_known { Body::empty() } else { Body::from(self.bytes) });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(ETAG, self.etag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

fn moved(folder: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(target) = HeaderValue::try_from(format!("{folder}/")) {
        response.headers_mut().insert(LOCATION, target);
    }
    response
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
