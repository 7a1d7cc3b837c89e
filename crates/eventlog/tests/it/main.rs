//! Tests of the whole log, through what the rest of Headwater sees of it.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod beside;
mod checkpoints;
mod contract;
mod crashes;
mod damage;
mod faults;
mod kit;
mod model;
mod promises;
