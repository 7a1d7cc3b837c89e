//! What a bridge is told: who it is on the other side, what goes which way, and what may never be asked for.

use headwater_event::{Filter, GroupName, Topic, TopicError};

/// The longest name of a bridge: it stands in topics, in the name of a group and in a client id.
pub const NAME_LEN_MAX: usize = 64;

/// The longest client id of ours: what Headwater's own edge takes.
const CLIENT_ID_LEN_MAX: usize = 256;

/// The most mappings of one bridge each way: each event is held against them one after the other.
pub const MAPPINGS_MAX: usize = 256;

/// How many hubs an event may have passed by bridges, where nothing else is said: more than any sensible chain has.
pub const HOPS_MAX: u32 = 8;

/// Which MQTT the other side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 3.1.1: no properties, so events lose their headers and ids on the way.
    V3,
    /// 5.0.
    V5,
}

/// What goes over the bridge, and how its topic is spelled on either side: `local` and what `filter` wants here is `remote`
/// and the same rest there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    local: String,
    remote: String,
    local_filter: Filter,
    remote_filter: Filter,
    qos: u8,
}

/// Why a bridge can't be as it's written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(pub String);

impl Mapping {
    /// Puts it together.
    ///
    /// # Errors
    /// What can't be, in words.
    pub fn new(filter: &str, local: &str, remote: &str, qos: u8) -> Result<Self, SettingsError> {
        if qos > 1 {
            return Err(SettingsError(format!("qos {qos} is not spoken by bridges: it is 0 or 1")));
        }
        for (prefix, side) in [(local, "local"), (remote, "remote")] {
            if prefix.contains(['+', '#']) {
                return Err(SettingsError(format!(
                    "the {side} prefix {prefix:?} has a wildcard: those stand in `filter`"
                )));
            }
        }
        let whole = |prefix: &str| {
            let wrong = |error: TopicError| SettingsError(format!("\"{prefix}{filter}\": {error}"));
            Filter::new(format!("{prefix}{filter}")).map_err(wrong)
        };
        let (local_filter, remote_filter) = (whole(local)?, whole(remote)?);
        for side in [&local_filter, &remote_filter] {
            if side.as_str().starts_with("$share/") {
                return Err(SettingsError(format!("\"{side}\" is a shared subscription: a bridge has its own")));
            }
        }
        if local_filter.as_str().starts_with('$') {
            let what =
                format!("\"{local_filter}\" belongs to the hub: a bridge carries no topics that begin with $ here");
            return Err(SettingsError(what));
        }
        Ok(Self { local: local.into(), remote: remote.into(), local_filter, remote_filter, qos })
    }

    /// What it wants here.
    #[must_use]
    pub const fn local_filter(&self) -> &Filter {
        &self.local_filter
    }

    /// What it wants there.
    #[must_use]
    pub const fn remote_filter(&self) -> &Filter {
        &self.remote_filter
    }

    /// With which QoS.
    #[must_use]
    pub const fn qos(&self) -> u8 {
        self.qos
    }

    /// The topic there of an event here; `None` when this mapping doesn't want it.
    pub(super) fn to_remote(&self, topic: &str) -> Option<Result<Topic, TopicError>> {
        carried(topic, &self.local_filter, &self.local, &self.remote)
    }

    /// The topic here of a publication there; `None` when this mapping doesn't want it.
    pub(super) fn to_local(&self, topic: &str) -> Option<Result<Topic, TopicError>> {
        carried(topic, &self.remote_filter, &self.remote, &self.local)
    }
}

