//! What Socket.IO clients find in which namespace.

use std::sync::Arc;

use headwater_apps::alerts::topics;
use headwater_edge::socketio::{Feed, Front, Namespaces, Topics};
use headwater_event::Filter;
use headwater_hub::Hub;

use crate::config::{App, Config, Role};

/// The namespace of the hub's topics, whatever applications run.
const HUB: &str = "/hub";

/// What the applications tell everybody in the default namespace.
const ALERTS: &str = "alerts/#";

/// The Socket.IO edge, where this process has one; call it inside of a tokio runtime.
pub fn front(config: &Config, hub: &Arc<Hub>) -> Option<Front> {
    let tells_alerts = config.apps.contains(&App::Alerts) && config.roles.contains(&Role::Notifier);
    if !config.socketio.is_on || !(tells_alerts || config.roles.contains(&Role::Edge)) {
        return None;
    }
    let mut namespaces = Namespaces::new();
    namespaces = match Filter::new(ALERTS) {
        Ok(filter) if tells_alerts => namespaces.with(Feed {
            name: "/".to_owned(),
            filter,
            event: Arc::new(|topic| topics::event_name(topic.as_str())),
            state: Arc::new(topics::told_late),
            room: Arc::new(topics::room),
        }),
        _ => namespaces.with(Topics::new("/")),
    };
    Some(Front::new(Arc::clone(hub), config.socketio.edge.clone(), namespaces.with(Topics::new(HUB))))
}
