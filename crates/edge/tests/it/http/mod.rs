//! The HTTP edge over real sockets.

mod access;
mod bad_input;
mod cloudevents;
mod history;
mod live;
mod pages;
mod publishing;
mod sticky;
pub mod support;
