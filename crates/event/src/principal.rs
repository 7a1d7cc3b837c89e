//! Who it is, after authentication.

use crate::text::Text;

/// Who brings or watches events. Made by an edge's authentication, looked at by the hub's access check, and by nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    name: Option<Text>,
}

impl Principal {
    /// Somebody who showed no identity. What they may do is a matter of rules, as for everybody.
    #[must_use]
    pub const fn anonymous() -> Self {
        Self { name: None }
    }

    /// The name, or `anonymous`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("anonymous")
    }
}
