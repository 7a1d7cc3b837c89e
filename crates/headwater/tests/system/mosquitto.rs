//! Debian's mosquitto on a free port, with a folder of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::program::PATIENCE;

/// How often a port is tried: one that was free a moment ago may be taken.
const STARTS_MAX: usize = 5;

/// A broker that others wrote.
pub struct Mosquitto {
    folder: tempfile::TempDir,
    port: u16,
    tls_port: u16,
    child: Child,
    more: &'static str,
}

/// One that forgets everything when it ends.
const FORGETS: &str = "persistence false\nmax_inflight_messages 0\nallow_anonymous true\n";

/// One that has 20 deliveries under way, as it does by default.
pub const PLAIN: &str = "persistence false\nallow_anonymous true\n";

/// One that saves each change of its sessions as it happens, and all when it's told to end.
pub const KEEPS: &str = "persistence true\nautosave_on_changes true\nautosave_interval 1\nallow_anonymous true\n";

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Mosquitto {
    /// Starts one that drops nothing behind a slow subscriber.
    pub fn start() -> Self {
        Self::with(FORGETS)
    }

    /// Starts one with these lines in its configuration; `FOLDER` in them is its own, `TLS_PORT` a second port.
    pub fn with(more: &'static str) -> Self {
        Self::with_files(more, |_| {})
    }

    /// The same, with files of its own in its folder.
    pub fn with_files(more: &'static str, write: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        for _ in 0..STARTS_MAX {
            let (port, tls_port) = (free_port(), free_port());
            if let Some(child) = spawn(folder.path(), port, tls_port, more) {
                return Self { folder, port, tls_port, child, more };
            }
        }
        panic!("mosquitto doesn't start: {}", std::fs::read_to_string(folder.path().join("log")).unwrap_or_default());
    }

    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The second port, where `TLS_PORT` stood.
    pub const fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap();
    }

    /// Starts it again on its port and folder.
    pub fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.port, self.tls_port, self.more).expect("mosquitto starts again");
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
fn spawn(folder: &Path, port: u16, tls_port: u16, more: &str) -> Option<Child> {
    let conf = folder.join("mosquitto.conf");
    let log = folder.join("log");
    let text = format!(
        "listener {port} 127.0.0.1\npersistence_location {}/\nmax_queued_messages 0\n\
         user root\nlog_dest file {}\n{}",
        folder.display(),
        log.display(),
        more.replace("FOLDER", &folder.display().to_string()).replace("TLS_PORT", &tls_port.to_string())
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
