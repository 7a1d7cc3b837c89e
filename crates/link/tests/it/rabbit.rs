//! Debian's rabbitmq-server and redis-server on free ports, each with a folder of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::mosquitto::free_port;
use super::network::here;

/// How long a server may take to start: RabbitMQ takes 5 to 10 s on a machine that is idle.
const PATIENCE: Duration = Duration::from_secs(90);

/// The program itself, past Debian's wrapper, which changes the user and the folder.
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A RabbitMQ with its own epmd, by whose port no other finds it.
pub struct Rabbit {
    folder: tempfile::TempDir,
    host: Ipv4Addr,
    port: u16,
    dist: u16,
    names: u16,
    epmd: Child,
    child: Child,
}

impl Rabbit {
    pub fn start() -> Self {
        for _ in 0..3 {
            let folder = tempfile::tempdir().unwrap();
            let (port, dist, names) = (free_port(), free_port(), free_port());
            let mut epmd = Command::new("epmd")
                .env("ERL_EPMD_PORT", names.to_string())
                .env("ERL_EPMD_ADDRESS", "127.0.0.1")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("epmd is installed (Debian: rabbitmq-server)");
            if !listens(Ipv4Addr::LOCALHOST, names, &mut epmd) {
                continue;
            }
            if let Some(child) = spawn(folder.path(), port, dist, names) {
                return Self { folder, host: here(), port, dist, names, epmd, child };
            }
            let _ = epmd.kill();
            let _ = epmd.wait();
        }
        panic!("rabbitmq-server doesn't start");
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        (self.host, self.port).into()
    }

    /// Ends it at once.
    ///
    /// Before that it's given time to write down which queues it has: RabbitMQ says that a quorum queue is there up to a
    /// second before it would know of it after a kill, and what a queue has that it doesn't know of is lost.
    pub fn kill(&mut self) {
        let began = Instant::now();
        while !self.has_written_its_queues() {
            assert!(began.elapsed() < PATIENCE, "it never writes down which queues it has");
            std::thread::sleep(Duration::from_millis(5)); // sleep: another process writes a file, and says so to nobody
        }
        kill_all(&mut self.child);
    }

    /// Whether the file of names has all queues that have a folder.
    fn has_written_its_queues(&self) -> bool {
        let name = node(self.port);
        let folder = self.folder.path().join("mnesia").join(&name).join("quorum").join(&name);
        let Ok(names) = std::fs::read(folder.join("names.dets")) else { return false };
        let folders = std::fs::read_dir(&folder).unwrap().flatten().filter(|entry| entry.path().is_dir());
        let is_there = |queue: &[u8]| names.windows(queue.len()).any(|part| part == queue);
        folders.into_iter().all(|entry| is_there(entry.file_name().as_encoded_bytes()))
    }

    /// Starts it again on the same ports and folder.
    pub fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.port, self.dist, self.names).expect("it starts again");
    }

    /// What its tool says.
    pub fn ask(&self, words: &[&str]) -> String {
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmqctl");
        let output = self.surround(command.args(["-q", "-n"]).arg(node(self.port)).args(words)).output().unwrap();
        assert!(output.status.success(), "rabbitmqctl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn surround<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        surround(command, self.folder.path(), self.names)
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        kill_all(&mut self.child);
        let _ = self.epmd.kill();
        let _ = self.epmd.wait();
    }
}

fn node(port: u16) -> String {
    format!("headwater{port}@localhost")
}

fn surround<'a>(command: &'a mut Command, folder: &Path, names: u16) -> &'a mut Command {
    command.env("HOME", folder).env("ERL_EPMD_PORT", names.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1")
}

/// The script and the machine that it starts, which are a group of processes of their own.
fn kill_all(child: &mut Child) {
    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).stderr(Stdio::null()).status();
    let _ = child.wait();
}

/// `None` when it ended at once, as it does when a port is taken.
fn spawn(folder: &Path, port: u16, dist: u16, names: u16) -> Option<Child> {
    std::fs::write(folder.join("plugins"), "[].\n").unwrap();
    let conf = folder.join("rabbitmq.conf");
    // No alarms: what else fills this machine's memory and disk is no business of a test.
    let text = format!(
        "listeners.tcp.1 = {}:{port}\nloopback_users = none\nvm_memory_high_watermark.absolute = 8GB\ndisk_free_limit.absolute = 1MB\n\
         log.console = false\nlog.file.level = warning\n",
        here()
    );
    std::fs::write(&conf, text).unwrap();
    let out = std::fs::File::create(folder.join("out")).unwrap();
    let mut command = Command::new(RABBITMQ);
    surround(&mut command, folder, names)
        .env("RABBITMQ_NODENAME", node(port))
        .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_DIST_PORT", dist.to_string())
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
        .env("RABBITMQ_CONFIG_FILE", &conf)
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none")
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .process_group(0);
    let mut child = command.spawn().expect("rabbitmq-server is installed (Debian: rabbitmq-server)");
    listens(here(), port, &mut child).then_some(child)
}

/// Waits until somebody listens; `false` when the program ended before.
fn listens(host: Ipv4Addr, port: u16, child: &mut Child) -> bool {
    let began = Instant::now();
    while TcpStream::connect((host, port)).is_err() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(began.elapsed() < PATIENCE, "nobody listens on {port}");
        std::thread::sleep(Duration::from_millis(5)); // sleep: another process begins to listen, and says so to nobody
    }
    true
}

/// A Redis that syncs each write.
pub struct Redis {
    folder: tempfile::TempDir,
    host: Ipv4Addr,
    port: u16,
    password: Option<&'static str>,
    child: Child,
}

impl Redis {
    pub fn start() -> Self {
        Self::with(None)
    }

    pub fn with(password: Option<&'static str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let port = free_port();
            if let Some(child) = spawn_redis(folder.path(), port, password) {
                return Self { folder, host: here(), port, password, child };
            }
        }
        panic!("redis-server doesn't start");
    }

    pub fn url(&self) -> String {
        format!("redis://{}:{}", self.host, self.port)
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.child = spawn_redis(self.folder.path(), self.port, self.password).expect("it starts again");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn_redis(folder: &Path, port: u16, password: Option<&str>) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args([
        "--bind",
        &here().to_string(),
        "--protected-mode",
        "no",
        "--port",
        &port.to_string(),
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ]);
    command.args(["--save", "", "--daemonize", "no"]).arg("--dir").arg(folder);
    if let Some(password) = password {
        command.args(["--requirepass", password]);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("redis-server is installed (Debian: redis-server)");
    listens(here(), port, &mut child).then_some(child)
}
