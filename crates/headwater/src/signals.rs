//! Being told to stop: the first SIGTERM or SIGINT asks for an end in good order, the second ends at once.

use std::io;
use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the shell sees of a process that a signal ended: 128 and the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// Both signals, listened for since this was made.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Begins to listen; from here on the signals don't end the process by themselves.
    ///
    /// # Errors
    /// As the system says.
    pub fn listen() -> io::Result<Self> {
        // From here on it asks for nothing that would end us: who cares for it listens for it (`tls::keep_current`).
        drop(signal(SignalKind::hangup())?);
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for the first one and gives its name.
    pub async fn asked(&mut self) -> &'static str {
        self.next().await.0
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
