//! `headwater check`: reads the settings, users, rules and keys as `serve` would, and prints what the settings mean.

use std::io::Write;

use super::read::{Sources, load};
use super::reference;
use super::table::KEYS;
use crate::access::Files;
use crate::cli::CheckArgs;
use crate::exit;

/// Runs the command.
///
/// # Errors
/// All faults of the settings at once (usage), or what stdout says.
pub fn run(args: &CheckArgs) -> anyhow::Result<()> {
    if args.reference {
        return Ok(std::io::stdout().write_all(reference::page().as_bytes())?);
    }
    let loaded = Sources::gather(&args.settings).and_then(|sources| load(&sources));
    let mut loaded = loaded.map_err(|faults| exit::Usage(faults.to_string()))?;
    let files = Files::new(&loaded).read().map_err(|faults| exit::Usage(faults.to_string()))?;
    let mut out = Vec::new();
    for (key, origin) in KEYS.iter().zip(&loaded.origins) {
        let value = key.show(&mut loaded.config);
        if args.json {
            let mut line = serde_json::json!({ "key": key.name, "value": value, "origin": origin.to_string() });
            if let Some((min, max)) = key.bounds() {
                line["min"] = min.into();
                line["max"] = max.into();
            }
            writeln!(out, "{line}")?;
        } else if args.origin {
            writeln!(out, "{:<34} {:<28} # {origin}", key.name, value)?;
        } else {
            writeln!(out, "{:<34} {value}", key.name)?;
        }
    }
    for (key, value, origin) in loaded.config.bridges.iter().flat_map(super::Bridge::told) {
        if args.json {
            writeln!(out, "{}", serde_json::json!({ "key": key, "value": value, "origin": origin }))?;
        } else if args.origin {
            writeln!(out, "{key:<34} {value:<28} # {origin}")?;
        } else {
            writeln!(out, "{key:<34} {value}")?;
        }
    }
    std::io::stdout().write_all(&out)?;
    if loaded.file.is_none() {
        eprintln!("no settings file: these are flags, environment and defaults");
    }
    eprintln!("access: {}", files.told());
    for remark in files.remarks {
        eprintln!("access: {remark}");
    }
    Ok(())
}
