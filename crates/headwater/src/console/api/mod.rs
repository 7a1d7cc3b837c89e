//! The routes below `/v1/admin`: one file a thing that is shown.

mod connections;
mod groups;
mod letters;
mod login;
mod nodes;
mod overview;
mod recent;
mod sessions;
mod slowest;
mod tail;
mod topics;
mod why;

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use super::Console;

pub use slowest::Slowest;

type Methods = MethodRouter<Console>;

/// A route: its path as OpenAPI writes it, its methods, and who answers.
type Route = (&'static str, &'static [&'static str], Methods);

/// What asks for rights.
fn guarded_table() -> Vec<Route> {
    vec![
        ("/v1/admin/overview", &["get"], get(overview::overview)),
        ("/v1/admin/seconds", &["get"], get(overview::seconds)),
        ("/v1/admin/connections", &["get"], get(connections::list)),
        ("/v1/admin/connections/{id}", &["get", "delete"], get(connections::one).delete(connections::disconnect)),
        ("/v1/admin/slowest", &["get"], get(slowest::slowest)),
        ("/v1/admin/groups", &["get"], get(groups::list)),
        ("/v1/admin/nodes", &["get"], get(nodes::list)),
        ("/v1/admin/dead-letters", &["get"], get(letters::list)),
        ("/v1/admin/dead-letters/retry", &["post"], post(letters::retry)),
        ("/v1/admin/dead-letters/discard", &["post"], post(letters::discard)),
        ("/v1/admin/sessions", &["get"], get(sessions::list)),
        ("/v1/admin/topics", &["get"], get(topics::level)),
        ("/v1/admin/topic", &["get"], get(topics::one)),
        ("/v1/admin/tail", &["get"], get(tail::tail)),
        ("/v1/admin/why", &["get"], get(why::why)),
    ]
}

/// What everybody may ask, to find out whether they have rights, and to get some.
fn free_table() -> Vec<Route> {
    vec![
        ("/v1/admin/me", &["get"], get(login::me)),
        ("/v1/admin/login", &["post"], post(login::login)),
        ("/v1/admin/logout", &["post"], post(login::logout)),
    ]
}

/// The routes that the guard must stand before.
pub fn guarded() -> Router<Console> {
    router(guarded_table())
}

/// The routes that need no guard.
pub fn free() -> Router<Console> {
    router(free_table())
}

fn router(table: Vec<Route>) -> Router<Console> {
    table.into_iter().fold(Router::new(), |router, (path, _, methods)| router.route(path, methods))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_every_description_has_its_route() {
        let document: serde_json::Value = serde_json::from_str(headwater_edge::http::OPENAPI).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(path, _)| path.starts_with("/v1/admin/"))
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone()))
            })
            .filter(|(_, method)| method != "parameters")
            .collect();
        // Served by the program's own access.
        let beside = ("/v1/admin/reload".to_owned(), "post".to_owned());
        let served: BTreeSet<(String, String)> = guarded_table()
            .iter()
            .chain(&free_table())
            .flat_map(|(path, methods, _)| methods.iter().map(|method| ((*path).to_owned(), (*method).to_owned())))
            .chain([beside])
            .collect();
        assert_eq!(served, described);
    }
}
