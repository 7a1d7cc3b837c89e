//! The HTTP edge over real sockets.

mod bad_input;
mod cloudevents;
mod history;
mod live;
mod pages;
mod publishing;
mod sticky;
pub mod support;
