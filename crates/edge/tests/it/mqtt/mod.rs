//! MQTT 3.1.1 and 5.0 as clients see it: `docs/mqtt-conformance.md` says which test looks at which statement.

mod client;
mod place;

mod beside;
mod connecting;
mod delivering;
mod hostile;
mod publishing;
mod retained;
mod sharing;
mod subscribing;
mod table;
mod websocket;
mod wills;
