//! `[[bridge]]`: bridges to other MQTT brokers, as they are written in the settings file.
//!
//! They stand in tables of their own, any number of them, so they are read here and not by the table of settings. A password
//! is never among them: it lies in a file that the settings name.

use std::path::PathBuf;

use headwater_link::bridge::{BridgeSettings, HOPS_MAX, Mapping, Version, could_return};
use toml::de::{DeTable, DeValue};

use super::{Config, EMBEDDED, Faults, Role};
use crate::access::toml_file::{Reading, Value};

/// The name of their tables.
pub const SECTION: &str = "bridge";

/// What a bridge's table holds.
const KEYS: [&str; 12] = [
    "name",
    "url",
    "version",
    "client_id",
    "user",
    "password_file",
    "ca_file",
    "roles",
    "hops_max",
    "from",
    "in",
    "out",
];

/// What a mapping's table holds.
const MAPPING_KEYS: [&str; 4] = ["filter", "local", "remote", "qos"];

/// The role that a bridge holds where its table names none.
const ROLE: &str = "bridge";

/// The most bridges: each has a task, a connection and 8 MiB that may wait.
const BRIDGES_MAX: usize = 64;

/// A bridge, as it's written.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// What it does. The client id is empty where none is written.
    pub settings: BridgeSettings,
    /// The broker's host and port.
    pub host: String,
    pub port: u16,
    /// Whom to believe, where TLS is spoken.
    pub ca_file: Option<PathBuf>,
    /// Where the password lies.
    pub password_file: Option<PathBuf>,
    /// What it may do here.
    pub roles: Vec<String>,
    /// Where it's written.
    place: String,
}

impl Bridge {
    /// Key, value and origin of each of its settings, for people.
    pub fn told(&self) -> Vec<(String, String, String)> {
        let settings = &self.settings;
        let mut told: Vec<(String, String)> = vec![
            ("url".into(), settings.place.clone()),
            ("version".into(), if settings.version == Version::V5 { "5" } else { "3" }.into()),
            ("roles".into(), self.roles.join(",")),
        ];
        for (way, mappings) in [("in", &settings.incoming), ("out", &settings.outgoing)] {
            for mapping in mappings {
                let (local, remote) = (mapping.local_filter(), mapping.remote_filter());
                let arrow = if way == "in" { "<-" } else { "->" };
                told.push((way.into(), format!("{local} {arrow} {remote} (qos {})", mapping.qos())));
            }
        }
        let name = &settings.name;
        told.into_iter().map(|(key, value)| (format!("bridge.{name}.{key}"), value, self.place.clone())).collect()
    }
}

/// Reads the bridges of a settings file. What is no TOML was told before.
pub fn read(path: &str, text: &str, faults: &mut Faults) -> Vec<Bridge> {
    let (table, _) = DeTable::parse_recoverable(text);
    let Some((name, value)) = table.get_ref().get_key_value(SECTION) else { return Vec::new() };
    let mut reading = Reading { path, text, faults };
    let mut bridges: Vec<Bridge> = Vec::new();
    for (at, table) in tables(&mut reading, SECTION, "[[bridge]]", value) {
        let at = at.unwrap_or(name.span().start);
        let Some(bridge) = bridge(&mut reading, at, table) else { continue };
        if bridges.iter().any(|other| other.settings.name == bridge.settings.name) {
            reading.fault(at, format!("there are two bridges {:?}", bridge.settings.name), None);
        }
        bridges.push(bridge);
    }
    if bridges.len() > BRIDGES_MAX {
        reading.fault(name.span().start, format!("there are more than {BRIDGES_MAX} bridges"), None);
    }
    bridges
}

/// How bridges stand to each other and to the rest.
pub fn check_together(config: &Config, faults: &mut Faults) {
    for (at, one) in config.bridges.iter().enumerate() {
        for other in &config.bridges[at + 1..] {
            if (&one.host, one.port) != (&other.host, other.port) {
                continue;
            }
            let ways = [could_return(&one.settings, &other.settings), could_return(&other.settings, &one.settings)];
            if let Some(what) = ways.into_iter().flatten().next() {
                let (name, other) = (&one.settings.name, &other.settings.name);
                faults.add(
                    &one.place,
                    format!("the bridges {name:?} and {other:?} lead to the same broker: {what}"),
                    None,
                );
            }
        }
    }
    let Some(first) = config.bridges.first() else { return };
    if config.engine != EMBEDDED {
        faults.add(&first.place, "bridges need the embedded log: with another engine, bridge that engine", None);
    } else if !config.roles.contains(&Role::Edge) {
        faults.add(&first.place, "bridges need the role `edge`: they bring and fetch events as clients do", None);
    }
}

