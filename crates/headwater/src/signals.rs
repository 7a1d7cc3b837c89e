//! Being told to stop: the first SIGTERM or SIGINT asks for an end in good order, the second ends at once. SIGHUP asks for
//! users, rules and keys to be read anew.

use std::io::{self, IsTerminal, stderr};
use std::process;

use rustix::termios::tcgetattr;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the shell sees of a process that a signal ended: 128 and the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An end in good order; the signal's name.
    End(&'static str),
    /// Reading users, rules and keys anew.
    Reload,
}

/// The signals, listened for since this was made.
#[derive(Debug)]
pub struct Signals {
    hup: Signal,
    has_terminal: bool,
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Begins to listen; from here on the signals don't end the process by themselves.
    ///
    /// # Errors
    /// As the system says.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            has_terminal: stderr().is_terminal(),
            hup: signal(SignalKind::hangup())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn asked(&mut self) -> Asked {
        tokio::select! {
            _ = self.hup.recv() => {
                // A terminal that is closed says so by this signal too, and takes what runs in it with it.
                if self.has_terminal && tcgetattr(stderr()).is_err() { Asked::End("SIGHUP") } else { Asked::Reload }
            }
            _ = self.term.recv() => Asked::End("SIGTERM"),
            _ = self.int.recv() => Asked::End("SIGINT"),
        }
    }

    /// Waits until one asks for the end; gives its name. Others are passed over.
    pub async fn told_to_end(&mut self) -> &'static str {
        loop {
            if let Asked::End(name) = self.asked().await {
                return name;
            }
        }
    }

    /// Ends the process at the next one: whoever asks twice doesn't want to wait. (Nothing acknowledged is lost: that
    /// holds for `kill -9` too.)
    pub async fn insisted(mut self) {
        let (name, number) = self.next().await;
        tracing::warn!("{name} came again: ending at once");
        process::exit(ENDED_BY_SIGNAL + number);
    }

    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.term.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
            _ = self.int.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
        }
    }
}
