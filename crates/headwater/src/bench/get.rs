//! Reads by `GET`, and the yardstick beside them: a bare route that answers with the same bytes.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;

use super::dialect::get::Get;
use super::options::{LoadArgs, address};
use super::publishing;
use crate::listening::Listening;

/// What `bench get` takes.
#[derive(clap::Args, Debug)]
pub struct GetArgs {
    /// The hub's HTTP listener
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    addr: SocketAddr,
    /// What is asked for
    #[arg(long, value_name = "PATH", default_value = "/shop/inventory")]
    path: String,
    /// Be the yardstick in place of measuring: a bare axum route that answers with the bytes of this file
    #[arg(long, value_name = "FILE")]
    bare: Option<std::path::PathBuf>,
    #[command(flatten)]
    load: LoadArgs,
}

/// Runs `bench get`.
///
/// # Errors
/// When the server can't be reached, breaks off, or answers with anything but 200.
pub fn run(args: &GetArgs) -> anyhow::Result<()> {
    match &args.bare {
        Some(file) => serve(&args.path, file),
        None => publishing::publish(args.addr, &args.load, |_| Box::new(Get::new(&args.path))),
    }
}

/// Serves until it is killed, with a thread a core as the hub does.
fn serve(path: &str, file: &std::path::Path) -> anyhow::Result<()> {
    ensure!(path.starts_with('/'), "--path begins with a slash");
    let body = Bytes::from(std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?);
    let answer = move || std::future::ready(([(CONTENT_TYPE, "application/json")], body.clone()));
    let routes = Router::new().route(path, get(answer));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Listening::default().announce("http", listener.local_addr()?)?;
        Ok(axum::serve(listener, routes).await?)
    })
}
