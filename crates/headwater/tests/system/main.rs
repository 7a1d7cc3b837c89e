//! The promises of Headwater, each with a test that bears its name, on the real program over real sockets.
//!
//! The clients in here are written from the documents alone and share no code with the program, so that a mistake can't
//! stand on both sides.

// A client in a test has nobody to tell of an error but the test.
#![allow(clippy::unwrap_used)]

mod frame_client;
mod http_client;
mod load;
mod mosquitto;
mod mqtt_client;
mod mqtt_one_gate;
mod mqtt_rumqttc;
#[cfg(feature = "engines")]
mod nats_server;
mod power;
mod program;
// As the engines' own tests start them.
#[cfg(feature = "engines")]
#[allow(dead_code, reason = "not all that it can is needed here")]
#[path = "../../../link/tests/it/network.rs"]
mod network;
#[cfg(feature = "engines")]
#[allow(dead_code, reason = "not all that it can is needed here")]
#[path = "../../../link/tests/it/rabbit.rs"]
mod rabbit;
mod relay;
mod worker;

mod alerts;
mod bounded;
mod bridge_links;
mod bridges;
mod catch_up;
mod durable_before_ack;
mod fsync_failure_stops_acks;
mod migrate;
#[cfg(feature = "engines")]
mod mqtt_elsewhere;
mod mqtt_sessions;
mod nodes;
mod nothing_twice_from_a_resending_client;
mod overload_is_refused_not_suffered;
mod refused_means_nothing_happened;
mod scaled;
mod shop;
#[cfg(feature = "engines")]
mod socketio_elsewhere;
mod start_wait;
mod sticky_first;
mod torn_tail;
