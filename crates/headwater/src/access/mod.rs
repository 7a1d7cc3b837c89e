//! Users, rules and keys as they lie in files: read, checked, put in force, and read anew while the hub runs.

mod files;
mod reload;
mod routes;
mod rules_file;
pub mod toml_file;
pub mod users_file;

use std::sync::Arc;

use headwater_hub::Access;
use headwater_hub::access::Openness;

use crate::config::{Anonymous, Loaded, Open};
use crate::exit;

pub use files::Files;
pub use reload::Reloading;
pub use routes::routes;
pub use users_file::UsersFile;

/// Reads what the settings name and puts it in force; says on stderr what everybody may.
///
/// # Errors
/// Everything that is wrong with the files, at once (usage).
pub fn open(loaded: &Loaded) -> anyhow::Result<(Access, Arc<Files>)> {
    let files = Arc::new(Files::new(loaded));
    let read = files.read().map_err(|faults| exit::Usage(faults.to_string()))?;
    let openness = files.openness();
    match (openness, loaded.open()) {
        (Openness::ThisMachine, _) => tracing::warn!(
            "no settings file, no rules and only loopback: everybody on this machine may publish and watch everything"
        ),
        (Openness::Everybody, _) => {
            tracing::warn!(
                "access.anonymous = \"all\": everybody may publish and watch everything, whatever the rules say"
            );
        }
        (Openness::Rules, Open::OnLoopback | Open::BySetting | Open::No) if read.patterns == 0 => tracing::warn!(
            "nobody may publish or watch: there is no rule that allows it ({} or access.anonymous = \"all\" would)",
            files.rules_path().display()
        ),
        (Openness::Rules, _) => tracing::info!("{}", read.told()),
    }
    read.warn();
    Ok((Access::keeping(read.policy, loaded.config.hub.clock.clone()), files))
}

/// Whether rules are asked at all.
fn openness(loaded: &Loaded, has_rules: bool) -> Openness {
    match loaded.open() {
        Open::BySetting => Openness::Everybody,
        // Whoever wrote rules wants them, also on a machine to try things out.
        Open::OnLoopback if !has_rules && loaded.config.anonymous == Anonymous::Auto => Openness::ThisMachine,
        Open::OnLoopback | Open::No => Openness::Rules,
    }
}
