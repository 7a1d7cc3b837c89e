//! NATS JetStream, one node that syncs before it acknowledges.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::context::{ContextBuilder, PublishAckFuture};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{self};
use headwater_link::{Engine, LinkError, Options, open};
use uuid::Uuid;

use crate::{IN_FLIGHT, PAYLOAD_LEN, ROUNDS, Side, tell, through_the_bus};

/// How many events a round has: with a sync for each of them half a second.
const EVENTS: usize = 3_000;

/// How long it may take to start.
const START_TIME_MAX: Duration = Duration::from_secs(20);

struct Server {
    child: Child,
    _folder: tempfile::TempDir,
    port: u16,
    monitor: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start() -> Server {
    let usual = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/engines/bin/nats-server"));
    let program = std::env::var_os("HEADWATER_NATS_SERVER").map_or_else(usual, PathBuf::from);
    let (folder, port, monitor) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let store = folder.path().join("store");
    let text = format!(
        "listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\njetstream {{\n store_dir: \"{}\"\n sync_interval: always\n}}\n",
        store.display()
    );
    let conf = folder.path().join("nats.conf");
    std::fs::write(&conf, text).unwrap();
    let mut server = Command::new(&program);
    server.arg("-c").arg(conf).stdout(Stdio::null()).stderr(Stdio::null());
    let child =
        server.spawn().unwrap_or_else(|error| panic!("{}: {error}; scripts/get-nats gets it", program.display()));
    Server { child, _folder: folder, port, monitor }
}

async fn engine(server: &Server) -> Engine {
    let url = format!("nats://127.0.0.1:{}?monitor=127.0.0.1:{}", server.port, server.monitor);
    let began = Instant::now();
    loop {
        match open(&url, Options::new("rate")).await {
            Ok(engine) => return engine,
            Err(LinkError::Unreachable(_) | LinkError::Refused(_)) if began.elapsed() < START_TIME_MAX => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A stream like ours, without us.
async fn bare(server: &Server) -> jetstream::Context {
    let client = async_nats::connect(format!("127.0.0.1:{}", server.port)).await.unwrap();
    let context = ContextBuilder::new().max_ack_inflight(IN_FLIGHT).build(client);
    let config = Config {
        name: "BARE".into(),
        subjects: vec!["bare.>".into()],
        storage: StorageType::File,
        duplicate_window: Duration::from_secs(600),
        allow_direct: true,
        ..Config::default()
    };
    context.create_stream(config).await.unwrap();
    context
}

async fn without_us(context: &jetstream::Context, with_ids: bool) -> Duration {
    let began = Instant::now();
    let mut waiting: VecDeque<PublishAckFuture> = VecDeque::with_capacity(IN_FLIGHT);
    for at in 0..EVENTS {
        if waiting.len() == IN_FLIGHT
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.await.unwrap();
        }
        let mut message = PublishMessage::build().payload(vec![b'x'; PAYLOAD_LEN].into());
        if with_ids {
            message = message.message_id(Uuid::now_v7().to_string());
        }
        waiting.push_back(context.send_publish(format!("bare.rate.{}", at % 32), message).await.unwrap());
    }
    for acknowledgement in waiting {
        acknowledgement.await.unwrap();
    }
    began.elapsed()
}

/// Rounds in turns.
pub async fn measure() {
    let server = start();
    let engine = engine(&server).await;
    let context = bare(&server).await;
    let bus = engine.bus();
    let mut sides = [Side::new("bare async-nats"), Side::new("bare, with message ids"), Side::new("our bus")];
    for round in 0..=ROUNDS {
        let times =
            [without_us(&context, false).await, without_us(&context, true).await, through_the_bus(&bus, EVENTS).await];
        // The first warms up.
        if round > 0 {
            sides.iter_mut().zip(times).for_each(|(side, time)| side.took(EVENTS, time));
        }
    }
    tell("NATS JetStream, one node, sync_interval: always", &sides);
}
