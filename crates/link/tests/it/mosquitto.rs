//! Debian's mosquitto on a free port, with a folder of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::network::here;

/// How long it may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A broker that others wrote.
pub struct Mosquitto {
    folder: tempfile::TempDir,
    host: Ipv4Addr,
    port: u16,
    child: Child,
    more: String,
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((here(), 0)).unwrap().local_addr().unwrap().port()
}

impl Mosquitto {
    /// Starts one that forgets nothing that it's given time to save.
    pub fn start() -> Self {
        Self::with("allow_anonymous true\n")
    }

    /// Starts one with more lines in its configuration.
    pub fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let port = free_port();
            if let Some(child) = spawn(folder.path(), port, more) {
                return Self { folder, host: here(), port, child, more: more.into() };
            }
        }
        panic!(
            "mosquitto doesn't start; see {}",
            std::fs::read_to_string(folder.path().join("log")).unwrap_or_default()
        );
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr())
    }

    pub fn addr(&self) -> SocketAddr {
        (self.host, self.port).into()
    }

    /// Ends it in good order: it saves its sessions.
    pub fn stop(&mut self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap();
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port and folder.
    pub fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.port, &self.more).expect("mosquitto starts again");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None` when it ended at once, as it does when the port is taken.
fn spawn(folder: &Path, port: u16, more: &str) -> Option<Child> {
    let conf = folder.join("mosquitto.conf");
    let text = format!(
        "listener {port} {}\npersistence true\npersistence_location {}/\nautosave_on_changes true\n\
         autosave_interval 1\nmax_inflight_messages 0\nmax_queued_messages 0\nmax_packet_size 2000000\nuser root\nlog_dest file {}\n{more}",
        here(),
        folder.display(),
        folder.join("log").display()
    );
    std::fs::write(&conf, text).unwrap();
    let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
    let child = Command::new(program).arg("-c").arg(&conf).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("mosquitto is installed (Debian: mosquitto)");
    let began = Instant::now();
    loop {
        if std::net::TcpStream::connect((here(), port)).is_ok() {
            return child.try_wait().unwrap().is_none().then_some(child);
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(began.elapsed() < PATIENCE, "mosquitto doesn't listen");
        std::thread::sleep(Duration::from_millis(5)); // sleep: another process begins to listen, and says so to nobody
    }
}
