//! The kit over a real bus: what a handler does happens once, whatever comes twice, fails, or is killed.
#![allow(clippy::unwrap_used)]

mod crashes;
mod early;
mod effects;
mod faults;
mod in_doubt;
mod kit;
mod order;
mod retry;
mod scale;
mod store;
mod timers;
