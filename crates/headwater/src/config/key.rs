//! One setting: its name, what it may be, and where in [`Config`] it lands.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use headwater_edge::tls::Spoken;

use super::nearest::nearest;
use super::quantity::{parse_size, parse_span, show_size, show_span};
use super::role::Role;
use super::tls::{Tls, protocols, show_protocols};
use super::url::{begins_with, without_password};
use super::{Address, App, Config};

/// A setting, described once.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `section.name` in the settings file.
    pub name: &'static str,
    /// Its flag without the dashes, where it has one. The environment then uses this word: `--http` is `HEADWATER_HTTP`.
    pub flag: Option<&'static str>,
    /// What it may be, and where it lands.
    pub kind: Kind,
    /// What it does, in a sentence or two.
    pub help: &'static str,
}

/// Where a value lands.
pub type At<T> = fn(&mut Config) -> &mut T;

/// What a setting may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A path.
    Folder(At<PathBuf>),
    /// An address, or `off`.
    Address(At<Address>),
    /// A file, or `off`.
    OptionalFile(At<Option<PathBuf>>),
    /// A file, or `auto` for the usual one where it is there.
    AutoFile(At<Option<PathBuf>>),
    /// A text, or `none`.
    Text(At<String>),
    /// Where a certificate comes from.
    Cert(At<Tls>),
    /// Protocols that can be encrypted.
    Protocols(At<Vec<Spoken>>),
    /// `true` or `false`.
    Switch(At<bool>),
    /// A whole number.
    Count { at: Number, min: u64, max: u64 },
    /// Bytes.
    Size { at: Number, min: u64, max: u64 },
    /// Bytes, or `off`.
    OptionalSize { at: At<Option<u64>>, min: u64, max: u64 },
    /// A duration.
    Span { at: At<Duration>, min: Duration, max: Duration },
    /// A duration, or `off`.
    OptionalSpan { at: At<Option<Duration>>, min: Duration, max: Duration },
    /// One of some words.
    Word { words: &'static [&'static str], set: fn(&mut Config, usize), get: fn(&Config) -> usize },
    /// What is told on stderr, as `tracing-subscriber` reads it.
    Levels(At<String>),
    /// A list of texts, or `none`.
    Texts(At<Vec<String>>),
    /// Applications.
    Apps(At<Vec<App>>),
    /// What the process does.
    Roles(At<Vec<Role>>),
    /// One word that stands for what is built in, or the address of a server by one of these schemes.
    Server { at: At<String>, word: &'static str, schemes: &'static [&'static str] },
}

/// Where a number lands, by its width.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// A machine word.
    Usize(At<usize>),
    /// 64 bits.
    U64(At<u64>),
    /// 32 bits.
    U32(At<u32>),
    /// 16 bits.
    U16(At<u16>),
}

/// What is wrong with a value, and what may have been meant.
pub type Wrong = (String, Option<String>);

impl Number {
    fn set(self, config: &mut Config, value: u64) -> bool {
        match self {
            Self::Usize(at) => usize::try_from(value).map(|value| *at(config) = value).is_ok(),
            Self::U64(at) => {
                *at(config) = value;
                true
            }
            Self::U32(at) => u32::try_from(value).map(|value| *at(config) = value).is_ok(),
            Self::U16(at) => u16::try_from(value).map(|value| *at(config) = value).is_ok(),
        }
    }

    fn get(self, config: &mut Config) -> u64 {
        match self {
            Self::Usize(at) => *at(config) as u64,
            Self::U64(at) => *at(config),
            Self::U32(at) => u64::from(*at(config)),
            Self::U16(at) => u64::from(*at(config)),
        }
    }
}

impl Key {
    /// Its name in the environment.
    pub fn env(&self) -> String {
        let word = self.flag.unwrap_or(self.name);
        format!("HEADWATER_{}", word.replace(['.', '-'], "_").to_ascii_uppercase())
    }

