//! What the program's end tells the shell: 0 good, 1 failed, 2 usage or settings.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Something failed while it ran.
const FAILED: u8 = 1;
/// The command line or the settings can't be used as they are; nothing was started.
const USAGE: u8 = 2;

/// The caller has to mend the command line or the settings. May have several lines.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Ends a command with a sentence for the one who typed it.
///
/// # Errors
/// Always.
pub fn usage<T>(sentence: impl Into<String>) -> anyhow::Result<T> {
    Err(Usage(sentence.into()).into())
}

/// The exit code of a command, after saying on stderr what went wrong.
pub fn code(done: anyhow::Result<()>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    if is_broken_pipe(&error) {
        // `headwater log export | head`: who reads has enough, and that is no failure.
        return ExitCode::SUCCESS;
    }
    eprintln!("headwater: {error:#}");
    ExitCode::from(if error.is::<Usage>() { USAGE } else { FAILED })
}

/// The exit code after clap has answered: help and version are good, the rest is usage.
pub fn after_usage(said: &clap::Error) -> ExitCode {
    // A closed pipe is no failure here either.
    let _ = said.print();
    if said.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// Only an error of our own stdout is a broken pipe in this sense; sockets name theirs in words of their own.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
