//! The hub's promises, one module each.

// A test that can't go on says so by panicking.
#![allow(clippy::unwrap_used)]

mod bus;
mod support;

mod access;
mod acknowledged;
mod asked;
mod beats;
mod bounded;
mod catch_up;
mod inspect;
mod one_gate;
mod overheard;
mod overload_is_refused_not_suffered;
mod pulse;
mod random;
mod sticky_first;
