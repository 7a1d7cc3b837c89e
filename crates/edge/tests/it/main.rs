//! The edges over real sockets.

mod accept;
mod frames;
