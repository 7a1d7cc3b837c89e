//! The kit over a real bus: what a handler does happens once, whatever comes twice, fails, or is killed.

mod effects;
mod kit;
