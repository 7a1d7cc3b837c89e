//! The rules of one kind (allow or deny, publish or watch) as a tree of levels, so that a thousand of them cost no more to
//! ask than a few: one walk along the topic answers for all roles at once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use headwater_event::Filter;

use super::pattern::{Level, Pattern, is_level};
use super::roles::RoleSet;

/// Who asks, as the tree needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    roles: RoleSet,
    user: Option<&'a str>,
    client: Option<&'a str>,
}

impl<'a> Asker<'a> {
    /// Names that can't stand for a level are taken as not there.
    pub(super) fn new(roles: RoleSet, user: Option<&'a str>, client: Option<&'a str>) -> Self {
        let level = |name: Option<&'a str>| name.filter(|name| is_level(name));
        Self { roles, user: level(user), client: level(client) }
    }
}

/// What a placeholder stands for when it isn't known who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Nothing: such a rule allows nothing to who can't be named.
    Nobody,
    /// Anybody: such a rule denies all of them, since it can't be told which one is meant.
    Anybody,
}

/// The tree.
#[derive(Debug)]
pub(super) struct Index {
    nodes: Vec<Node>,
    unknown: Unknown,
}

/// What may follow the levels so far.
#[derive(Debug, Default)]
struct Node {
    texts: HashMap<Box<str>, usize, BuildHasherDefault<Fnv>>,
    one: Option<usize>,
    user: Option<usize>,
    client: Option<usize>,
    /// Whose rules end here.
    here: RoleSet,
    /// Whose rules go on with `#` here.
    open: RoleSet,
    /// Whose rules end here or anywhere below.
    below: RoleSet,
}

/// Where the walk begins: no level was read yet.
const ROOT: usize = 0;

impl Index {
    pub(super) fn new(unknown: Unknown) -> Self {
        Self { nodes: vec![Node::default()], unknown }
    }

    /// Adds a pattern of one role.
    pub(super) fn add(&mut self, pattern: &Pattern, role: RoleSet) {
        let mut at = ROOT;
        self.nodes[at].below.add(role);
        for level in &pattern.levels {
            at = self.child(at, level);
            self.nodes[at].below.add(role);
        }
        let node = &mut self.nodes[at];
        if pattern.is_open { node.open.add(role) } else { node.here.add(role) }
    }

    fn child(&mut self, at: usize, level: &Level) -> usize {
        let fresh = self.nodes.len();
        let node = &mut self.nodes[at];
        let child = match level {
            Level::Text(text) => *node.texts.entry(text.clone()).or_insert(fresh),
            Level::One => *node.one.get_or_insert(fresh),
            Level::User => *node.user.get_or_insert(fresh),
            Level::Client => *node.client.get_or_insert(fresh),
        };
        if child == fresh {
            self.nodes.push(Node::default());
        }
        child
    }

    fn concerns(&self, roles: RoleSet) -> bool {
        self.nodes[ROOT].below.meets(roles)
    }

    /// Whether some pattern matches this topic.
    pub(super) fn matches(&self, who: &Asker<'_>, topic: &str) -> bool {
        self.concerns(who.roles) && self.walk(who, ROOT, Some(topic))
    }

    /// Whether some pattern matches every topic that this filter matches.
    pub(super) fn covers(&self, who: &Asker<'_>, filter: &Filter) -> bool {
        // A topic has at least one level, so at the beginning `#` asks for what `+/#` does.
        let text = if filter.as_str() == "#" { "+/#" } else { filter.as_str() };
        self.concerns(who.roles) && self.walk(who, ROOT, Some(text))
    }

    /// Goes down wherever the next level is matched. Each node is met once at most, so the walk is as long as the tree is
    /// large, at worst.
    ///
    /// The levels may be those of a filter: its `+` is matched by nothing less than `+`, its `#` by `#` alone.
    fn walk(&self, who: &Asker<'_>, at: usize, rest: Option<&str>) -> bool {
        let node = &self.nodes[at];
        // Wildcards don't reach the topics that begin with `$` (MQTT 5.0 section 4.7.2).
        let is_hidden = at == ROOT && rest.is_some_and(|rest| rest.starts_with('$'));
        if node.open.meets(who.roles) && !is_hidden {
            return true;
        }
        let Some(rest) = rest else { return node.here.meets(who.roles) };
        let (level, rest) = split(rest);
        let go = |child: Option<usize>| {
            child.is_some_and(|at| self.nodes[at].below.meets(who.roles) && self.walk(who, at, rest))
        };
        match level {
            "#" => false,
            "+" => go(node.one),
            _ => {
                go(node.texts.get(level).copied())
                    || !is_hidden
                        && (go(node.one)
                            || self.stands_for(who.user, level) && go(node.user)
                            || self.stands_for(who.client, level) && go(node.client))
            }
        }
    }

    fn stands_for(&self, name: Option<&str>, level: &str) -> bool {
        name.map_or(self.unknown == Unknown::Anybody, |name| name == level)
    }

    /// Whether some pattern and this filter have a topic in common.
    pub(super) fn meets(&self, who: &Asker<'_>, filter: &Filter) -> bool {
        self.concerns(who.roles) && self.meet(who, ROOT, Some(filter.as_str()))
    }

    fn meet(&self, who: &Asker<'_>, at: usize, rest: Option<&str>) -> bool {
        let node = &self.nodes[at];
        let is_hidden = at == ROOT && rest.is_some_and(|rest| rest.starts_with('$'));
        if node.open.meets(who.roles) && !is_hidden {
            return true;
        }
        let Some(rest) = rest else { return node.here.meets(who.roles) };
        let (level, rest) = split(rest);
        if level == "#" && at != ROOT {
            return node.below.meets(who.roles);
        }
        // Below the first level, `#` needs at least one more: from the root on it is as `+/#`.
        let rest = if level == "#" { Some("#") } else { rest };
        let go = |child: usize| self.nodes[child].below.meets(who.roles) && self.meet(who, child, rest);
        let named = [(node.user, who.user), (node.client, who.client)];
        if matches!(level, "+" | "#") {
            let texts = node.texts.iter().filter(|(text, _)| at != ROOT || !text.starts_with('$'));
            let named = named.into_iter().filter(|(_, name)| name.is_some() || self.unknown == Unknown::Anybody);
            return texts.map(|(_, child)| *child).chain(node.one).chain(named.filter_map(|(child, _)| child)).any(go);
        }
        node.texts.get(level).copied().is_some_and(go)
            || !is_hidden
                && (node.one.is_some_and(go)
                    || named.into_iter().any(|(child, name)| self.stands_for(name, level) && child.is_some_and(go)))
    }
}

/// The first level, and what follows.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (text, None),
    }
}

/// FNV-1a: short keys, and the only ones in the table are those that the operator wrote, so nobody can make them collide.
pub(super) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
