//! What the settings say about TLS.

use std::net::SocketAddr;
use std::path::PathBuf;

use headwater_edge::tls::{Asked, Spoken, TlsSettings};

use super::fault::Faults;
use super::key::Wrong;
use super::nearest::nearest;
use super::{Address, Config};

/// Which listeners speak TLS, and with what.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate that we show.
    pub cert: Cert,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The authorities whose certificates clients show.
    pub client_ca: Option<PathBuf>,
    /// Whether clients are asked for theirs.
    pub client_cert: Asked,
    /// Which protocols' own addresses speak it.
    pub listeners: Vec<Spoken>,
    /// How many handshakes, and how long.
    pub settings: TlsSettings,
    /// Where HTTP speaks it beside its own address.
    pub http: Address,
    /// Where MQTT speaks it beside its own address.
    pub mqtt: Address,
    /// Where the frame protocol speaks it beside its own address.
    pub frames: Address,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cert {
    /// There is none: nobody speaks TLS.
    Off,
    /// We make one for ourselves, for development.
    Auto,
    /// A file holds it.
    File(PathBuf),
}

/// Every protocol by its name in `tls.listeners`.
const PROTOCOLS: [(&str, Spoken); 3] = [("http", Spoken::Http), ("mqtt", Spoken::Mqtt), ("frames", Spoken::Frames)];

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert: Cert::Off,
            key: None,
            client_ca: None,
            client_cert: Asked::No,
            listeners: PROTOCOLS.map(|(_, spoken)| spoken).to_vec(),
            settings: TlsSettings::default(),
            http: None,
            mqtt: None,
            frames: None,
        }
    }
}

impl Tls {
    /// `off`, `auto`, `CERT`, or `CERT,KEY`.
    pub(super) fn set_cert(&mut self, text: &str) -> Result<(), Wrong> {
        match text {
            "" => return Err(("a file's name is missing".to_owned(), None)),
            "off" => self.cert = Cert::Off,
            "auto" => self.cert = Cert::Auto,
            text => match text.split_once(',') {
                None => self.cert = Cert::File(text.into()),
                Some((cert, key)) if !cert.is_empty() && !key.is_empty() && !key.contains(',') => {
                    self.cert = Cert::File(cert.into());
                    self.key = Some(key.into());
                }
                Some(_) => return Err((format!("{text:?} is not of the form CERT,KEY"), None)),
            },
        }
        Ok(())
    }

    pub(super) fn show_cert(&self) -> String {
        match &self.cert {
            Cert::Off => "off".to_owned(),
            Cert::Auto => "auto".to_owned(),
            Cert::File(path) => path.display().to_string(),
        }
    }

    /// Whether any listener speaks it.
    pub fn is_on(&self) -> bool {
        self.cert != Cert::Off
    }

    fn beside(&self, spoken: Spoken) -> Address {
        match spoken {
            Spoken::Http => self.http,
            Spoken::Mqtt => self.mqtt,
            Spoken::Frames => self.frames,
        }
    }
}

/// Protocols by name.
pub(super) fn protocols(names: impl Iterator<Item = impl AsRef<str>>) -> Result<Vec<Spoken>, Wrong> {
    let mut all = Vec::new();
    for name in names {
        let name = name.as_ref();
        let found = PROTOCOLS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
            let proposal = nearest(name, PROTOCOLS.map(|(known, _)| known)).map(|name| format!("\"{name}\""));
            (format!("{name:?} is no protocol that can be encrypted: http, mqtt, frames"), proposal)
        })?;
        if !all.contains(&found.1) {
            all.push(found.1);
        }
    }
    Ok(all)
}

pub(super) fn show_protocols(all: &[Spoken]) -> String {
    let names = all.iter().filter_map(|spoken| PROTOCOLS.iter().find(|(_, known)| known == spoken));
    let names: Vec<_> = names.map(|(name, _)| *name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(",") }
}

impl Config {
    /// Where a protocol listens, and whether TLS is spoken there. Its own address speaks it where no other is named for it.
    pub fn addresses(&self, spoken: Spoken) -> impl Iterator<Item = (SocketAddr, bool)> {
        let own = match spoken {
            Spoken::Http => self.http,
            Spoken::Mqtt => self.mqtt,
            Spoken::Frames => self.frames,
        };
        let beside = self.tls.beside(spoken);
        let is_own_encrypted = self.tls.is_on() && beside.is_none() && self.tls.listeners.contains(&spoken);
        own.map(|addr| (addr, is_own_encrypted)).into_iter().chain(beside.map(|addr| (addr, true)))
    }

    /// How the settings about TLS stand to each other.
    pub(super) fn check_tls(&self, faults: &mut Faults) {
        let tls = &self.tls;
        match (&tls.cert, &tls.key) {
            (Cert::File(_), None) => faults.add("tls.key", "is missing: a certificate needs its key", None),
            (Cert::Off, Some(_)) => faults.add("tls.cert", "is off, though there is a key", None),
            (Cert::Auto, Some(_)) => faults.add("tls.key", "has no use: tls.cert = \"auto\" makes its own", None),
            _ => {}
        }
        if !tls.is_on() && [tls.http, tls.mqtt, tls.frames].iter().any(Option::is_some) {
            faults.add("tls.cert", "is off, though an address for TLS is named (tls_addr)", Some("auto".to_owned()));
        }
        if !tls.is_on() && tls.client_ca.is_some() {
            faults.add("tls.cert", "is off, though clients are to show certificates (tls.client_ca)", None);
        }
        match (tls.client_cert, &tls.client_ca) {
            // Each alone would let everybody in where somebody thought it wouldn't.
            (Asked::No, Some(_)) => {
                let what = "is off, though there is an authority for clients (tls.client_ca)";
                faults.add("tls.client_cert", what, Some("required".to_owned()));
            }
            (Asked::May | Asked::Must, None) => {
                faults.add("tls.client_ca", "is missing: whose certificates should clients show?", None);
            }
            _ => {}
        }
    }
}
