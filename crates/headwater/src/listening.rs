//! Tells where the hub listens: lines on stdout, and the same lines in the ready file.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use headwater_edge::tls::Spoken;

/// The addresses that are bound so far.
#[derive(Debug, Default)]
pub struct Listening {
    all: Vec<(&'static str, SocketAddr)>,
}

impl Listening {
    /// Protocol and address of each.
    pub fn all(&self) -> &[(&'static str, SocketAddr)] {
        &self.all
    }

    /// Prints one line, flushed at once: who started the hub may wait for it.
    ///
    /// # Errors
    /// When stdout can't be written to (but for a closed pipe, which is the reader's choice).
    pub fn announce(&mut self, protocol: &'static str, addr: SocketAddr) -> io::Result<()> {
        self.all.push((protocol, addr));
        let line = line(protocol, addr);
        let mut out = io::stdout().lock();
        match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes the ready file: whole or not at all, so that a reader never sees half of it.
    ///
    /// # Errors
    /// When the file can't be written beside its place or put there.
    pub fn write_ready_file(&self, path: &Path) -> anyhow::Result<()> {
        let lines: String = self.all.iter().map(|(protocol, addr)| line(protocol, *addr)).collect();
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        let written = fs::write(&name, lines).and_then(|()| fs::rename(&name, path));
        written.with_context(|| format!("can't write the ready file {}", path.display()))
    }
}

/// What a protocol is called in these lines, plain and encrypted.
pub const fn protocol_name(spoken: Spoken, is_encrypted: bool) -> &'static str {
    match (spoken, is_encrypted) {
        (Spoken::Http, false) => "http",
        (Spoken::Http, true) => "https",
        (Spoken::Mqtt, false) => "mqtt",
        (Spoken::Mqtt, true) => "mqtts",
        (Spoken::Frames, false) => "frames",
        (Spoken::Frames, true) => "frames-tls",
    }
}

fn line(protocol: &str, addr: SocketAddr) -> String {
    format!("listening {protocol} {addr}\n")
}
