//! The program: reads the command line and hands over to the command that it names.

mod access;
mod apps;
mod bench;
mod bridge;
mod cli;
mod client;
mod config;
mod console;
mod dead;
mod engine;
mod exit;
mod listening;
mod log;
mod migrate;
mod nodes;
mod open_files;
mod publish;
mod retry;
mod send;
mod serve;
mod shop;
mod signals;
mod socketio;
mod start_wait;
mod tls;
mod user;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return exit::after_usage(&said),
    };
    let done = match cli.command.unwrap_or(Command::Serve(Box::new(cli.serve))) {
        Command::Serve(args) => serve::run(&args),
        Command::Pub(args) => publish::run(args),
        Command::Sub(args) => watch::run(args),
        Command::Log(args) => log::run(args),
        Command::Migrate(args) => migrate::run(&args),
        Command::Check(args) => config::check::run(&args),
        Command::Send(args) => send::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Dead(args) => dead::run(args),
        Command::Shop(args) => shop::run(args),
        Command::User(args) => user::run(args),
        Command::Completions { shell } => cli::completions(shell),
    };
    exit::code(done)
}
