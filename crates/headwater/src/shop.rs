//! `headwater shop`: looks into the shop's tables, with the shop running or not.

use std::io::Write;

use anyhow::Context;
use clap::{Args, Subcommand};
use headwater_apps::shop::{audit, inventory, order};
use headwater_service::Store;

use crate::cli::SettingArgs;
use crate::config::{self, Sources};
use crate::exit;

/// What is looked at.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  headwater shop audit
  headwater shop audit --store postgres://shop:secret@db/shop --json

Exit codes: 0 the books are right, 1 they aren't, or can't be read.")]
pub struct ShopArgs {
    #[command(subcommand)]
    command: ShopCommand,
}

#[derive(Debug, Subcommand)]
enum ShopCommand {
    /// Check that of every product what is in stock, reserved and sold is what was booked in
    Audit {
        #[command(flatten)]
        settings: Box<SettingArgs>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// The books aren't right, or can't be read.
pub fn run(args: ShopArgs) -> anyhow::Result<()> {
    let ShopCommand::Audit { settings, json } = args.command;
    let loaded = Sources::gather(&settings).and_then(|sources| config::load(&sources));
    let config = loaded.map_err(|faults| exit::Usage(faults.to_string()))?.config;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let report = runtime.block_on(async {
        let url = config.store_url()?;
        let open = async |name: &str| {
            let store = Store::open(&url, name).await;
            store.with_context(|| format!("can't open the store {name} in {url}"))
        };
        let (stock, orders) = (open(inventory::NAME).await?, open(order::NAME).await?);
        anyhow::Ok(audit::audit(&stock.reader(), Some(&orders.reader())).await?)
    })?;
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{report}")?;
    }
    anyhow::ensure!(report.is_balanced(), "the books are not right: {} faults", report.faults.len());
    Ok(())
}
