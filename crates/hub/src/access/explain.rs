//! Why somebody may or may not: each rule that they hold for it, as it was written, and whether it applies. For a person who
//! asks "why don't I see this?"; what decides is the [index](super::index), and a test holds the two together.

use std::fmt;

use headwater_event::{Filter, Principal, Time};

use super::Ask;
use super::index::{Asker, Index, Unknown};
use super::pattern::{Level, Pattern};
use super::policy::Policy;
use super::roles::{Kind, RoleSet};
use super::{is_closed_to_publishers, is_closed_to_watchers};

/// The most rules that are told: a screen's worth many times over.
const TOLD_MAX: usize = 200;

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Whether they may.
    pub is_allowed: bool,
    /// In a word or two.
    pub because: Because,
    /// The rules of their roles for this, those that apply first.
    pub rules: Vec<ToldRule>,
    /// How many more there are.
    pub left_out: usize,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// A rule allows it, and none denies it.
    Allowed,
    /// A rule denies it.
    Denied,
    /// No rule allows it.
    NoRule,
    /// Topics that begin with `$` belong to the hub.
    Reserved,
    /// The login no longer holds.
    LoginEnded,
    /// Everybody may everything here.
    Open,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldRule {
    /// Whose.
    pub role: String,
    /// The filter, as it was written.
    pub pattern: String,
    /// Whether it denies.
    pub denies: bool,
    /// Whether it decides on what was asked: covers all of it, or denies some of it.
    pub applies: bool,
}

impl Because {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::NoRule => "no_rule",
            Self::Reserved => "reserved",
            Self::LoginEnded => "login_ended",
            Self::Open => "open",
        }
    }
}

impl Policy {
    /// Why this principal may, or may not.
    pub(super) fn explain(&self, who: &Principal, ask: Ask<'_>, now: impl Fn() -> Time) -> Explained {
        let is_closed = match ask {
            Ask::Publish(topic) => is_closed_to_publishers(topic.as_str()),
            Ask::Watch(filter) => is_closed_to_watchers(filter.as_str()),
        };
        let without_rules = |is_allowed, because| Explained { is_allowed, because, rules: Vec::new(), left_out: 0 };
        let Some(roles) = self.standing(who, now) else { return without_rules(false, Because::LoginEnded) };
        if is_closed {
            return without_rules(false, Because::Reserved);
        }
        if !self.has_rules() {
            return without_rules(true, Because::Open);
        }
        let mut rules = self.told(roles, who, ask);
        rules.sort_by_key(|rule| (!rule.applies, !rule.denies));
        let applies = |denies| rules.iter().any(|rule| rule.applies && rule.denies == denies);
        let because = match (applies(true), applies(false)) {
            (true, _) => Because::Denied,
            (false, true) => Because::Allowed,
            (false, false) => Because::NoRule,
        };
        let left_out = rules.len().saturating_sub(TOLD_MAX);
        rules.truncate(TOLD_MAX);
        Explained { is_allowed: because == Because::Allowed, because, rules, left_out }
    }

    fn told(&self, roles: RoleSet, who: &Principal, ask: Ask<'_>) -> Vec<ToldRule> {
        let asker = self.asker(roles, who);
        let (allow, deny) = match ask {
            Ask::Publish(_) => (Kind::Publish, Kind::DenyPublish),
            Ask::Watch(_) => (Kind::Subscribe, Kind::DenySubscribe),
        };
        let held = self.rules.written().filter(|written| written.set.meets(roles));
        held.filter(|written| written.kind == allow || written.kind == deny)
            .map(|written| {
                let denies = written.kind == deny;
                ToldRule {
                    role: self.rules.name_of(written.set),
                    pattern: written.pattern.to_string(),
                    denies,
                    applies: applies(&written.pattern, written.set, denies, &asker, ask),
                }
            })
            .collect()
    }
}

/// Whether one rule alone decides.
fn applies(pattern: &Pattern, role: RoleSet, denies: bool, asker: &Asker<'_>, ask: Ask<'_>) -> bool {
    let mut index = Index::new(if denies { Unknown::Anybody } else { Unknown::Nobody });
    index.add(pattern, role);
    match ask {
        Ask::Publish(topic) => index.matches(asker, topic.as_str()),
        Ask::Watch(filter) if denies => index.meets(asker, filter),
        Ask::Watch(filter) => index.covers(asker, filter),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, level) in self.levels.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "/" })?;
            f.write_str(match level {
                Level::Text(text) => text,
                Level::One => "+",
                Level::User => "{user}",
                Level::Client => "{client}",
            })?;
        }
        match (self.is_open, self.levels.is_empty()) {
            (true, true) => f.write_str("#"),
            (true, false) => f.write_str("/#"),
            (false, _) => Ok(()),
        }
    }
}

/// The filter inside of a shared subscription (`$share/GROUP/FILTER`), which is what rules judge; any other text is its own.
///
/// # Errors
/// When there is no filter, or no good name before it.
pub fn judged(text: &str) -> Result<Filter, headwater_event::TopicError> {
    let inner = text.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map(|(_, filter)| filter);
    Filter::new(inner.unwrap_or(text))
}
