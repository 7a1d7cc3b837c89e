//! A Socket.IO server on 127.0.0.1 that echoes: `cargo run --release --example socketio_echo -- PORT [--engine-io]`.
//!
//! It is what the protocols' conformance cases run against (`scripts/test-socketio-clients`). On connection to `/` and
//! `/custom` it emits `auth` with what the client showed; `message` is answered by `message-back` with the same arguments,
//! `message-with-ack` is acknowledged with them. With `--engine-io` it speaks bare Engine.IO, and echoes every message.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use headwater_edge::accept::{AcceptSettings, Listener, Stop};
use headwater_edge::http::{ServeSettings, serve};
use headwater_edge::socketio::{Deed, Emit, Front, Namespace, Namespaces, Said, Settings, Welcome};
use headwater_event::Recorded;
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_hub::Hub;
use serde_json::value::RawValue;

/// A namespace that gives back what it gets.
struct Echo(&'static str);

impl Namespace for Echo {
    fn name(&self) -> &str {
        self.0
    }

    fn takes_logins(&self) -> bool {
        false
    }

    fn welcome(&self, auth: &RawValue) -> Welcome {
        let arguments = format!("\"auth\",{auth}");
        Welcome { emits: vec![Emit { arguments, ..Emit::default() }], watch: None }
    }

    fn on(&self, said: &Said<'_>) -> Vec<Deed> {
        let arguments: Vec<_> = said.arguments.iter().map(|argument| argument.get()).collect();
        let (mut arguments, binary) = (arguments.join(","), said.packet.binary.clone());
        match said.name {
            "message" => {
                arguments.insert_str(0, if arguments.is_empty() { "\"message-back\"" } else { "\"message-back\"," });
                vec![Deed::Emit(Emit { arguments, binary, id: None })]
            }
            "message-with-ack" => vec![Deed::Ack(arguments, binary)],
            _ => Vec::new(),
        }
    }

    fn spell(&self, _: &Recorded, _: bool, _: &mut Vec<u8>) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let is_engine_echo = arguments.iter().any(|argument| argument == "--engine-io");
    let Some(port) = arguments.iter().find_map(|argument| argument.parse::<u16>().ok()) else {
        eprintln!("usage: socketio_echo PORT [--engine-io]");
        std::process::exit(2);
    };
    // Nothing is published here; the hub wants a log all the same.
    let folder = tempfile::tempdir()?;
    let hub =
        Hub::start(Arc::new(EventLog::open(OpenOptions::new(folder.path()))?), headwater_hub::Settings::default());
    let settings = Settings {
        path: if is_engine_echo { "/engine.io" } else { Settings::PATH }.into(),
        ping_every: Duration::from_millis(300),
        pong_max: Duration::from_millis(200),
        payload_max: 1_000_000,
        connect_timeout: Duration::from_secs(1),
        is_engine_echo,
        ..Settings::default()
    };
    let front = Front::new(Arc::clone(&hub), settings, Namespaces::new().with(Echo("/")).with(Echo("/custom")));
    let listener = Listener::bind(([127, 0, 0, 1], port).into(), AcceptSettings::default())?;
    println!("listening socketio {}", listener.local_addr());
    let stop = Stop::default();
    let serving = ServeSettings { socketio: Some(front), ..ServeSettings::default() };
    tokio::select! {
        _ = serve(listener, hub, serving, stop.listen()) => {}
        ended = tokio::signal::ctrl_c() => ended?,
    }
    Ok(())
}