    /// Reads a text and puts it into its place.
    ///
    /// # Errors
    /// A sentence without place: the caller knows where the text stood.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), Wrong> {
        match &self.kind {
            Kind::Folder(at) => *at(config) = folder(text)?,
            Kind::Address(at) => *at(config) = address(text)?,
            Kind::OptionalFile(at) => *at(config) = or_off(text, folder)?,
            Kind::AutoFile(at) => *at(config) = if text == "auto" { None } else { Some(folder(text)?) },
            Kind::Text(at) => *at(config) = if text == "none" { String::new() } else { text.to_owned() },
            Kind::Cert(at) => at(config).set_cert(text)?,
            Kind::Protocols(at) => *at(config) = protocols(listed(text))?,
            Kind::Switch(at) => *at(config) = switch(text)?,
            Kind::Count { at, min, max } => {
                let number = text.trim().replace('_', "");
                let number = number.parse().map_err(|_| plain(format!("{text:?} is no whole number")))?;
                within(number, *min, *max, |n| n.to_string())?;
                at.set(config, number).then_some(()).ok_or_else(|| plain(format!("{number} is too large")))?;
            }
            Kind::Size { at, min, max } => {
                let size = parse_size(text).map_err(plain)?;
                within(size, *min, *max, show_size)?;
                at.set(config, size).then_some(()).ok_or_else(|| plain(format!("{text} is too large")))?;
            }
            Kind::OptionalSize { at, min, max } => {
                *at(config) = or_off(text, |text| {
                    let size = parse_size(text).map_err(plain)?;
                    within(size, *min, *max, show_size).map(|()| size)
                })?;
            }
            Kind::Span { at, min, max } => {
                let span = parse_span(text).map_err(plain)?;
                within(span, *min, *max, show_span)?;
                *at(config) = span;
            }
            Kind::OptionalSpan { at, min, max } => {
                *at(config) = or_off(text, |text| {
                    let span = parse_span(text).map_err(plain)?;
                    within(span, *min, *max, show_span).map(|()| span)
                })?;
            }
            Kind::Word { words, set, .. } => set(config, word(text, words)?),
            Kind::Levels(at) => *at(config) = levels(text)?,
            Kind::Texts(at) => *at(config) = listed(text).map(str::to_owned).collect(),
            Kind::Apps(at) => *at(config) = apps(text)?,
            Kind::Roles(at) => *at(config) = Role::list(listed(text))?,
            Kind::Server { at, word, schemes } => {
                if text != *word {
                    begins_with(text, schemes).map_err(|what| plain(format!("{what}, or \"{word}\"")))?;
                }
                *at(config) = text.to_owned();
            }
        }
        Ok(())
    }

    /// The least and the largest value of a number, size or duration, as they would be written.
    pub fn bounds(&self) -> Option<(String, String)> {
        match &self.kind {
            Kind::Count { min, max, .. } => Some((min.to_string(), max.to_string())),
            Kind::Size { min, max, .. } | Kind::OptionalSize { min, max, .. } => {
                Some((show_size(*min), show_size(*max)))
            }
            Kind::Span { min, max, .. } | Kind::OptionalSpan { min, max, .. } => {
                Some((show_span(*min), show_span(*max)))
            }
            _ => None,
        }
    }

    /// The value as it would be written in the settings file, without quotes.
    pub fn show(&self, config: &mut Config) -> String {
        let off = || "off".to_owned();
        match &self.kind {
            Kind::Folder(at) => at(config).display().to_string(),
            Kind::Address(at) => at(config).map_or_else(off, |addr| addr.to_string()),
            Kind::OptionalFile(at) => at(config).as_ref().map_or_else(off, |path| path.display().to_string()),
            Kind::AutoFile(at) => {
                at(config).as_ref().map_or_else(|| "auto".to_owned(), |path| path.display().to_string())
            }
            Kind::Text(at) if at(config).is_empty() => "none".to_owned(),
            Kind::Text(at) => at(config).clone(),
            Kind::Cert(at) => at(config).show_cert(),
            Kind::Protocols(at) => show_protocols(at(config)),
            Kind::Switch(at) => at(config).to_string(),
            Kind::Count { at, .. } => at.get(config).to_string(),
            Kind::Size { at, .. } => show_size(at.get(config)),
            Kind::OptionalSize { at, .. } => at(config).map_or_else(off, show_size),
            Kind::Span { at, .. } => show_span(*at(config)),
            Kind::OptionalSpan { at, .. } => at(config).map_or_else(off, show_span),
            Kind::Word { words, get, .. } => words.get(get(config)).copied().unwrap_or_default().to_owned(),
            Kind::Levels(at) => at(config).clone(),
            Kind::Texts(at) if at(config).is_empty() => "none".to_owned(),
            Kind::Texts(at) => at(config).join(","),
            Kind::Apps(at) => show_apps(at(config)),
            Kind::Roles(at) => Role::show(at(config)),
            Kind::Server { at, .. } => without_password(at(config)),
        }
    }
}

