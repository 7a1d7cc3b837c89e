//! The real program as a process: started on free ports in a folder of its own, killed without mercy, started again.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything here may take before the test calls it hung. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own, and what is asked of the program that runs in it.
pub struct Place {
    pub dir: PathBuf,
    _own: Option<tempfile::TempDir>,
    args: Vec<String>,
    wrapper: Option<String>,
    mqtt: String,
}

impl Place {
    pub fn new() -> Self {
        let own = tempfile::tempdir().expect("a temporary folder");
        let dir = own.path().to_path_buf();
        Self { _own: Some(own), ..Self::at(&dir) }
    }

    pub fn at(dir: &Path) -> Self {
        let mqtt = "127.0.0.1:0".to_owned();
        Self { dir: dir.to_path_buf(), _own: None, args: Vec::new(), wrapper: None, mqtt }
    }

    /// A further command-line argument.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// MQTT at this address, so that it's found there again after a restart.
    pub fn mqtt_at(mut self, addr: SocketAddr) -> Self {
        self.mqtt = addr.to_string();
        self
    }

    /// Settings as a configuration file; anonymous clients keep their rights.
    pub fn config(mut self, text: &str) -> Self {
        let file = self.dir.join("headwater.toml");
        fs::write(&file, format!("[access]\nanonymous = \"all\"\n{text}")).expect("write the configuration");
        self.args.extend(["--config".into(), file.display().to_string()]);
        self
    }

    /// A line of shell that runs first in the program's process (`ulimit ...`).
    pub fn wrapper(mut self, line: &str) -> Self {
        self.wrapper = Some(line.to_owned());
        self
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.data().join("events.log")
    }

    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_headwater");
        match &self.wrapper {
            None => Command::new(program),
            Some(line) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("{line}; exec \"$0\" \"$@\""), program]);
                command
            }
        }
    }

    /// Runs a subcommand to its end.
    pub fn run(&self, args: &[&str]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_headwater")).args(args).output().expect("run headwater")
    }

    /// Starts the hub and waits until it says that every address is bound.
    pub fn start(&self) -> Running {
        match self.try_start() {
            Ok(running) => running,
            Err((status, said)) => panic!("the hub ended with {status} before it was ready:\n{said}"),
        }
    }

    /// The same, where it may refuse to start: the exit status and what it said.
    pub fn try_start(&self) -> Result<Running, (ExitStatus, String)> {
        let ready = self.dir.join("ready");
        let _ = fs::remove_file(&ready);
        let said = self.dir.join("said");
        let mut child = self
            .command()
            .args(["serve", "--http", "127.0.0.1:0", "--frames", "127.0.0.1:0", "--mqtt", &self.mqtt])
            .arg("--data")
            .arg(self.data())
            .arg("--ready-file")
            .arg(&ready)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).expect("a file for what it says"))
            .spawn()
            .expect("start headwater");
        let begun = Instant::now();
        let lines = loop {
            if let Ok(lines) = fs::read_to_string(&ready) {
                break lines;
            }
            if let Some(status) = child.try_wait().expect("wait") {
                return Err((status, fs::read_to_string(&said).unwrap_or_default()));
            }
            assert!(begun.elapsed() < PATIENCE, "not ready: {}", fs::read_to_string(&said).unwrap_or_default());
            std::thread::yield_now();
        };
        // A process that isn't an edge has no MQTT and no frames; whoever asks it by them finds nobody.
        let address = |protocol: &str| -> SocketAddr {
            let line = lines.lines().find_map(|line| line.strip_prefix(&format!("listening {protocol} ")));
            line.map_or(SocketAddr::from(([127, 0, 0, 1], 0)), |addr| addr.trim().parse().expect("an address"))
        };
        Ok(Running { http: address("http"), frames: address("frames"), mqtt: address("mqtt"), child, said })
    }

    /// The events that the log holds now, as `headwater log export` tells them.
    pub fn export(&self) -> Vec<serde_json::Value> {
        let data = self.data().display().to_string();
        let output = self.run(&["log", "export", "--data", &data]);
        assert!(output.status.success(), "export: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("export is UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("export is JSON")).collect()
    }
}

/// A hub that runs; killed when it's dropped.
pub struct Running {
    pub http: SocketAddr,
    pub frames: SocketAddr,
    pub mqtt: SocketAddr,
    child: Child,
    said: PathBuf,
}

impl Running {
    /// `kill -9`, and nothing is left of the process when this returns.
    pub fn kill(mut self) {
        self.kill_now();
    }

    pub fn kill_now(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal (`-HUP`).
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }

    /// SIGTERM, and the exit status.
    pub fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "SIGTERM didn't end it: {}", self.said());
            std::thread::yield_now();
        }
    }

    /// What it said on stderr so far.
    pub fn said(&self) -> String {
        let mut text = String::new();
        let _ = fs::File::open(&self.said).and_then(|mut file| file.read_to_string(&mut text));
        text
    }

    /// Its resident memory now, in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_now();
    }
}

/// Whether a process died of a signal or a panic rather than ending by itself.
pub fn crashed(status: ExitStatus) -> bool {
    status.signal().is_some() || status.code() == Some(101)
}

/// Says that a test can't run here. `./scripts/test` provides everything, so there it is a failure.
pub fn skipped(what: &str) {
    assert!(std::env::var_os("HEADWATER_NO_SKIP").is_none(), "skipped: no {what}");
    println!("skipped: no {what}");
}
