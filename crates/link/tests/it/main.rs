//! The engines against what they are to stand in for: the contract of the bus, broken brokers, broken connections.
#![allow(clippy::unwrap_used, reason = "what fails in a test is told by its place")]

mod alone;
#[cfg(feature = "engines")]
mod amqp;
#[cfg(feature = "engines")]
mod amqp_alone;
#[cfg(feature = "engines")]
mod amqp_faults;
mod contract;
mod cut;
mod faults;
mod given;
mod headwater;
mod mosquitto;
#[cfg(feature = "engines")]
mod nats;
#[cfg(feature = "engines")]
mod nats_alone;
#[cfg(feature = "engines")]
mod nats_breaks;
#[cfg(feature = "engines")]
mod nats_cluster;
#[cfg(feature = "engines")]
mod nats_order;
mod network;
#[cfg(feature = "engines")]
mod rabbit;
mod talk;
#[cfg(feature = "engines")]
mod wire;
