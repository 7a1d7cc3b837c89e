//! Puts the settings together: defaults, then the file, then the environment, then the flags.

use std::fmt;
use std::path::{Path, PathBuf};

use super::fault::Faults;
use super::key::Key;
use super::nearest::nearest;
use super::table::{KEYS, find};
use super::{Anonymous, Config, bridge, file};
use crate::cli::SettingArgs;

/// The settings file that is read when none is named, if it's there.
const FILE_DEFAULT: &str = "headwater.toml";

/// Names with our prefix that are no settings of the hub but of the commands beside it.
const ENV_BESIDE: &[&str] =
    &["HEADWATER_CONFIG", "HEADWATER_READY_FILE", "HEADWATER_ADDR", "HEADWATER_CA", "HEADWATER_LOG", "HEADWATER_TOKEN"];

/// Names with our prefix that steer the project's own tests; the hubs that those start inherit them.
const ENV_OF_TESTS: &[&str] =
    &["HEADWATER_NO_SKIP", "HEADWATER_KILLS", "HEADWATER_POWER_CUTS", "HEADWATER_FUZZ_SECONDS"];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A line of the settings file.
    File { path: String, line: usize },
    /// A variable of the environment.
    Env(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path} line {line}"),
            Self::Env(name) => f.write_str(name),
            Self::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

/// What the settings are read from; a test brings its own.
#[derive(Debug, Default)]
pub struct Sources {
    /// The file's name and text.
    pub file: Option<(String, String)>,
    /// Variables with our prefix.
    pub env: Vec<(String, String)>,
    /// Flags that were given: the flag, the setting's name, the text.
    pub flags: Vec<(String, String, String)>,
}

/// The settings with their origins.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What runs.
    pub config: Config,
    /// The file that was read.
    pub file: Option<String>,
    /// Where each value comes from, in the order of the table.
    pub origins: Vec<Origin>,
}

impl Sources {
    /// Takes the flags, the process's environment, and the settings file that they name.
    ///
    /// # Errors
    /// When the named file can't be read, or a flag has no `=`.
    pub fn gather(args: &SettingArgs) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let env = our_variables();
        let named = args
            .config
            .clone()
            .or_else(|| env.iter().find(|(name, _)| name == "HEADWATER_CONFIG").map(|(_, path)| PathBuf::from(path)));
        let file = read_file(named.as_deref(), &mut faults);
        let mut flags: Vec<_> = args
            .given()
            .filter_map(|(flag, text)| {
                let key = KEYS.iter().find(|key| key.flag == Some(flag))?;
                Some((flag.to_owned(), key.name.to_owned(), text.to_owned()))
            })
            .collect();
        for pair in &args.set {
            match pair.split_once('=') {
                Some((name, text)) => {
                    flags.push((format!("set {}", name.trim()), name.trim().to_owned(), text.trim().to_owned()));
                }
                None => faults.add("--set", format!("{pair:?} is not of the form KEY=VALUE"), None),
            }
        }
        if faults.0.is_empty() { Ok(Self { file, env, flags }) } else { Err(faults) }
    }
}

fn our_variables() -> Vec<(String, String)> {
    let ours = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("HEADWATER_"))?;
        Some((name, value.to_string_lossy().into_owned()))
    };
    let mut variables: Vec<_> = std::env::vars_os().filter_map(ours).collect();
    variables.sort();
    variables
}

fn read_file(named: Option<&Path>, faults: &mut Faults) -> Option<(String, String)> {
    let path = named.unwrap_or_else(|| Path::new(FILE_DEFAULT));
    match std::fs::read_to_string(path) {
        Ok(text) => Some((path.display().to_string(), text)),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            faults.add(path.display().to_string(), format!("can't be read: {error}"), None);
            None
        }
    }
}

/// Reads everything, and says everything that is wrong at once.
///
/// # Errors
/// All faults, each with its place.
pub fn load(sources: &Sources) -> Result<Loaded, Faults> {
    let mut faults = Faults::default();
    let mut loaded = Loaded {
        config: Config::default(),
        file: sources.file.as_ref().map(|(path, _)| path.clone()),
        origins: vec![Origin::Default; KEYS.len()],
    };
    if let Some((path, text)) = &sources.file {
        for written in file::read(path, text, &mut faults) {
            let origin = Origin::File { path: path.clone(), line: written.line };
            loaded.take(&written.name, &written.text, origin, &mut faults);
        }
        loaded.config.bridges = bridge::read(path, text, &mut faults);
    }
    for (name, text) in &sources.env {
        loaded.take_variable(name, text, &mut faults);
    }
    for (flag, name, text) in &sources.flags {
        loaded.take(name, text, Origin::Flag(flag.clone()), &mut faults);
    }
    loaded.config.check_together(&mut faults);
    if faults.0.is_empty() { Ok(loaded) } else { Err(faults) }
}

impl Loaded {
    fn take(&mut self, name: &str, text: &str, origin: Origin, faults: &mut Faults) {
        match find(name) {
            Some(key) => self.put(key, text, origin, faults),
            None => {
                let proposal = nearest(name, KEYS.iter().map(|key| key.name)).map(str::to_owned);
                faults.add(origin.to_string(), format!("there is no setting {name:?}"), proposal);
            }
        }
    }

    fn take_variable(&mut self, name: &str, text: &str, faults: &mut Faults) {
        let origin = Origin::Env(name.to_owned());
        let key = if name == "HEADWATER_LOG" { find("logging.level") } else { None };
        match key.or_else(|| KEYS.iter().find(|key| key.env() == name)) {
            Some(key) => self.put(key, text, origin, faults),
            None if ENV_BESIDE.contains(&name) || ENV_OF_TESTS.contains(&name) => {}
            None => {
                let names: Vec<String> = KEYS.iter().map(Key::env).collect();
                let known = names.iter().map(String::as_str).chain(ENV_BESIDE.iter().copied());
                let proposal = nearest(name, known).map(str::to_owned);
                faults.add(name, "there is no setting by this name", proposal);
            }
        }
    }

    fn put(&mut self, key: &'static Key, text: &str, origin: Origin, faults: &mut Faults) {
        match key.set(&mut self.config, text) {
            Ok(()) => {
                if let Some(at) = KEYS.iter().position(|other| other.name == key.name) {
                    self.origins[at] = origin;
                }
            }
            Err((what, proposal)) => faults.add(origin.to_string(), format!("{}: {what}", key.name), proposal),
        }
    }

    /// Whether clients may publish and watch without a rule that names them, and why.
    pub fn open(&self) -> Open {
        match self.config.anonymous {
            Anonymous::All => Open::BySetting,
            Anonymous::None => Open::No,
            Anonymous::Auto if self.file.is_none() && self.config.listeners().all(|addr| addr.ip().is_loopback()) => {
                Open::OnLoopback
            }
            Anonymous::Auto => Open::No,
        }
    }
}

/// Whether everybody may publish and watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Yes: the settings say so.
    BySetting,
    /// Yes: there is no settings file, and only this machine can reach the hub.
    OnLoopback,
    /// Nobody may: there are no rules yet.
    No,
}