fn plain(sentence: String) -> Wrong {
    (sentence, None)
}

fn within<T: PartialOrd + Copy>(value: T, min: T, max: T, show: impl Fn(T) -> String) -> Result<(), Wrong> {
    if value < min {
        return Err(plain(format!("{} is too little: at least {}", show(value), show(min))));
    }
    if value > max {
        return Err(plain(format!("{} is too much: at most {}", show(value), show(max))));
    }
    Ok(())
}

fn or_off<T>(text: &str, read: impl Fn(&str) -> Result<T, Wrong>) -> Result<Option<T>, Wrong> {
    if text == "off" { Ok(None) } else { read(text).map(Some) }
}

fn folder(text: &str) -> Result<PathBuf, Wrong> {
    if text.is_empty() { Err(plain("a name is missing".to_owned())) } else { Ok(PathBuf::from(text)) }
}

fn address(text: &str) -> Result<Address, Wrong> {
    if text == "off" {
        return Ok(None);
    }
    if let Some(addr) = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok()) {
        return Ok(Some(SocketAddr::from(([127, 0, 0, 1], addr))));
    }
    let proposal = match text.parse::<u16>() {
        Ok(port) => Some(format!("127.0.0.1:{port}")),
        Err(_) => text.strip_prefix(':').and_then(|p| p.parse::<u16>().ok()).map(|port| format!("0.0.0.0:{port}")),
    };
    text.parse().map(Some).map_err(|_| {
        (format!("{text:?} is no address; write one as \"127.0.0.1:8080\", \"[::1]:8080\" or \"off\""), proposal)
    })
}

fn switch(text: &str) -> Result<bool, Wrong> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(plain(format!("{text:?} is neither true nor false"))),
    }
}

fn word(text: &str, words: &[&'static str]) -> Result<usize, Wrong> {
    words.iter().position(|word| *word == text).ok_or_else(|| {
        let proposal = nearest(text, words.iter().copied()).map(|word| format!("\"{word}\""));
        (format!("{text:?} is none of {}", words.join(", ")), proposal)
    })
}

fn levels(text: &str) -> Result<String, Wrong> {
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(plain(format!("{text:?} is no level; write error, warn, info, debug, trace or off"))),
    }
}

/// The parts of a list, without the word that says that it's empty.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "none")
}

fn apps(text: &str) -> Result<Vec<App>, Wrong> {
    let mut apps = Vec::new();
    for name in listed(text) {
        let found = App::ALL.into_iter().find(|app| app.name() == name);
        let app = found.ok_or_else(|| {
            let names = App::ALL.map(App::name);
            (format!("there is no application {name:?}"), nearest(name, names).map(|name| format!("\"{name}\"")))
        })?;
        if !apps.contains(&app) {
            apps.push(app);
        }
    }
    Ok(apps)
}

fn show_apps(apps: &[App]) -> String {
    if apps.is_empty() {
        return "none".to_owned();
    }
    apps.iter().map(|app| app.name()).collect::<Vec<_>>().join(",")
}