fn carried(topic: &str, filter: &Filter, from: &str, to: &str) -> Option<Result<Topic, TopicError>> {
    if !filter.matches(topic) {
        return None;
    }
    // `a/#` wants `a` too, which is shorter than the prefix `a/`.
    let rest = topic.strip_prefix(from).unwrap_or_default();
    let to = if topic.len() < from.len() { to.strip_suffix('/').unwrap_or(to) } else { to };
    Some(Topic::new(format!("{to}{rest}")))
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSettings {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Where it leads, for people; without a password.
    pub place: String,
    /// What is spoken there.
    pub version: Version,
    /// Who it is there; the broker keeps its session under this.
    pub client_id: String,
    /// The user's name there.
    pub user: Option<String>,
    /// What goes out.
    pub outgoing: Vec<Mapping>,
    /// What comes in.
    pub incoming: Vec<Mapping>,
    /// How many hubs an event may have passed by bridges.
    pub hops_max: u32,
    /// Whether a bridge that is new begins to send with the oldest event of the log.
    pub from_oldest: bool,
}

impl BridgeSettings {
    /// What one of them says on its own.
    ///
    /// # Errors
    /// What can't be, in words.
    pub fn check(&self) -> Result<(), SettingsError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if self.name.is_empty() || self.name.len() > NAME_LEN_MAX || !self.name.bytes().all(fits) {
            let what = format!("{:?} is no name: 1 to {NAME_LEN_MAX} letters, digits, `-`, `_` and `.`", self.name);
            return Err(SettingsError(what));
        }
        if self.client_id.is_empty() || self.client_id.len() > CLIENT_ID_LEN_MAX {
            return Err(SettingsError(format!("a client id has 1 to {CLIENT_ID_LEN_MAX} bytes")));
        }
        if self.outgoing.is_empty() && self.incoming.is_empty() {
            return Err(SettingsError("it carries nothing: it needs an `in` or an `out`".into()));
        }
        if self.outgoing.len() > MAPPINGS_MAX || self.incoming.len() > MAPPINGS_MAX {
            return Err(SettingsError(format!("it has more than {MAPPINGS_MAX} mappings one way")));
        }
        could_return(self, self).map_or(Ok(()), |what| Err(SettingsError(what)))
    }

    /// Every filter that it wants to watch here.
    pub(super) fn local_filters(&self) -> Vec<Filter> {
        let mut filters: Vec<Filter> = Vec::new();
        for mapping in &self.outgoing {
            if !filters.contains(&mapping.local_filter) {
                filters.push(mapping.local_filter.clone());
            }
        }
        filters
    }
}

/// How what `out` sends could come back by `back`, both leading to the same broker; `None` when it can't.
///
/// 3.1.1 has no properties that could tell, so it must not be possible by the topics alone.
#[must_use]
pub fn could_return(out: &BridgeSettings, back: &BridgeSettings) -> Option<String> {
    if out.version == Version::V5 && back.version == Version::V5 {
        return None;
    }
    let pairs = out.outgoing.iter().flat_map(|to| back.incoming.iter().map(move |from| (to, from)));
    let (to, from) = pairs.into_iter().find(|(to, from)| meet(&to.remote_filter, &from.remote_filter))?;
    Some(format!(
        "what goes out to \"{}\" would come back by \"{}\", and MQTT 3.1.1 has no way to know it again: give the two \
         directions different remote prefixes, or use version = 5",
        to.remote_filter, from.remote_filter
    ))
}

/// Whether some topic is wanted by both.
fn meet(one: &Filter, other: &Filter) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    let hides = |filter: &str, from: &str| filter.starts_with('$') && from.starts_with(['+', '#']);
    if hides(one, other) || hides(other, one) {
        return false;
    }
    let (mut ones, mut others) = (one.split('/'), other.split('/'));
    loop {
        match (ones.next(), others.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(a), Some(b)) if a == "+" || b == "+" || a == b => {}
            _ => return false,
        }
    }
}

