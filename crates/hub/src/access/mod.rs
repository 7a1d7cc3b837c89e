//! Who may publish and watch what: the one place that is asked, on the way in and on the way out.
//!
//! Rights are checked at five moments, and each has one place: at the login ([`Hub::authenticate`](crate::Hub::authenticate)),
//! at each publication (the admission), when a watch begins, when it is read from, and when rules or users change
//! ([`Hub::recheck`](crate::Hub::recheck)).
//!
//! Why no delivery has to be looked at by itself: a filter F may be watched only if *some allowing filter covers F whole*,
//! and *no denying filter has a topic in common with F*. Whatever is delivered to a watch, be it live, sticky, replayed,
//! sent again or dealt out in a group, is matched by its F first, so its topic is allowed, by construction. Only a change of
//! rules can part the two, and after one every watch is asked about again.

mod attempts;
mod audit;
mod credentials;
mod explain;
mod index;
mod keeper;
mod keys;
mod login;
#[cfg(test)]
mod oracle_tests;
mod password;
mod pattern;
mod policy;
mod recent;
mod roles;
mod secret;
mod service;
mod token;
mod users;
mod verifiers;

use std::fmt;
use std::sync::Arc;

use headwater_event::{Clock, Filter, Principal, Refusal, Topic};

pub(crate) use keeper::Keeper;
pub(crate) use login::look_after;

pub use audit::{AUDIT_ADMIN, AUDIT_LOGIN, AUDIT_REFUSED};
pub use credentials::{BEARER, Credentials, Proof};
pub use explain::{Because, Explained, ToldRule, judged};
pub use keys::{KEYS_MAX, Keys, KeysError};
pub use password::{PASSWORD_LEN_MAX, PASSWORD_LEN_MIN, PasswordError, PasswordHash};
pub use pattern::{For, Pattern, PatternError};
pub use policy::{Openness, Policy};
pub use roles::{ADMIN, ANONYMOUS, OBSERVER, PATTERNS_MAX, ROLES_MAX, Role, Rules, TooManyRules};
pub use secret::Secret;
pub use service::{ANSWER_PREFIX, ASK_TOPIC, AskRules};
pub use token::{LEEWAY_MAX, TOKEN_LEN_MAX, TokenRules, Tokens};
pub use users::{NAME_LEN_MAX, User, UserError, Users, check_name};

/// Topics that belong to the hub itself (`$SYS/...`, `$share/...`): no client publishes to them or watches them, but for
/// those below [`WATCHABLE_PREFIXES`].
///
/// The list stands here and nowhere else, and a test walks through it.
pub const RESERVED_PREFIXES: &[&str] = &["$"];

/// Of what is reserved, that which may be watched by those who have a rule for it.
pub const WATCHABLE_PREFIXES: &[&str] = &["$SYS/", ASK_TOPIC, ANSWER_PREFIX];

/// Of what is reserved, that which may be published by those who have a rule for it.
pub const PUBLISHABLE_PREFIXES: &[&str] = &[ANSWER_PREFIX];

/// What lies below the topics of logins.
const LOGINS_PREFIX: &str = "$auth/";

