//! A hub of our own for a measurement: this very program, started on free ports, ended with the measurement.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long a hub may take to be ready: a log of many GiB may have to be read.
const READY_TIME_MAX: Duration = Duration::from_secs(300);
/// Between two questions whether it is ready. A hundredth of the shortest time that a goal names.
const STEP: Duration = Duration::from_millis(1);

/// A running hub. Dropping it kills it.
#[derive(Debug)]
pub struct Hub {
    child: Child,
    pub frames: SocketAddr,
    pub http: SocketAddr,
    /// From the start of the process until /readyz was good.
    pub ready_in: Duration,
}

impl Hub {
    /// Starts a hub over this folder, with settings as `--set` takes them and flags of `serve`.
    ///
    /// # Errors
    /// When it doesn't start, or isn't ready in time.
    pub fn start(data: &Path, settings: &[String], flags: &[&str]) -> anyhow::Result<Self> {
        let begin = Instant::now();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--http", "127.0.0.1:0", "--frames", "127.0.0.1:0", "--mqtt", "off", "--data"]);
        command.arg(data).args(flags).env("HEADWATER_LOGGING_LEVEL", "warn");
        settings.iter().for_each(|setting| {
            command.args(["--set", setting]);
        });
        let mut child = command.stdout(Stdio::piped()).spawn().context("can't start a hub")?;
        let addresses = listening(&mut child);
        let mut hub = match addresses {
            Ok((frames, http)) => Self { child, frames, http, ready_in: Duration::ZERO },
            Err(error) => {
                end(&mut child);
                return Err(error);
            }
        };
        while !is_ready(hub.http) {
            if begin.elapsed() > READY_TIME_MAX {
                bail!("the hub isn't ready after {} s", READY_TIME_MAX.as_secs());
            }
            thread::sleep(STEP);
        }
        hub.ready_in = begin.elapsed();
        Ok(hub)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it's gone.
    pub fn kill(mut self) {
        end(&mut self.child);
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// It may have ended by itself, which is as good.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Reads the `listening PROTOCOL ADDR` lines until both are there.
fn listening(child: &mut Child) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let stdout = child.stdout.take().context("the hub has no stdout")?;
    let (mut frames, mut http) = (None, None);
    for line in BufReader::new(stdout).lines() {
        match line?.split_whitespace().collect::<Vec<_>>()[..] {
            ["listening", "frames", addr] => frames = Some(addr.parse()?),
            ["listening", "http", addr] => http = Some(addr.parse()?),
            _ => {}
        }
        if let (Some(frames), Some(http)) = (frames, http) {
            return Ok((frames, http));
        }
    }
    bail!("the hub ended before it listened")
}

fn is_ready(http: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(http)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(&status == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// A folder for a measurement, removed with what is in it when the measurement ends.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes a new folder in `parent` (the current one when none is named), which is on the disk that is measured.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new(parent: Option<&Path>) -> anyhow::Result<Self> {
        let path = parent.unwrap_or(Path::new(".")).join(format!("headwater-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed is left for its owner to see.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
