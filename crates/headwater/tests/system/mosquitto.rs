//! Debian's mosquitto on a free port, with a folder of its own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::program::PATIENCE;

/// How often a port is tried: one that was free a moment ago may be taken.
const STARTS_MAX: usize = 5;

/// A broker that others wrote.
pub struct Mosquitto {
    _folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Mosquitto {
    /// Starts one that drops nothing behind a slow subscriber.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..STARTS_MAX {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            if let Some(child) = spawn(folder.path(), port) {
                return Self { _folder: folder, port, child };
            }
        }
        panic!("mosquitto doesn't start: {}", std::fs::read_to_string(folder.path().join("log")).unwrap_or_default());
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None` when it ended at once, as it does when the port is taken.
fn spawn(folder: &Path, port: u16) -> Option<Child> {
    let conf = folder.join("mosquitto.conf");
    let log = folder.join("log");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 0\n\
         max_queued_messages 0\nuser root\nlog_dest file {}\n",
        log.display()
    );
    std::fs::write(&conf, text).unwrap();
    let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
    let child = Command::new(program).arg("-c").arg(&conf).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("mosquitto is installed (Debian: mosquitto)");
    let begun = Instant::now();
    loop {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return child.try_wait().unwrap().is_none().then_some(child);
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(begun.elapsed() < PATIENCE, "mosquitto doesn't listen");
        std::thread::yield_now();
    }
}
