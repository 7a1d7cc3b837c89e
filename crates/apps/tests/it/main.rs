//! The applications over a real hub and a real log.

#![allow(clippy::unwrap_used)] // a test that can't go on has failed

mod alerts;
mod intake;
mod shop;
mod vendor;