/// The group of what a bridge of this name sends.
#[must_use]
pub fn group_name(bridge: &str) -> Option<GroupName> {
    GroupName::new(format!("bridge/{bridge}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(version: Version, out: &str, back: &str) -> BridgeSettings {
        BridgeSettings {
            name: "b".into(),
            place: "mqtt://b:1883".into(),
            version,
            client_id: "c".into(),
            user: None,
            outgoing: vec![Mapping::new(out, "", "", 1).unwrap()],
            incoming: vec![Mapping::new(back, "", "", 1).unwrap()],
            hops_max: HOPS_MAX,
            from_oldest: false,
        }
    }

    #[test]
    fn a_topic_goes_over_with_the_other_prefix() {
        let mapping = Mapping::new("sensors/#", "plant/", "site-7/", 1).unwrap();
        let there = |topic: &str| mapping.to_remote(topic).map(|topic| topic.unwrap().to_string());
        assert_eq!(there("plant/sensors/a/b").as_deref(), Some("site-7/sensors/a/b"));
        assert_eq!(there("plant/sensors").as_deref(), Some("site-7/sensors"));
        assert_eq!(there("plant/doors/a"), None);
        assert_eq!(mapping.to_local("site-7/sensors/a").unwrap().unwrap().as_str(), "plant/sensors/a");
        let all = Mapping::new("#", "plant/", "site/7/", 1).unwrap();
        assert_eq!(all.to_remote("plant").unwrap().unwrap().as_str(), "site/7", "`plant/#` wants `plant` too");
        let bare = Mapping::new("#", "", "far/", 1).unwrap();
        assert_eq!(bare.to_local("far/x").unwrap().unwrap().as_str(), "x");
        assert!(bare.to_local("far").unwrap().is_err(), "nothing would be left");
    }

    #[test]
    fn what_can_be_no_mapping_is_refused_in_words() {
        for (filter, local, remote, qos, said) in [
            ("#", "", "", 2, "qos 2"),
            ("a", "x/+/", "", 1, "local prefix"),
            ("a", "", "#/", 1, "remote prefix"),
            ("a/#/b", "", "", 1, "last level"),
            ("#", "x", "", 1, "stands alone"),
            ("$SYS/#", "", "", 1, "belongs to the hub"),
            ("#", "here/", "$share/g/", 1, "shared"),
            ("", "", "", 1, "at least one"),
        ] {
            let error = Mapping::new(filter, local, remote, qos).unwrap_err().to_string();
            assert!(error.contains(said), "{filter} {local} {remote}: {error}");
        }
        assert!(Mapping::new("#", "far/", "$SYS/", 0).is_ok(), "a broker's own figures may be fetched");
    }

    #[test]
    fn what_could_come_back_is_refused_where_nothing_tells_it_apart() {
        for (out, back) in [("#", "#"), ("a/#", "a/b"), ("a/+", "a/b"), ("a/+/c", "a/#"), ("+/b", "a/+"), ("a/#", "a")]
        {
            assert!(bridge(Version::V3, out, back).check().is_err(), "{out} {back}");
            assert!(bridge(Version::V5, out, back).check().is_ok(), "{out} {back}");
        }
        for (out, back) in [("a/#", "b/#"), ("a/+", "a"), ("a/+/c", "a/b/d"), ("a/b", "a/b/c"), ("#", "$SYS/#")] {
            let settings = bridge(Version::V3, out, "x");
            let back = Mapping::new(back, "in/", "", 1).unwrap();
            let settings = BridgeSettings { incoming: vec![back], ..settings };
            assert_eq!(settings.check(), Ok(()), "{out}");
        }
    }

    #[test]
    fn names_stand_in_topics_and_client_ids() {
        for name in ["", "a/b", "a b", "ü", &"x".repeat(65)] {
            let settings = BridgeSettings { name: name.into(), ..bridge(Version::V5, "a", "b") };
            assert!(settings.check().is_err(), "{name}");
        }
        let nothing = BridgeSettings { outgoing: vec![], incoming: vec![], ..bridge(Version::V5, "a", "b") };
        assert!(nothing.check().is_err());
    }
}