/// What somebody would like to do.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// Publish an event of this topic.
    Publish(&'a Topic),
    /// Watch, or read the past of, what this filter matches.
    Watch(&'a Filter),
}

/// What decides. The reserved prefixes come before it and no rule opens them.
#[derive(Clone)]
pub struct Access {
    judge: Judge,
}

#[derive(Clone)]
enum Judge {
    /// A function, and no users.
    Function(Arc<Rule>),
    /// Rules, users and tokens.
    Keeper(Arc<Keeper>),
}

/// Called on the hot path, so it must answer from memory.
type Rule = dyn Fn(&Principal, Ask<'_>) -> bool + Send + Sync;

/// A filter that somebody may watch. Only [`Access`] makes one, and nothing but one opens a way out.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    filter: Filter,
}

impl Allowed {
    pub(crate) const fn filter(&self) -> &Filter {
        &self.filter
    }
}

impl Access {
    /// Everybody may everything but what is reserved; `$SYS/` may be watched.
    #[must_use]
    pub fn open() -> Self {
        Self::by(|_, _| true)
    }

    /// What this function allows, but for what is reserved.
    ///
    /// The function is asked again for each publication (once per distinct topic of a batch) and at each
    /// [`recheck`](crate::Hub::recheck), so its answers may change.
    #[must_use]
    pub fn by(rule: impl Fn(&Principal, Ask<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self { judge: Judge::Function(Arc::new(rule)) }
    }

    /// What these rules allow to these users. A clone of this can [replace](Self::replace) them while the hub runs.
    #[must_use]
    pub fn keeping(policy: Policy, clock: Clock) -> Self {
        Self { judge: Judge::Keeper(Arc::new(Keeper::new(policy, clock))) }
    }

    /// Puts something else in force, as a whole, from now on. Call [`recheck`](crate::Hub::recheck) afterwards: it ends what
    /// is no longer allowed (the hub itself does so too, within a second).
    pub fn replace(&self, policy: Policy) {
        match &self.judge {
            Judge::Keeper(keeper) => keeper.replace(policy),
            Judge::Function(_) => tracing::error!("access is decided by a function here: it can't be replaced"),
        }
    }

    /// Whether a login still holds: the user was not removed, disabled or given another password, the token hasn't expired.
    /// Without that, nothing is allowed any more.
    #[must_use]
    pub fn stands(&self, who: &Principal) -> bool {
        self.keeper().is_none_or(|keeper| keeper.stands(who))
    }

    /// Whether there is somebody to log in as, so that who has shown nothing might be allowed more if they did.
    #[must_use]
    pub fn takes_logins(&self) -> bool {
        self.keeper().is_some_and(|keeper| keeper.takes_logins())
    }

    /// Whether somebody holds a role now.
    #[must_use]
    pub fn holds(&self, who: &Principal, role: &str) -> bool {
        self.keeper().is_some_and(|keeper| keeper.holds(who, role))
    }

    /// Whether somebody may change the hub: they hold the role [`ADMIN`], or this is a machine to try the hub out.
    #[must_use]
    pub fn may_administer(&self, who: &Principal) -> bool {
        self.keeper().is_some_and(|keeper| keeper.may_administer(who))
    }

    /// Why somebody may, or may not, for a person who asks. It decides nothing.
    #[must_use]
    pub fn explain(&self, who: &Principal, ask: Ask<'_>) -> Explained {
        if let Some(keeper) = self.keeper() {
            return keeper.explain(who, ask);
        }
        let is_closed = match ask {
            Ask::Publish(topic) => is_closed_to_publishers(topic.as_str()),
            Ask::Watch(filter) => is_closed_to_watchers(filter.as_str()),
        };
        let is_allowed = !is_closed && self.allows(who, ask);
        let because = match (is_closed, is_allowed) {
            (true, _) => Because::Reserved,
            (false, true) => Because::Allowed,
            (false, false) => Because::NoRule,
        };
        Explained { is_allowed, because, rules: Vec::new(), left_out: 0 }
    }

    /// Who a user is now, with the roles of now, to ask what they may. It is nobody's login: hand it to no edge.
    #[must_use]
    pub fn principal_of(&self, user: &str, client: Option<&str>) -> Option<Principal> {
        let who = self.keeper()?.principal_of(user)?;
        Some(match client {
            Some(client) => who.with_client(client),
            None => who,
        })
    }

    /// These events were admitted: answers to questions about logins are taken from among them.
    pub(crate) fn hear<'e>(&self, events: impl Iterator<Item = &'e headwater_event::Event>) {
        let Some(keeper) = self.keeper() else { return };
        events.for_each(|event| keeper.hear(event));
    }

    pub(crate) const fn keeper(&self) -> Option<&Arc<Keeper>> {
        match &self.judge {
            Judge::Keeper(keeper) => Some(keeper),
            Judge::Function(_) => None,
        }
    }

    fn allows(&self, who: &Principal, ask: Ask<'_>) -> bool {
        match &self.judge {
            Judge::Function(rule) => rule(who, ask),
            Judge::Keeper(keeper) => keeper.allows(who, ask),
        }
    }

    /// Where everybody may everything, that doesn't mean other people's passwords.
    fn is_shut(&self, text: &str) -> bool {
        is_of_logins(text) && !self.keeper().is_some_and(|keeper| keeper.has_rules())
    }

    fn refused(&self, who: &Principal, what: &'static str, topic: &str) -> Refusal {
        if let Some(keeper) = self.keeper() {
            keeper.refused_a_right(who, what, topic);
        }
        Refusal::NotAllowed
    }

    /// Whether this principal may publish to this topic.
    ///
    /// # Errors
    /// `NotAllowed`.
    pub fn may_publish(&self, who: &Principal, topic: &Topic) -> Result<(), Refusal> {
        let is_closed = is_closed_to_publishers(topic.as_str()) || self.is_shut(topic.as_str());
        if is_closed || !self.allows(who, Ask::Publish(topic)) {
            return Err(self.refused(who, "publish", topic.as_str()));
        }
        Ok(())
    }

    /// Whether this principal may watch this filter. A shared subscription is judged by the filter inside of it.
    ///
    /// A wildcard in the first level never matches a topic that starts with `$` (MQTT 5.0 section 4.7.2), so looking at
    /// the filter's own beginning is enough.
    pub(crate) fn may_watch(&self, who: &Principal, filter: &Filter) -> Result<Allowed, Refusal> {
        let is_closed = is_closed_to_watchers(filter.as_str()) || self.is_shut(filter.as_str());
        if is_closed || !self.allows(who, Ask::Watch(filter)) {
            return Err(self.refused(who, "watch", filter.as_str()));
        }
        Ok(Allowed { filter: filter.clone() })
    }
}

/// Whether logins travel there: without a rule of its own nobody sees them.
pub(crate) fn is_of_logins(text: &str) -> bool {
    text.starts_with(LOGINS_PREFIX)
}

/// Whether a topic or filter belongs to the hub itself.
pub(crate) fn is_reserved(text: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

fn is_closed_to_publishers(text: &str) -> bool {
    is_reserved(text) && !PUBLISHABLE_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

fn is_closed_to_watchers(text: &str) -> bool {
    is_reserved(text) && !WATCHABLE_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

impl Default for Access {
    fn default() -> Self {
        Self::open()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access")
    }
}
