//! Sends a file's lines over the frame protocol.

use crate::exit;

/// What `headwater send` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Always, as long as the frame protocol's client isn't here.
pub fn run(_args: Args) -> anyhow::Result<()> {
    exit::usage("this build has no `send` yet")
}
