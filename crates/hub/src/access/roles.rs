//! Roles and what each allows: the rules, read once and asked often.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use headwater_event::{Filter, Topic};

use super::index::{Asker, Fnv, Index, Unknown};
use super::pattern::{Level, Pattern};

/// The role of those who show no identity.
pub const ANONYMOUS: &str = "anonymous";

/// The role of those who may change the hub: reload its rules, end connections. It allows no topic by itself.
pub const ADMIN: &str = "admin";

/// The role of those who may look into the hub (who is connected, topics, sizes) and change nothing. It allows no topic by
/// itself either.
pub const OBSERVER: &str = "observer";

/// The most roles: a set of them is 32 bytes then, which every node of the index has three of.
pub const ROLES_MAX: usize = 256;

/// The most patterns of all rules together: with five levels each, an index of some 50 MiB.
pub const PATTERNS_MAX: usize = 100_000;

/// Some of the roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoleSet([u64; ROLES_MAX / 64]);

impl RoleSet {
    fn of(role: usize) -> Self {
        let mut set = Self::default();
        set.0[role / 64] |= 1 << (role % 64);
        set
    }

    pub(super) fn add(&mut self, other: Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    pub(super) fn meets(self, other: Self) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }
}

/// What one role allows and denies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// What may be published.
    pub publish: Vec<Pattern>,
    /// What may not, whatever allows it.
    pub deny_publish: Vec<Pattern>,
    /// What may be watched.
    pub subscribe: Vec<Pattern>,
    /// What may not, whatever allows it.
    pub deny_subscribe: Vec<Pattern>,
}

/// Which of a role's lists a pattern stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Publish,
    DenyPublish,
    Subscribe,
    DenySubscribe,
}

/// A pattern where it was written, to be told to a person.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) set: RoleSet,
    pub(super) kind: Kind,
    pub(super) pattern: Pattern,
}

/// All rules, indexed. Without any, nobody may anything.
#[derive(Debug)]
pub struct Rules {
    written: Vec<Written>,
    numbers: HashMap<Box<str>, usize, BuildHasherDefault<Fnv>>,
    publish: Index,
    deny_publish: Index,
    subscribe: Index,
    deny_subscribe: Index,
    names_user: bool,
    names_client: bool,
}

/// There are more rules than are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooManyRules {
    /// More than [`ROLES_MAX`].
    #[error("there are at most {ROLES_MAX} roles")]
    Roles,
    /// More than [`PATTERNS_MAX`].
    #[error("there are at most {PATTERNS_MAX} patterns")]
    Patterns,
}

impl Rules {
    /// Indexes the rules of each role.
    ///
    /// # Errors
    /// When there are too many.
    pub fn new<'a>(roles: impl IntoIterator<Item = (&'a str, &'a Role)>) -> Result<Self, TooManyRules> {
        let mut rules = Self::default();
        let mut patterns = 0;
        for (name, role) in roles {
            let number = rules.number(name);
            if number >= ROLES_MAX {
                return Err(TooManyRules::Roles);
            }
            let set = RoleSet::of(number);
            let kinds = [
                (Kind::Publish, &role.publish, &mut rules.publish),
                (Kind::DenyPublish, &role.deny_publish, &mut rules.deny_publish),
                (Kind::Subscribe, &role.subscribe, &mut rules.subscribe),
                (Kind::DenySubscribe, &role.deny_subscribe, &mut rules.deny_subscribe),
            ];
            for (kind, written, index) in kinds {
                patterns += written.len();
                if patterns > PATTERNS_MAX {
                    return Err(TooManyRules::Patterns);
                }
                for pattern in written {
                    index.add(pattern, set);
                    rules.written.push(Written { set, kind, pattern: pattern.clone() });
                    rules.names_user |= pattern.names(&Level::User);
                    rules.names_client |= pattern.names(&Level::Client);
                }
            }
        }
        Ok(rules)
    }

    fn number(&mut self, role: &str) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(role.into()).or_insert(next)
    }

    /// Whether there is such a role; [`ADMIN`], [`OBSERVER`] and [`ANONYMOUS`] always are.
    #[must_use]
    pub fn knows(&self, role: &str) -> bool {
        matches!(role, ADMIN | OBSERVER | ANONYMOUS) || self.numbers.contains_key(role)
    }

    /// The set of these roles; those that no rule knows allow nothing.
    pub(crate) fn set(&self, roles: &[Box<str>]) -> RoleSet {
        let mut set = RoleSet::default();
        for number in roles.iter().filter_map(|role| self.numbers.get(role)) {
            set.add(RoleSet::of(*number));
        }
        set
    }

    /// Every pattern as it was written.
    pub(super) fn written(&self) -> impl Iterator<Item = &Written> {
        self.written.iter()
    }

    /// The name of the one role in this set.
    pub(super) fn name_of(&self, one: RoleSet) -> String {
        let found = self.numbers.iter().find(|(_, number)| RoleSet::of(**number) == one);
        found.map(|(name, _)| name.to_string()).unwrap_or_default()
    }

    pub(crate) fn anonymous(&self) -> RoleSet {
        self.numbers.get(ANONYMOUS).map_or_else(RoleSet::default, |number| RoleSet::of(*number))
    }

    /// Whether rules name users, so that a user's name must be one that can stand for a level.
    pub(super) const fn names_user(&self) -> bool {
        self.names_user
    }

    /// Whether rules name clients, so that a client id must be one that can stand for a level.
    pub(super) const fn names_client(&self) -> bool {
        self.names_client
    }

    pub(super) fn may_publish(&self, who: &Asker<'_>, topic: &Topic) -> bool {
        let topic = topic.as_str();
        !self.deny_publish.matches(who, topic) && self.publish.matches(who, topic)
    }

    pub(super) fn may_watch(&self, who: &Asker<'_>, filter: &Filter) -> bool {
        !self.deny_subscribe.meets(who, filter) && self.subscribe.covers(who, filter)
    }
}

impl Default for Rules {
    fn default() -> Self {
        let allow = || Index::new(Unknown::Nobody);
        let deny = || Index::new(Unknown::Anybody);
        Self {
            written: Vec::new(),
            numbers: HashMap::default(),
            publish: allow(),
            deny_publish: deny(),
            subscribe: allow(),
            deny_subscribe: deny(),
            names_user: false,
            names_client: false,
        }
    }
}
