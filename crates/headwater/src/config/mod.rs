//! The settings: what was written (flags, environment, file), what it means, and what runs.
//!
//! [`table::KEYS`] describes every setting once; reading, checking, printing and the reference page all come from it.

mod bridge;
pub mod check;
mod fault;
mod file;
mod key;
mod nearest;
mod quantity;
mod read;
mod reference;
mod role;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod url;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use headwater_apps::alerts::{AlertsSettings, ProcessorSettings};
use headwater_apps::shop::ShopSettings;
use headwater_edge::accept::AcceptSettings;
use headwater_edge::frames::FrameSettings;
use headwater_edge::mqtt::MqttSettings;
use headwater_edge::socketio;
use headwater_edge::tls::Spoken;
use headwater_edge::{http, ws};
use headwater_event::Durability;
use headwater_eventlog::OpenOptions;
use headwater_hub::access::{AskRules, TokenRules};
use headwater_service::StoreUrl;

use crate::nodes;

pub use bridge::Bridge;
pub use fault::Faults;
pub use file::line_of;
pub use nearest::nearest;
use quantity::show_size;
pub use read::{Loaded, Open, Sources, load};
pub use role::Role;
pub use tls::{Cert, Tls};
pub use url::without_password;

/// The word for the engine that is built in.
pub const EMBEDDED: &str = "embedded";

/// The word for an engine that keeps its own state.
pub const NO_STATE: &str = "none";

/// What runs.
#[derive(Clone)]
pub struct Config {
    /// What this process does.
    pub roles: Vec<Role>,
    /// What keeps the events: `embedded`, or an address.
    pub engine: String,
    /// Where an engine's state is that it can't keep itself, or [`NO_STATE`].
    pub state: String,
    /// What the engine's acknowledgement must mean at the least; `None` leaves it to the kind of engine.
    pub require_durability: Option<Durability>,
    /// Where services keep their tables: `sqlite`, or an address.
    pub store: String,
    /// For how long a start waits for servers that can't be reached yet.
    pub start_wait: Duration,
    /// What this process is called among others; `auto` leaves it to the program.
    pub node_id: String,
    /// How the log is opened, and where it lives.
    pub log: OpenOptions,
    /// Where HTTP, SSE and WebSocket listen.
    pub http: Address,
    /// Where the frame protocol listens.
    pub frames: Address,
    /// Where MQTT listens.
    pub mqtt: Address,
    /// Which listeners speak TLS, and with what.
    pub tls: Tls,
    /// What an HTTP connection may take.
    pub http_edge: http::Limits,
    /// How WebSockets behave, and which sites' pages may use the hub.
    pub ws: ws::Settings,
    /// Under which names beside addresses and `localhost` the hub answers.
    pub hosts: Vec<String>,
    /// What the frame edge allows.
    pub frames_edge: FrameSettings,
    /// What the MQTT edge allows.
    pub mqtt_edge: MqttSettings,
    /// How Socket.IO behaves, and whether it is served.
    pub socketio: SocketIo,
    /// How connections are taken, on every listener alike.
    pub accept: AcceptSettings,
    /// What the hub is started with; its access comes from `anonymous`.
    pub hub: headwater_hub::Settings,
    /// Which applications run.
    pub apps: Vec<App>,
    /// The shop.
    pub shop: Shop,
    /// The public alerts.
    pub alerts: Alerts,
    /// Bridges to other brokers.
    pub bridges: Vec<Bridge>,
    /// Where users, rules and keys lie.
    pub access: AccessFiles,
    /// Who may do what without an identity.
    pub anonymous: Anonymous,
    /// What is told on stderr.
    pub logging: Logging,
}

/// Where a listener is bound; `None` switches it off.
pub type Address = Option<SocketAddr>;

/// Socket.IO's settings.
#[derive(Clone, Debug)]
pub struct SocketIo {
    /// Whether it is served.
    pub is_on: bool,
    /// What it allows.
    pub edge: socketio::Settings,
}

/// The shop's settings.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Its routes also stand at `/inventory` and `/order`.
    pub root_paths: bool,
    /// After how long a reservation is released whose order never came.
    pub release_after: Duration,
}

/// The settings of the public alerts.
#[derive(Clone, Debug)]
pub struct Alerts {
    /// The same content within this time is the same alert.
    pub window: Duration,
    /// For how long it is on record who sent what.
    pub record_kept: Duration,
    /// Who sends, in CAP messages that are given out.
    pub cap_sender: String,
}

/// An application that ships with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// Acknowledged message logging.
    Intake,
    /// A web shop.
    Shop,
    /// Public alerts.
    Alerts,
}

impl App {
    /// All that there are.
    pub const ALL: [Self; 3] = [Self::Intake, Self::Shop, Self::Alerts];

