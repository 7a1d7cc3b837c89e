//! Who it is, after authentication.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::clock::Time;

/// Who brings or watches events. Made by the hub's authentication, looked at by its access check, and by nothing else.
///
/// A clone costs a reference count, and one that shows neither a name nor a client id costs eight bytes: ten thousand idle
/// connections hold one each.
///
/// Two principals are equal when they are the same somebody: the name counts, not the connection that it came by nor
/// what it may do. So a rate is one user's, over all of its connections, and a session belongs to (principal, client id).
#[derive(Clone)]
pub struct Principal {
    known: Option<Arc<Known>>,
}

/// What is known of somebody who isn't wholly anonymous.
struct Known {
    name: Option<Box<str>>,
    client: Option<Box<str>>,
    roles: Arc<[Box<str>]>,
    login: Login,
}

/// What a login stands on: the access check asks at each use whether that still holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// On nothing: nobody proved who they are.
    #[default]
    Nothing,
    /// On the settings: a part of the program itself, such as a bridge, which nobody can log in as. Its roles are those that
    /// the settings name.
    Settings,
    /// On an entry among the users, in this version of it. Its roles are those that the entry has now.
    Entry {
        /// Changes when what the login was checked against does.
        version: u64,
    },
    /// On a token that names its roles itself.
    Token {
        /// Which key it was checked with, under which conditions.
        version: u64,
        /// From this moment on it is worth nothing.
        until: Time,
    },
    /// On the answer of a service that was asked who this is. It names their roles.
    Answered {
        /// Which answer: it may be taken back.
        serial: u64,
        /// From this moment on it is worth nothing.
        until: Time,
    },
}

impl Principal {
    /// Somebody who showed no identity. What they may do is a matter of rules, as for everybody.
    #[must_use]
    pub const fn anonymous() -> Self {
        Self { known: None }
    }

    /// Somebody whose name was proved. The roles are shared by all who hold the same ones.
    #[must_use]
    pub fn named(name: &str, roles: Arc<[Box<str>]>, login: Login) -> Self {
        let known = Known { name: Some(name.into()), client: None, roles, login };
        Self { known: Some(Arc::new(known)) }
    }

    /// The same somebody, by the client id that this connection goes by. Nobody has proved a client id.
    #[must_use]
    pub fn with_client(self, client: &str) -> Self {
        let client = Some(client.into());
        let known = match &self.known {
            None => Known { name: None, client, roles: Arc::default(), login: Login::Nothing },
            Some(known) => {
                Known { name: known.name.clone(), client, roles: Arc::clone(&known.roles), login: known.login }
            }
        };
        Self { known: Some(Arc::new(known)) }
    }

    /// The name, or `anonymous`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.user().unwrap_or("anonymous")
    }

    /// The name that was proved.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.known.as_ref()?.name.as_deref()
    }

    /// The client id of this connection, where its protocol has one.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.known.as_ref()?.client.as_deref()
    }

    /// The roles that came with the login.
    #[must_use]
    pub fn roles(&self) -> &[Box<str>] {
        self.known.as_ref().map_or(&[], |known| &known.roles)
    }

    /// What the login stands on.
    #[must_use]
    pub fn login(&self) -> Login {
        self.known.as_ref().map_or(Login::Nothing, |known| known.login)
    }

    /// Whether nobody proved who this is.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.user().is_none()
    }
}

impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        self.user() == other.user()
    }
}

impl Eq for Principal {}

impl Hash for Principal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.user().hash(state);
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = f.debug_struct("Principal");
        said.field("name", &self.user());
        if let Some(client) = self.client() {
            said.field("client", &client);
        }
        said.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_makes_a_principal_and_not_its_connection() {
        let ada = || Principal::named("ada", Arc::default(), Login::Entry { version: 1 });
        assert_eq!(ada(), ada().with_client("tablet"));
        assert_ne!(ada(), Principal::anonymous());
        assert_eq!(Principal::anonymous(), Principal::anonymous().with_client("tablet"));
        assert_ne!(ada(), Principal::named("bob", Arc::default(), Login::Entry { version: 1 }));
        let tablet = ada().with_client("tablet");
        assert_eq!((tablet.user(), tablet.client(), tablet.login()), (Some("ada"), Some("tablet"), ada().login()));
    }

    #[test]
    fn a_principal_is_as_small_as_a_pointer() {
        assert_eq!(size_of::<Principal>(), size_of::<usize>());
    }
}
