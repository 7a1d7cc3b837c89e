//! `alerts`: what sources send, what is made of it, and what everybody hears.

mod cap;
mod desk;
mod listener;
mod notifier;
mod processor;
mod support;