    /// Its name in settings and in paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Shop => "shop",
            Self::Alerts => "alerts",
        }
    }

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Intake => "Message log",
            Self::Shop => "Web shop",
            Self::Alerts => "Public alerts",
        }
    }

    /// What it is, in a few words.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Intake => "what clients log over the frame protocol, live",
            Self::Shop => "catalogue, orders and stock, with the books kept right",
            Self::Alerts => "what sources report, told to everybody at once",
        }
    }
}

/// What somebody without an identity may do, beside what rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Everything on a machine that tries the hub out (no settings file, loopback only), nothing elsewhere.
    Auto,
    /// Publish and watch everywhere but on reserved topics; and so may everybody else, whatever rules say.
    All,
    /// Nothing, whatever rules say.
    None,
}

/// Where users, rules and keys lie, and what is asked of tokens.
#[derive(Clone, Debug)]
pub struct AccessFiles {
    /// The users; `None` for the usual name in the data folder.
    pub users_file: Option<PathBuf>,
    /// The rules; `None` for the usual name in the data folder.
    pub rules_file: Option<PathBuf>,
    /// The keys that tokens are signed with; without them no token is taken.
    pub token_keys_file: Option<PathBuf>,
    /// What a token must say.
    pub tokens: TokenRules,
    /// Whether a service is asked about strangers.
    pub asks_service: bool,
    /// How it is asked.
    pub asking: AskRules,
}

impl Default for AccessFiles {
    fn default() -> Self {
        Self {
            users_file: None,
            rules_file: None,
            token_keys_file: None,
            tokens: TokenRules::default(),
            asks_service: false,
            // A login waits so long at the most; and a device that comes back after an outage isn't asked about again.
            asking: AskRules { wait: Duration::from_secs(2), holds: Duration::from_secs(3_600) },
        }
    }
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
            roles: Role::ALL.to_vec(),
            engine: EMBEDDED.to_owned(),
            state: NO_STATE.to_owned(),
            require_durability: None,
            store: "sqlite".to_owned(),
            start_wait: Duration::ZERO,
            node_id: nodes::AUTO.to_owned(),
            log: OpenOptions::new("./headwater-data"),
            http: local(8080),
            frames: local(7007),
            mqtt: local(1883),
            tls: Tls::default(),
            http_edge: http::Limits::default(),
            ws: ws::Settings::default(),
            hosts: Vec::new(),
            frames_edge: FrameSettings::default(),
            mqtt_edge: MqttSettings::default(),
            socketio: SocketIo { is_on: true, edge: socketio::Settings::default() },
            accept: AcceptSettings::default(),
            hub: headwater_hub::Settings::default(),
            apps: App::ALL.to_vec(),
            shop: Shop { root_paths: false, release_after: ShopSettings::default().release_after },
            alerts: Alerts {
                window: ProcessorSettings::WINDOW,
                record_kept: ProcessorSettings::RECORD_KEPT,
                cap_sender: AlertsSettings::CAP_SENDER.to_owned(),
            },

            bridges: Vec::new(),
            access: AccessFiles::default(),
            anonymous: Anonymous::Auto,
            logging: Logging { level: "info".to_owned(), json: false },
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Config")
    }
}

impl Config {
    /// What single settings can't say: how they stand to each other.
    fn check_together(&self, faults: &mut Faults) {
        let limits = &self.hub.limits;
        if limits.waiting_bytes_max < limits.payload_max {
            let what = format!(
                "{} is less than limits.payload_max ({}): an event of the largest size could never be taken",
                show_size(limits.waiting_bytes_max as u64),
                show_size(limits.payload_max as u64)
            );
            faults.add("limits.waiting_bytes_max", what, None);
        }
        let path = &self.socketio.edge.path;
        if !path.starts_with('/') || path.ends_with('/') || path.contains(['?', '#', ' ']) {
            let what = format!(
                "{path:?} is no path: it begins with a slash and ends without one, as {:?} does",
                socketio::Settings::PATH
            );
            faults.add("socketio.path", what, None);
        }
        if let Err(what) = nodes::check_id(&self.node_id) {
            faults.add("node_id", what, None);
        }
        self.check_tls(faults);
        bridge::check_together(self, faults);
        if self.listeners().next().is_none() {
            faults.add("http.addr, mqtt.addr, frames.addr", "every listener is off: nobody could reach the hub", None);
        }
    }

    /// Where services keep their tables.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn store_url(&self) -> anyhow::Result<StoreUrl> {
        // The word alone means the data folder.
        let text = if self.store == "sqlite" { "sqlite:" } else { &self.store };
        Ok(StoreUrl::new(text, &self.log.folder)?)
    }

    /// The listeners that are on.
    pub fn listeners(&self) -> impl Iterator<Item = SocketAddr> {
        [Spoken::Http, Spoken::Mqtt, Spoken::Frames]
            .into_iter()
            .flat_map(|spoken| self.addresses(spoken))
            .map(|(addr, _)| addr)
    }
}
