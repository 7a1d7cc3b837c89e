//! The hub's promises, one module each.

// A test that can't go on says so by panicking.
#![allow(clippy::unwrap_used)]

mod bus;
mod support;

mod one_gate;
mod random;
mod sticky_first;
