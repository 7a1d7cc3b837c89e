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

mod credentials;
mod login;
mod secret;

use std::fmt;
use std::sync::Arc;

use headwater_event::{Filter, Principal, Refusal, Topic};

pub use credentials::{BEARER, Credentials, Proof};
pub use secret::Secret;

/// Topics that belong to the hub itself (`$SYS/...`, `$share/...`): no client publishes to them or watches them, but for
/// those below [`WATCHABLE_PREFIXES`].
///
/// The list stands here and nowhere else, and a test walks through it.
pub const RESERVED_PREFIXES: &[&str] = &["$"];

/// Of what is reserved, that which may be watched by those who have a rule for it.
pub const WATCHABLE_PREFIXES: &[&str] = &["$SYS/"];

/// What somebody would like to do.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// Publish an event of this topic.
    Publish(&'a Topic),
    /// Watch, or read the past of, what this filter matches.
    Watch(&'a Filter),
}

/// The rule in force. The reserved prefixes come before it and no rule opens them.
#[derive(Clone)]
pub struct Access {
    rule: Arc<Rule>,
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
        Self { rule: Arc::new(rule) }
    }

    /// Whether this principal may publish to this topic.
    ///
    /// # Errors
    /// `NotAllowed`.
    pub fn may_publish(&self, who: &Principal, topic: &Topic) -> Result<(), Refusal> {
        if is_reserved(topic.as_str()) || !(self.rule)(who, Ask::Publish(topic)) {
            return Err(Refusal::NotAllowed);
        }
        Ok(())
    }

    /// Whether this principal may watch this filter. A shared subscription is judged by the filter inside of it.
    ///
    /// A wildcard in the first level never matches a topic that starts with `$` (MQTT 5.0 section 4.7.2), so looking at
    /// the filter's own beginning is enough.
    pub(crate) fn may_watch(&self, who: &Principal, filter: &Filter) -> Result<Allowed, Refusal> {
        if is_closed_to_watchers(filter.as_str()) || !(self.rule)(who, Ask::Watch(filter)) {
            return Err(Refusal::NotAllowed);
        }
        Ok(Allowed { filter: filter.clone() })
    }
}

/// Whether a topic or filter belongs to the hub itself.
pub(crate) fn is_reserved(text: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
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