/// An array of tables, each with its place.
fn tables<'t>(
    reading: &mut Reading<'_>,
    name: &str,
    form: &str,
    value: &'t Value<'t>,
) -> Vec<(Option<usize>, &'t DeTable<'t>)> {
    let DeValue::Array(items) = value.get_ref() else {
        reading.fault(value.span().start, format!("{name} is a list of tables"), Some(form.to_owned()));
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in items.iter() {
        match item.get_ref() {
            DeValue::Table(table) => {
                // A table's own span may be empty: its first name tells where it stands.
                let at = table.iter().map(|(name, _)| name.span().start).min();
                found.push((at, table));
            }
            _ => reading.fault(item.span().start, format!("{name} is a list of tables"), Some(form.to_owned())),
        }
    }
    found
}

fn bridge(reading: &mut Reading<'_>, at: usize, table: &DeTable<'_>) -> Option<Bridge> {
    let faults_before = reading.faults.0.len();
    let (mut name, mut url, mut client_id, mut user, mut from) = (None, None, None, None, None);
    let (mut password_file, mut ca_file) = (None, None);
    let (mut version, mut hops_max) = (5, u64::from(HOPS_MAX));
    let mut roles = vec![ROLE.to_owned()];
    let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
    for (key, value) in table {
        let word = &**key.get_ref();
        match word {
            "name" => name = reading_text(reading, word, value),
            "url" => url = reading_text(reading, word, value),
            "client_id" => client_id = reading_text(reading, word, value),
            "user" => user = reading_text(reading, word, value),
            "from" => from = reading_text(reading, word, value),
            "password_file" => password_file = reading_text(reading, word, value).map(PathBuf::from),
            "ca_file" => ca_file = reading_text(reading, word, value).map(PathBuf::from),
            "version" => version = reading_number(reading, word, value).unwrap_or(5),
            "hops_max" => hops_max = reading_number(reading, word, value).unwrap_or(1),
            "roles" => roles = reading.texts(word, value).into_iter().map(|(role, _)| role).collect(),
            "in" => incoming = mappings(reading, "bridge.in", value),
            "out" => outgoing = mappings(reading, "bridge.out", value),
            // Its value may be one, so it isn't repeated.
            "password" => reading.fault(
                key.span().start,
                "a password doesn't stand in the settings: write it into a file of its own (chmod 600)",
                Some("password_file = \"FILE\"".to_owned()),
            ),
            other => reading.unknown(key.span().start, other, &KEYS),
        }
    }
    let version = match version {
        3 => Version::V3,
        5 => Version::V5,
        other => {
            reading.fault(at, format!("version {other} of MQTT is not spoken: it is 3 (3.1.1) or 5"), None);
            return None;
        }
    };
    let from_oldest = match from.as_deref() {
        None | Some("now") => false,
        Some("oldest") => true,
        Some(other) => {
            reading.fault(at, format!("from is \"now\" or \"oldest\", and not {other:?}"), None);
            return None;
        }
    };
    if !(1..=255).contains(&hops_max) {
        reading.fault(at, format!("hops_max is 1 to 255, and not {hops_max}"), None);
    }
    for (given, word) in [(name.is_some(), "name"), (url.is_some(), "url")] {
        if !given {
            reading.fault(at, format!("a bridge needs `{word}`"), Some(format!("{word} = \"...\"")));
        }
    }
    let (is_encrypted, host, port) = address(&url?).map_err(|what| reading.fault(at, what, None)).ok()?;
    if is_encrypted != ca_file.is_some() {
        let what = "TLS needs both: `mqtts://` in the url, and `ca_file` with the authority that is believed";
        reading.fault(at, what, None);
    }
    if password_file.is_some() && user.is_none() {
        reading.fault(at, "a password needs `user`: whose it is", None);
    }
    let scheme = if is_encrypted { "mqtts" } else { "mqtt" };
    let shown_host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let settings = BridgeSettings {
        name: name?,
        place: format!("{scheme}://{shown_host}:{port}"),
        version,
        client_id: client_id.unwrap_or_default(),
        user,
        outgoing,
        incoming,
        hops_max: u32::try_from(hops_max).unwrap_or(HOPS_MAX),
        from_oldest,
    };
    // The client id that is made where none is written is good.
    let client_id = Some(settings.client_id.clone()).filter(|id| !id.is_empty()).unwrap_or_else(|| "made".into());
    if reading.faults.0.len() == faults_before
        && let Err(error) = (BridgeSettings { client_id, ..settings.clone() }).check()
    {
        reading.fault(at, format!("the bridge {:?}: {error}", settings.name), None);
    }
    let place = format!("{} line {}", reading.path, reading.line(at));
    Some(Bridge { settings, host, port, ca_file, password_file, roles, place })
}

fn mappings(reading: &mut Reading<'_>, name: &str, value: &Value<'_>) -> Vec<Mapping> {
    let mut mappings = Vec::new();
    for (at, table) in tables(reading, name, &format!("[[{name}]]"), value) {
        let at = at.unwrap_or(value.span().start);
        let (mut filter, mut local, mut remote, mut qos) = (None, String::new(), String::new(), 1);
        for (key, value) in table {
            let word = &**key.get_ref();
            match word {
                "filter" => filter = reading_text(reading, word, value),
                "local" => local = reading_text(reading, word, value).unwrap_or_default(),
                "remote" => remote = reading_text(reading, word, value).unwrap_or_default(),
                "qos" => qos = reading_number(reading, word, value).unwrap_or(1),
                other => reading.unknown(key.span().start, other, &MAPPING_KEYS),
            }
        }
        let Some(filter) = filter else {
            reading.fault(at, format!("{name} needs `filter`: what goes this way"), Some("filter = \"#\"".to_owned()));
            continue;
        };
        match Mapping::new(&filter, &local, &remote, u8::try_from(qos).unwrap_or(u8::MAX)) {
            Ok(mapping) => mappings.push(mapping),
            Err(error) => reading.fault(at, format!("{name}: {error}"), None),
        }
    }
    mappings
}

fn reading_text(reading: &mut Reading<'_>, name: &str, value: &Value<'_>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => {
            reading.fault(value.span().start, format!("{name} is a text"), Some(format!("{name} = \"...\"")));
            None
        }
    }
}

