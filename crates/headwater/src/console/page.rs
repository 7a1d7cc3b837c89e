//! The page's files, as they lie in the program.

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use headwater_edge::http::page::File;

/// Path and content; the kind follows from the ending.
const FILES: &[(&str, &[u8])] = &[
    ("/console/api.js", include_bytes!("page/api.js")),
    ("/console/app.js", include_bytes!("page/app.js")),
    ("/console/chart.js", include_bytes!("page/chart.js")),
    ("/console/connections.js", include_bytes!("page/connections.js")),
    ("/console/format.js", include_bytes!("page/format.js")),
    ("/console/groups.js", include_bytes!("page/groups.js")),
    ("/console/icon.svg", include_bytes!("page/icon.svg")),
    ("/console/nodes.js", include_bytes!("page/nodes.js")),
    ("/console/overview.js", include_bytes!("page/overview.js")),
    ("/console/parts.js", include_bytes!("page/parts.js")),
    ("/console/place.js", include_bytes!("page/place.js")),
    ("/console/sessions.js", include_bytes!("page/sessions.js")),
    ("/console/style.css", include_bytes!("page/style.css")),
    ("/console/tail.js", include_bytes!("page/tail.js")),
    ("/console/theme.js", include_bytes!("page/theme.js")),
    ("/console/topics.js", include_bytes!("page/topics.js")),
    ("/console/why.js", include_bytes!("page/why.js")),
    ("/console/preact.js", headwater_apps::HTM_PREACT),
    ("/console/uplot.js", include_bytes!("../../vendor/uplot/uPlot.iife.min.js")),
    ("/console/uplot.css", include_bytes!("../../vendor/uplot/uPlot.min.css")),
];

/// The page and its files.
pub fn routes() -> Router {
    let page = File::new("index.html", include_bytes!("page/index.html"));
    let first = Router::new().route("/", get(move |headers: HeaderMap| async move { page.answer(&headers) }));
    FILES.iter().fold(first, |router, (path, bytes)| {
        let file = File::new(path, bytes);
        router.route(path, get(move |headers: HeaderMap| async move { file.answer(&headers) }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one file of ours asks for, by `from`, `src` or `href`.
    fn asks(text: &str) -> impl Iterator<Item = &str> {
        ["'", "\""].into_iter().flat_map(move |quote| text.split(quote)).filter(|part| {
            part.starts_with("/console/") && part.rsplit_once('.').is_some_and(|(_, ending)| ending.len() <= 3)
        })
    }

    #[test]
    fn every_file_that_is_asked_for_is_served_and_every_one_that_is_served_is_asked_for() {
        let index = include_str!("page/index.html");
        let texts = FILES.iter().filter_map(|(_, bytes)| std::str::from_utf8(bytes).ok()).chain([index]);
        let asked: std::collections::BTreeSet<&str> = texts.flat_map(asks).collect();
        let served: std::collections::BTreeSet<&str> = FILES.iter().map(|(path, _)| *path).collect();
        assert_eq!(asked, served);
    }
}
