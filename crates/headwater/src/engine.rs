//! What keeps the events: the embedded log, or a server of another kind that runs already.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use headwater_event::Bus;
use headwater_eventlog::disk::RealDisk;
use headwater_eventlog::{EventLog, SlowDisk};

use crate::config::{Config, EMBEDDED, without_password};
use crate::exit;

/// The engine of this process.
pub struct Engine {
    /// The seam to it.
    pub bus: Arc<dyn Bus>,
    /// The log in the data folder, where that is the engine.
    pub embedded: Option<Arc<EventLog>>,
}

impl Engine {
    /// Opens the log, or connects to the server that the settings name.
    ///
    /// # Errors
    /// A sentence that says what is wrong, and where.
    pub async fn open(config: &Config, sync_delay: Option<u64>) -> anyhow::Result<Self> {
        if config.engine == EMBEDDED {
            let log = Arc::new(open_log(config, sync_delay)?);
            return Ok(Self { bus: log.clone(), embedded: Some(log) });
        }
        let shown = without_password(&config.engine);
        exit::usage(format!("the engine {shown} is not built into this program: leave it out, or say \"embedded\""))
    }

    /// Closes the log in good order; a server needs no word.
    ///
    /// # Errors
    /// When what is left can't be written.
    pub async fn close(self) -> anyhow::Result<()> {
        let Some(log) = self.embedded else { return Ok(()) };
        tokio::task::spawn_blocking(move || log.close()).await?.context("can't close the log")
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