fn reading_number(reading: &mut Reading<'_>, name: &str, value: &Value<'_>) -> Option<u64> {
    let number = match value.get_ref() {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().replace('_', "").parse().ok(),
        _ => None,
    };
    if number.is_none() {
        reading.fault(value.span().start, format!("{name} is a whole number"), None);
    }
    number
}

/// Whether TLS is spoken, the host, the port. A login in it is refused, and not repeated.
fn address(url: &str) -> Result<(bool, String, u16), String> {
    let form = "an address is written mqtt://HOST:PORT or mqtts://HOST:PORT";
    let (is_encrypted, rest, port) = match url.split_once("://") {
        Some(("mqtt", rest)) => (false, rest, 1_883),
        Some(("mqtts", rest)) => (true, rest, 8_883),
        _ => return Err(form.to_owned()),
    };
    if rest.contains('@') {
        return Err(format!("{form}; who it is stands in `user` and `password_file`"));
    }
    let rest = rest.trim_end_matches('/');
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, Ok(port)),
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or("?").parse()),
        None => match rest.split_once(':') {
            Some((host, port)) => (host, port.parse()),
            None => (rest, Ok(port)),
        },
    };
    match port {
        Ok(port) if port != 0 && !host.is_empty() && !host.contains(['/', '?', ' ']) => {
            Ok((is_encrypted, host.to_owned(), port))
        }
        _ => Err(form.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let mut faults = Faults::default();
        read("f", text, &mut faults);
        faults.0.into_iter().map(|fault| format!("{}: {}", fault.place, fault.what)).collect()
    }

    const GOOD: &str = "[[bridge]]\nname = 'plant'\nurl = 'mqtt://broker.example.com'\n";

    #[test]
    fn bridges_are_read_as_they_are_written() {
        let text = "[http]\naddr = 'off'\n[[bridge]]\nname = 'a'\nurl = 'mqtts://[::1]:8884/'\nversion = 3\nuser = 'u'\n\
                    password_file = '/p'\nca_file = '/c'\nroles = ['x', 'y']\nhops_max = 2\nfrom = 'oldest'\n\
                    [[bridge.out]]\nfilter = 'a/#'\nremote = 'far/'\n[[bridge.in]]\nfilter = 'b'\nqos = 0\n\
                    [[bridge]]\nname = 'b'\nurl = 'mqtt://h'\nout = [{ filter = '#' }]\n";
        let mut seen = Faults::default();
        let bridges = read("f", text, &mut seen);
        assert_eq!(seen, Faults::default());
        let [a, b] = &bridges[..] else { panic!("{bridges:?}") };
        assert_eq!((a.host.as_str(), a.port, a.settings.place.as_str()), ("::1", 8_884, "mqtts://[::1]:8884"));
        assert_eq!((a.settings.version, a.settings.hops_max, a.settings.from_oldest), (Version::V3, 2, true));
        assert_eq!(a.settings.outgoing, [Mapping::new("a/#", "", "far/", 1).unwrap()]);
        assert_eq!(a.settings.incoming, [Mapping::new("b", "", "", 0).unwrap()]);
        assert_eq!((b.port, b.settings.version, b.roles.as_slice()), (1_883, Version::V5, &["bridge".to_owned()][..]));
        let told: Vec<_> = a.told().into_iter().map(|(key, value, _)| format!("{key}={value}")).collect();
        assert!(told.contains(&"bridge.a.out=a/# -> far/a/# (qos 1)".to_owned()), "{told:?}");
    }

    #[test]
    fn what_is_wrong_has_its_line_and_its_words() {
        for (more, said) in [
            ("out = [{ filter = 'a' }]\nurl2 = 'x'", "line 5: there is no \"url2\""),
            ("version = 4\nout = [{ filter = 'a' }]", "3 (3.1.1) or 5"),
            ("password = 'canary'", "line 4: a password doesn't stand in the settings"),
            ("password_file = 'f'\nout = [{ filter = 'a' }]", "whose it is"),
            ("ca_file = 'f'\nout = [{ filter = 'a' }]", "TLS needs both"),
            ("from = 'then'", "\"now\" or \"oldest\""),
            ("hops_max = 0\nout = [{ filter = 'a' }]", "1 to 255"),
            ("", "it carries nothing"),
            ("out = ['a']", "bridge.out is a list of tables"),
            ("out = [{ local = 'a' }]", "needs `filter`"),
            ("out = [{ filter = 'a', qos = 2 }]", "it is 0 or 1"),
            (
                "out = [{ filter = 'a' }]\n[[bridge]]\nname = 'plant'\nurl = 'mqtt://h'\nout = [{ filter = 'a' }]",
                "two bridges",
            ),
            ("version = 3\nout = [{ filter = 'a' }]\nin = [{ filter = '#' }]", "would come back by \"#\""),
        ] {
            let told = faults(&format!("{GOOD}{more}"));
            assert!(told.iter().any(|fault| fault.contains(said)), "{more}: {told:?}");
            assert!(!told.iter().any(|fault| fault.contains("canary")), "{told:?}");
        }
        for url in ["mqtt://me:canary@host", "http://h", "mqtt://", "mqtt://h:0", "mqtt://h:x", "host", "mqtt://[::1]x"]
        {
            let told = faults(&format!("[[bridge]]\nname = 'a'\nurl = '{url}'\nout = [{{ filter = 'a' }}]"));
            assert!(told.iter().any(|fault| fault.contains("mqtt://HOST:PORT")), "{url}: {told:?}");
            assert!(!told.iter().any(|fault| fault.contains("canary")), "{told:?}");
        }
        assert!(faults("[bridge]\nname = 'a'").iter().any(|fault| fault.contains("list of tables")));
    }

    #[test]
    fn two_bridges_to_one_broker_are_looked_at_together() {
        let text = |version: u8| {
            format!(
                "[[bridge]]\nname = 'a'\nurl = 'mqtt://h'\nversion = {version}\nout = [{{ filter = 'x/#' }}]\n\
                 [[bridge]]\nname = 'b'\nurl = 'mqtt://h:1883'\nin = [{{ filter = 'x/y' }}]\n"
            )
        };
        for (version, is_good) in [(3, false), (5, true)] {
            let mut faults = Faults::default();
            let mut config = Config { bridges: read("f", &text(version), &mut faults), ..Config::default() };
            check_together(&config, &mut faults);
            assert_eq!(faults.0.is_empty(), is_good, "{faults:?}");
            config.engine = "mqtt://h".into();
            check_together(&config, &mut faults);
            assert!(faults.0.iter().any(|fault| fault.what.contains("embedded log")));
        }
    }
}
