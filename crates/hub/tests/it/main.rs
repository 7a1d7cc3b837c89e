//! The hub's promises, one module each.

mod bus;
mod support;

mod one_gate;
mod sticky_first;
