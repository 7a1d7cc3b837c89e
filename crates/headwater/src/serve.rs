//! `headwater serve`: builds every part in one visible function, runs until it is told to stop, and ends in order.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::cli::ServeArgs;
use crate::config::{self, Loaded, Sources};
use crate::exit;
use crate::listening::Listening;
use crate::open_files;
use crate::signals::Stop;

/// Runs the hub until a signal ends it.
///
/// # Errors
/// Settings that can't be used (usage), a taken port, a log that can't be opened, a disk that failed.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let loaded = Sources::gather(&args.settings).and_then(|sources| config::load(&sources));
    let loaded = loaded.map_err(|faults| exit::Usage(faults.to_string()))?;
    tell(&loaded);
    open_files::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(&loaded, args))
}

async fn serve(loaded: &Loaded, args: &ServeArgs) -> anyhow::Result<()> {
    // Before the first line that tells somebody that we are there: from then on a signal must find us listening.
    let mut stop = Stop::listen()?;
    let mut listening = Listening::default();
    let mut listeners = Vec::new();
    for (protocol, addr) in [("http", loaded.config.http), ("frames", loaded.config.frames)] {
        let Some(addr) = addr else { continue };
        let listener = bind(protocol, addr).await?;
        listening.announce(protocol, listener.local_addr()?)?;
        listeners.push(listener);
    }
    if let Some(path) = &args.ready_file {
        listening.write_ready_file(path)?;
    }
    let asked = stop.asked().await;
    tracing::info!("{asked}: stopping");
    tokio::spawn(stop.insisted());
    Ok(())
}

async fn bind(protocol: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("can't listen for {protocol} on {addr}"))
}

fn tell(loaded: &Loaded) {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::new(&loaded.config.logging.level));
    if loaded.config.logging.json {
        subscriber.json().init();
    } else {
        subscriber.init();
    }
}
