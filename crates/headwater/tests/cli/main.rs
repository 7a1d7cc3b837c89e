//! The program as the one who types sees it: start and end, exit codes, settings, and each command in a pipe.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod bench;
mod bench_mqtt;
mod commands;
mod console;
mod dead;
mod log;
mod program;
mod pub_sub;
mod send;
mod settings;
mod start_and_stop;
mod tls;
