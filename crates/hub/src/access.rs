//! Who may publish and watch what: the one place that is asked, on the way in and on the way out.

use std::fmt;
use std::sync::Arc;

use headwater_event::{Filter, Principal, Refusal, Topic};

/// Topics that belong to the hub itself (`$SYS/...`, `$share/...`): no client publishes to them or watches them.
///
/// The list stands here and nowhere else, and a test walks through it.
pub const RESERVED_PREFIXES: &[&str] = &["$"];

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
    /// Everybody may everything but what is reserved.
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

    /// Whether this principal may watch this filter.
    ///
    /// A wildcard in the first level never matches a topic that starts with `$` (MQTT 5.0 section 4.7.2), so looking at
    /// the filter's own beginning is enough.
    pub(crate) fn may_watch(&self, who: &Principal, filter: &Filter) -> Result<Allowed, Refusal> {
        if is_reserved(filter.as_str()) || !(self.rule)(who, Ask::Watch(filter)) {
            return Err(Refusal::NotAllowed);
        }
        Ok(Allowed { filter: filter.clone() })
    }
}

/// Whether a topic or filter belongs to the hub itself.
pub(crate) fn is_reserved(text: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
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
