//! What all listeners that speak TLS share: certificates that can be replaced, and how many handshakes go on at once.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::available_parallelism;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::material::{TlsError, TlsMaterial};

/// What is spoken inside of the encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1, and WebSocket in it.
    Http,
    /// MQTT.
    Mqtt,
    /// The frame protocol.
    Frames,
}

impl Spoken {
    /// The names that a client may ask for (ALPN). A client that asks for none is served; one that asks for others only is
    /// refused, as RFC 7301 wants it, but for frames: they have no registered name, so whatever is asked is passed over.
    const fn names(self) -> &'static [&'static [u8]] {
        match self {
            Self::Http => &[b"http/1.1"],
            Self::Mqtt => &[b"mqtt"],
            Self::Frames => &[],
        }
    }
}

/// How many handshakes, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// How long a handshake may take, from the connection to its end.
    pub handshake: Duration,
    /// Handshakes that are going on; further connections are closed at once.
    pub handshakes_max: usize,
}

impl TlsSettings {
    /// 10 s, as for every first word of a client: three round trips to the other side of the world take one.
    pub const HANDSHAKE: Duration = Duration::from_secs(10);

    /// 10,000: so many clients come back at once after a restart; with at most 16 KiB each they hold 160 MiB.
    pub const HANDSHAKES_MAX: usize = 10_000;
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self { handshake: Self::HANDSHAKE, handshakes_max: Self::HANDSHAKES_MAX }
    }
}

/// TLS as all listeners share it.
pub struct Tls {
    settings: TlsSettings,
    configs: RwLock<Configs>,
    /// One for each handshake that goes on, waiting ones too.
    going_on: Arc<Semaphore>,
    /// One for each handshake that computes. A handshake computes for up to a millisecond at a time and a flood of them
    /// would stand in line before everybody's deliveries; this keeps all but a few out of the runtime's line.
    computing: Semaphore,
}

/// Replaced as a whole: connections that were accepted before keep what they began with.
#[derive(Clone)]
struct Configs {
    http: Arc<ServerConfig>,
    mqtt: Arc<ServerConfig>,
    frames: Arc<ServerConfig>,
}

impl Configs {
    fn new(material: &TlsMaterial) -> Result<Self, TlsError> {
        let of = |spoken: Spoken| material.config(spoken.names()).map(Arc::new);
        Ok(Self { http: of(Spoken::Http)?, mqtt: of(Spoken::Mqtt)?, frames: of(Spoken::Frames)? })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Tls {
    /// With these certificates to begin with.
    ///
    /// # Errors
    /// When they can't be used together.
    pub fn new(material: &TlsMaterial, settings: TlsSettings) -> Result<Arc<Self>, TlsError> {
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(Arc::new(Self {
            settings,
            configs: RwLock::new(Configs::new(material)?),
            going_on: Arc::new(Semaphore::new(settings.handshakes_max.clamp(1, Semaphore::MAX_PERMITS))),
            // Half of the machine is left to those who are connected already.
            computing: Semaphore::new(cores.div_ceil(2)),
        }))
    }

    /// From now on these certificates are shown and asked for; present connections go on with what they have.
    ///
    /// # Errors
    /// When they can't be used; then nothing has changed.
    pub fn replace(&self, material: &TlsMaterial) -> Result<(), TlsError> {
        let configs = Configs::new(material)?;
        *self.configs.write().unwrap_or_else(PoisonError::into_inner) = configs;
        Ok(())
    }

    pub(super) fn config(&self, spoken: Spoken) -> Arc<ServerConfig> {
        let configs = self.configs.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(match spoken {
            Spoken::Http => &configs.http,
            Spoken::Mqtt => &configs.mqtt,
            Spoken::Frames => &configs.frames,
        })
    }

    pub(super) const fn time_max(&self) -> Duration {
        self.settings.handshake
    }

    /// A place among the handshakes that go on, if there is one.
    pub(super) fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.going_on).try_acquire_owned().ok()
    }

    /// Waits for the turn to compute. Whoever has it must not wait for anything while it does.
    pub(super) async fn compute(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.computing.acquire().await.ok()
    }
}
