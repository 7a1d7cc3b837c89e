//! The settings: what was written (flags, environment, file), what it means, and what runs.
//!
//! [`table::KEYS`] describes every setting once; reading, checking, printing and the reference page all come from it.

pub mod check;
mod fault;
mod file;
mod key;
mod nearest;
mod quantity;
mod read;
mod reference;
mod table;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use read::{Loaded, Open, Sources, load};

/// What runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the log and what is derived from it live.
    pub data_dir: PathBuf,
    /// Where HTTP, SSE and WebSocket listen.
    pub http: Address,
    /// Where the frame protocol listens.
    pub frames: Address,
    /// Which applications run.
    pub apps: Vec<App>,
    /// Who may do what without an identity.
    pub anonymous: Anonymous,
    /// What is told on stderr.
    pub logging: Logging,
}

/// Where a listener is bound; `None` switches it off.
pub type Address = Option<SocketAddr>;

/// An application that ships with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// Acknowledged message logging.
    Intake,
}

impl App {
    /// All that there are.
    pub const ALL: [Self; 1] = [Self::Intake];

    /// Its name in settings and in paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
        }
    }
}

/// What somebody without an identity may do, until there are rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Everything on a machine that tries the hub out (no settings file, loopback only), nothing elsewhere.
    Auto,
    /// Publish and watch everywhere but on reserved topics.
    All,
    /// Nothing.
    None,
}

/// What is told on stderr.
#[derive(Clone, Debug)]
pub struct Logging {
    /// A level, or levels by module, as `tracing-subscriber` reads them.
    pub level: String,
    /// One JSON object a line in place of text.
    pub json: bool,
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Self {
            data_dir: PathBuf::from("./headwater-data"),
            http: local(8080),
            frames: local(7007),
            apps: vec![App::Intake],
            anonymous: Anonymous::Auto,
            logging: Logging { level: "info".to_owned(), json: false },
        }
    }
}

impl Config {
    /// The listeners that are on.
    pub fn listeners(&self) -> impl Iterator<Item = SocketAddr> {
        [self.http, self.frames].into_iter().flatten()
    }
}
