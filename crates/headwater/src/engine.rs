//! What keeps the events: the embedded log, or a server of another kind that runs already.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use headwater_event::{Bus, Durability};
use headwater_eventlog::disk::RealDisk;
use headwater_eventlog::{EventLog, SlowDisk};
use headwater_link::Options;
use uuid::Uuid;

use crate::config::{Config, EMBEDDED, NO_STATE, without_password};
use crate::exit;
use crate::start_wait::{Away, StartWait};

/// How much of a process's name to its engine tells its place from others'.
const PLACE_LEN: usize = 8;

/// The engine of this process.
pub struct Engine {
    /// The seam to it.
    pub bus: Arc<dyn Bus>,
    /// What tells this process's place from others' on the same machine, the same after every restart.
    pub place: String,
    /// The log in the data folder, where that is the engine.
    pub embedded: Option<Arc<EventLog>>,
    link: Option<headwater_link::Engine>,
}

impl Engine {
    /// Opens the log, or connects to the server that the settings name.
    ///
    /// # Errors
    /// A sentence that says what is wrong, and where.
    pub async fn open(config: &Config, start_wait: &mut StartWait, sync_delay: Option<u64>) -> anyhow::Result<Self> {
        if config.engine == EMBEDDED {
            if config.state != NO_STATE {
                let why = "the embedded log keeps its own state: `--state` is for `--engine amqp://...` alone";
                return Err(exit::Usage(why.to_owned()).into());
            }
            let log = Arc::new(open_log(config, sync_delay)?);
            let place = format!("{:08x}", log.head().epoch);
            return Ok(Self { bus: log.clone(), place, embedded: Some(log), link: None });
        }
        let shown = without_password(&config.engine);
        let instance = instance(&config.log.folder)?;
        let place = instance.chars().take(PLACE_LEN).collect();
        let link = start_wait.reach(async || link(config, instance.clone()).await).await?;
        let bus = link.bus();
        tracing::info!("the engine is {shown}; what it acknowledges is {}", meant(bus.abilities().durability));
        Ok(Self { bus, place, embedded: None, link: Some(link) })
    }

    /// Ends in good order: what is unfinished stays with the engine.
    ///
    /// # Errors
    /// When what is left can't be written.
    pub async fn close(self) -> anyhow::Result<()> {
        if let Some(link) = self.link {
            link.close().await;
        }
        let Some(log) = self.embedded else { return Ok(()) };
        tokio::task::spawn_blocking(move || log.close()).await?.context("can't close the log")
    }
}

/// Connects to the server that the settings name, as this process.
///
/// # Errors
/// Why not, in a sentence, and whether trying again may help.
pub async fn link(config: &Config, instance: String) -> Result<headwater_link::Engine, Away> {
    let clock = config.hub.clock.clone();
    let state = (config.state != NO_STATE).then(|| config.state.clone());
    let options = Options { clock, require: config.require_durability, state, ..Options::new(instance) };
    Ok(headwater_link::open(&config.engine, options).await?)
}

/// Who this process is to an engine, the same after every restart: made once, and kept in the data folder.
fn instance(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("engine-id");
    match std::fs::read_to_string(&path) {
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
    }
    let id = Uuid::new_v4().to_string();
    let write = || {
        std::fs::create_dir_all(folder)?;
        let temporary = folder.join("engine-id.new");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(id.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)
    };
    write().with_context(|| format!("can't write {}", path.display()))?;
    Ok(id)
}

const fn meant(durability: Durability) -> &'static str {
    match durability {
        Durability::Written => "written, and not on a disk for certain",
        Durability::Quorum => "with a quorum of machines",
        Durability::Synced => "on disk",
    }
}

fn open_log(config: &Config, sync_delay: Option<u64>) -> anyhow::Result<EventLog> {
    let began = Instant::now();
    let mut options = config.log.clone();
    if let Some(ms) = sync_delay {
        tracing::warn!("every sync takes {ms} ms longer (--test-sync-delay): this hub is for a benchmark");
        let folder = &options.folder;
        let disk = RealDisk::new(folder).with_context(|| format!("can't make the data folder {}", folder.display()))?;
        options.disk = Some(Arc::new(SlowDisk::new(Arc::new(disk), Duration::from_millis(ms))));
    }
    let folder = options.folder.display().to_string();
    let log = EventLog::open(options)?;
    tracing::info!("the log in {folder} is open at {} after {} ms", log.head(), began.elapsed().as_millis());
    Ok(log)
}
