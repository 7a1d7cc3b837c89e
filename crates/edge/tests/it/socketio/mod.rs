//! The Socket.IO edge over real sockets.

mod feeds;
mod hostile;
mod place;
mod polling;
mod topics;
