//! Starts the HTTP edge on a listener.

use std::sync::Arc;

use axum::Router;
use headwater_hub::Hub;

use super::caller::Cookies;
use super::connection;
use super::front::Front;
use super::health::Part;
use super::hosts::Hosts;
use super::limits::Limits;
use super::metrics::Figure;
use super::metrics::Groups;
use super::routes::{App, routes};
use crate::accept::{AcceptCounts, Listener, Stopping};
use crate::ws;

/// What the HTTP edge is started with.
#[derive(Clone, Default)]
pub struct ServeSettings {
    /// Further routes: the console, the applications. They get the same guards and headers as our own; a route that is
    /// there already is a panic at the start.
    pub extra_routes: Router,
    /// What connections may take.
    pub limits: Limits,
    /// Pages of which other sites may use this hub.
    pub origins: ws::Origins,
    /// How WebSockets behave; their `origins` are replaced by the ones above.
    pub ws: ws::Settings,
    /// What `/mqtt` speaks to; `None` serves nothing there.
    pub mqtt: Option<crate::mqtt::Front>,
    /// What is served where Socket.IO clients look for it; `None` serves nothing there.
    pub socketio: Option<crate::socketio::Front>,
    /// Under which names it answers.
    pub hosts: Hosts,
    /// Who the cookies of a request stand for, where logins of browsers are kept.
    pub cookies: Option<Cookies>,
    /// Names and counts of all listeners, this one's too, for /metrics.
    pub listeners: Vec<(&'static str, Arc<AcceptCounts>)>,
    /// What must work beside the log for /readyz to say so.
    pub parts: Vec<Part>,
    /// How far the groups are behind, for /metrics.
    pub groups: Option<Groups>,
    /// What is told in /readyz and doesn't make it unready: it depends on others.
    pub beside: Vec<Part>,
    /// Further families of /metrics.
    pub figures: Vec<Figure>,
}

/// Serves until the end is requested; gives how many connections had not ended in time.
pub async fn serve(listener: Listener, hub: Arc<Hub>, settings: ServeSettings, stopping: Stopping) -> usize {
    let ServeSettings {
        extra_routes,
        limits,
        origins,
        ws,
        mqtt,
        socketio,
        hosts,
        cookies,
        listeners,
        parts,
        groups,
        beside,
        figures,
    } = settings;
    let app = Arc::new(App {
        hub: Arc::clone(&hub),
        limits,
        listeners,
        mqtt: mqtt.clone(),
        socketio: socketio.clone(),
        parts,
        groups,
        beside,
        figures,
    });
    let front = Arc::new(Front {
        hub,
        routes: routes(app).merge(extra_routes),
        limits,
        mqtt,
        socketio,
        ws: Arc::new(ws::Settings { origins: origins.clone(), ..ws }),
        origins,
        hosts,
        cookies,
    });
    listener.run(stopping, move |connection| connection::serve(connection, Arc::clone(&front))).await
}
