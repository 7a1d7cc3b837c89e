//! A nats-server with JetStream on free ports, with a folder of its own; `scripts/get-nats` gets the program.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::program::PATIENCE;

/// How often ports are tried: one that was free a moment ago may be taken.
const STARTS_MAX: usize = 5;

/// A server that syncs before it acknowledges; killed when it's dropped.
pub struct NatsServer {
    _folder: tempfile::TempDir,
    port: u16,
    monitor: u16,
    child: Child,
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl NatsServer {
    /// Starts one with nothing in it.
    pub fn start() -> Self {
        let given = std::env::var_os("HEADWATER_NATS_SERVER").map(PathBuf::from);
        let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/engines/bin/nats-server");
        let program = given.unwrap_or_else(usual);
        assert!(program.exists(), "{} is not there: scripts/get-nats gets it", program.display());
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..STARTS_MAX {
            let (port, monitor) = (free_port(), free_port());
            if let Some(child) = spawn(&program, folder.path(), port, monitor) {
                return Self { _folder: folder, port, monitor, child };
            }
        }
        panic!("{} doesn't start", program.display());
    }

    /// Its address as an engine.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}?monitor=127.0.0.1:{}", self.port, self.monitor)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None` when it ended at once, as it does when a port is taken.
fn spawn(program: &Path, folder: &Path, port: u16, monitor: u16) -> Option<Child> {
    let conf = folder.join("nats.conf");
    let text = format!(
        "listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\njetstream {{\n store_dir: \"{}\"\n sync_interval: always\n}}\n",
        folder.join("store").display()
    );
    std::fs::write(&conf, text).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let child = Command::new(program).arg("-c").arg(&conf).stdout(Stdio::null()).stderr(log).spawn();
    let mut child = child.expect("a nats-server");
    let begun = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
        || TcpStream::connect((Ipv4Addr::LOCALHOST, monitor)).is_err()
    {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(begun.elapsed() < PATIENCE, "it doesn't listen");
        std::thread::yield_now();
    }
    Some(child)
}
