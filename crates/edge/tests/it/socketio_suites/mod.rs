//! What the official Engine.IO and Socket.IO suites ask of a server, and what no client should send.

mod client;
mod engine;
mod hostile;
mod place;
mod talk;
mod upgrade;
