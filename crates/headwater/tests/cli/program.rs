//! The real program, run to its end or started on free ports in a folder of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use tempfile::TempDir;

/// The program in a folder of its own, without the settings of whoever runs the test.
pub fn headwater(folder: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HEADWATER_")) {
        command.env_remove(name);
    }
    command.args(args).current_dir(folder.path()).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(folder: &TempDir, args: &[&str]) -> Output {
    headwater(folder, args).output().expect("run headwater")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("stdout is UTF-8")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A hub that runs; killed when it's dropped.
pub struct Hub {
    pub http: SocketAddr,
    pub frames: SocketAddr,
    pub folder: TempDir,
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Hub {
    pub fn start(more: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), "127.0.0.1:0", more)
    }

    /// Starts it, and waits for the lines that tell its addresses.
    pub fn start_in(folder: TempDir, http: &str, more: &[&str]) -> Self {
        let args =
            [&["serve", "--data", "data", "--http", http, "--frames", "127.0.0.1:0", "--mqtt", "off"], more].concat();
        let said = std::fs::File::create(folder.path().join("said")).expect("a file");
        let mut child = headwater(&folder, &args).stdout(Stdio::piped()).stderr(said).spawn().expect("start headwater");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let mut addresses = ["http", "frames"].map(|protocol| {
            let mut line = String::new();
            stdout.read_line(&mut line).expect("a line");
            let addr = line.strip_prefix(&format!("listening {protocol} ")).and_then(|addr| addr.trim().parse().ok());
            addr.unwrap_or_else(|| {
                let said = std::fs::read_to_string(folder.path().join("said")).unwrap_or_default();
                panic!("not the line of {protocol}: {line:?}; it said:\n{said}")
            })
        });
        let [http, frames] = std::mem::replace(&mut addresses, [SocketAddr::from(([0; 4], 0)); 2]);
        Self { http, frames, folder, child, stdout }
    }

    pub fn addr(&self) -> String {
        self.http.to_string()
    }

    /// Runs another command beside it.
    pub fn run(&self, args: &[&str]) -> Output {
        run(&self.folder, args)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(self.path("said")).expect("what it said")
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill").success());
    }

    /// Waits for its end: its status and what it still printed.
    pub fn wait(&mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("the rest of stdout");
        (self.child.wait().expect("wait"), rest)
    }

    /// Kills it and gives its folder back, to start again in.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
        std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder"))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
