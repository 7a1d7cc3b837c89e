//! Measures a hub.

use crate::exit;

/// What `headwater bench` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// Always, as long as the load generator isn't here.
pub fn run(_args: Args) -> anyhow::Result<()> {
    exit::usage("this build has no `bench` yet")
}
