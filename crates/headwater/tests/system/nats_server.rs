//! A nats-server with JetStream on free ports, with a folder of its own; `scripts/get-nats` gets the program.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::mosquitto::free_port;
use crate::program::PATIENCE;

/// How often ports are tried: one that was free a moment ago may be taken.
const STARTS_MAX: usize = 5;

/// A server that syncs before it acknowledges; killed when it's dropped.
pub struct NatsServer {
    folder: tempfile::TempDir,
    program: PathBuf,
    more: String,
    port: u16,
    monitor: u16,
    child: Child,
}

impl NatsServer {
    /// Starts one with nothing in it.
    pub fn start() -> Self {
        Self::with("")
    }

    /// Starts one with these lines in its configuration.
    pub fn with(more: &str) -> Self {
        let given = std::env::var_os("HEADWATER_NATS_SERVER").map(PathBuf::from);
        let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/engines/bin/nats-server");
        let program = given.unwrap_or_else(usual);
        assert!(program.exists(), "{} is not there: scripts/get-nats gets it", program.display());
        Self::run(&program, &format!(" sync_interval: always\n}}\n{more}"))
    }

    /// Starts this program, with what all versions know in its configuration.
    pub fn of(program: &Path) -> Self {
        Self::run(program, "}\n")
    }

    fn run(program: &Path, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..STARTS_MAX {
            let (port, monitor) = (free_port(), free_port());
            if let Some(child) = spawn(program, folder.path(), port, monitor, more) {
                let (program, more) = (program.to_owned(), more.to_owned());
                return Self { folder, program, more, port, monitor, child };
            }
        }
        panic!("{} doesn't start", program.display());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on its ports and folder.
    pub fn start_again(&mut self) {
        let child = spawn(&self.program, self.folder.path(), self.port, self.monitor, &self.more);
        self.child = child.expect("nats-server starts again");
    }

    /// Where clients come in.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
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
fn spawn(program: &Path, folder: &Path, port: u16, monitor: u16, more: &str) -> Option<Child> {
    let conf = folder.join("nats.conf");
    let text = format!(
        "listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\njetstream {{\n store_dir: \"{}\"\n{more}",
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
