//! Who is known: a name, a password's hash or a certificate's names, roles.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use headwater_event::{Login, Principal, Text};

use super::credentials::BEARER;
use super::index::Fnv;
use super::password::PasswordHash;
use super::pattern::is_level;
use super::roles::{ANONYMOUS, RoleSet, Rules};

/// The longest name of a user or a role, in bytes: it has to fit into a topic with something around it.
pub const NAME_LEN_MAX: usize = 128;

/// A user, as read from the users' file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// How they are called; [`check_name`] says what can't be a name.
    pub name: String,
    /// What their password is checked against. Without one they can't come by password.
    pub password: Option<PasswordHash>,
    /// What they may do, by the names of roles.
    pub roles: Vec<String>,
    /// The names in client certificates that are theirs (subject alternative names), letter by letter.
    pub certificates: Vec<String>,
    /// Whether they may not come at all.
    pub is_disabled: bool,
}

/// What is wrong with the users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A name that can't be one.
    #[error(
        "{0:?} can't be a user's name: {NAME_LEN_MAX} bytes at the most, without + # / $ : {{ }} or control characters"
    )]
    Name(String),
    /// A name that means something else.
    #[error("{0:?} can't be a user's name: the hub uses this word itself")]
    Taken(String),
    /// The same certificate stands for two.
    #[error("the certificate name {name:?} is {one}'s and {other}'s: it can't tell them apart")]
    Certificate {
        /// The name in the certificate.
        name: String,
        /// One user.
        one: String,
        /// Another.
        other: String,
    },
}

/// Whether this can be a user's name: it stands for a level of a topic, and for what is before the colon.
///
/// # Errors
/// Says why not.
pub fn check_name(name: &str) -> Result<(), UserError> {
    if !is_level(name) || name.len() > NAME_LEN_MAX || name.contains(':') {
        return Err(UserError::Name(name.to_owned()));
    }
    if [ANONYMOUS, BEARER].contains(&name) {
        return Err(UserError::Taken(name.to_owned()));
    }
    Ok(())
}

/// One entry, as it is asked for.
#[derive(Debug)]
pub(super) struct Entry {
    roles: Arc<[Box<str>]>,
    pub(super) password: Option<Arc<PasswordHash>>,
    pub(super) version: u64,
    pub(super) is_disabled: bool,
    /// Its roles in the rules that are in force.
    pub(super) set: RoleSet,
}

/// Whose a certificate is.
#[derive(Debug)]
pub(super) enum ByCertificate<'a> {
    Nobody,
    One(&'a str, &'a Entry),
    /// It names more than one user: it could be used for each of them by the other.
    Several,
}

/// All users.
#[derive(Debug)]
pub struct Users {
    by_name: HashMap<Box<str>, Entry, BuildHasherDefault<Fnv>>,
    by_certificate: HashMap<Box<str>, Box<str>>,
    nobody: Arc<PasswordHash>,
}

impl Users {
    /// Takes the users; of two with the same name the file's reader has refused one before.
    ///
    /// # Errors
    /// Which of them can't be, and why.
    pub fn new(users: impl IntoIterator<Item = User>) -> Result<Self, UserError> {
        let mut by_name = HashMap::default();
        let mut by_certificate: HashMap<Box<str>, Box<str>> = HashMap::new();
        let mut dearest: Option<PasswordHash> = None;
        for user in users {
            check_name(&user.name)?;
            let version = version(&user);
            if let Some(hash) = &user.password
                && dearest.as_ref().is_none_or(|known| known.cost() < hash.cost())
            {
                dearest = Some(hash.clone());
            }
            for certificate in &user.certificates {
                let before = by_certificate.insert(certificate.as_str().into(), user.name.as_str().into());
                if let Some(one) = before.filter(|one| **one != *user.name) {
                    let (name, other) = (certificate.clone(), user.name);
                    return Err(UserError::Certificate { name, one: one.into(), other });
                }
            }
            let entry = Entry {
                roles: user.roles.iter().map(|role| role.as_str().into()).collect(),
                password: user.password.map(Arc::new),
                version,
                is_disabled: user.is_disabled,
                set: RoleSet::default(),
            };
            by_name.insert(user.name.into(), entry);
        }
        Ok(Self { by_name, by_certificate, nobody: Arc::new(PasswordHash::of_nobody(dearest.as_ref())) })
    }

    /// Works out what the roles of each mean under these rules.
    pub(super) fn under(mut self, rules: &Rules) -> Self {
        for entry in self.by_name.values_mut() {
            entry.set = rules.set(&entry.roles);
        }
        self
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name)
    }

    /// What a password is checked against when there is nobody whose it could be.
    pub(super) fn nobody(&self) -> &Arc<PasswordHash> {
        &self.nobody
    }

    /// Who comes by a certificate with these names: nobody that is known, one user, or it can't be told.
    pub(super) fn by_certificate(&self, names: &[Text]) -> ByCertificate<'_> {
        let found: BTreeSet<&str> =
            names.iter().filter_map(|name| self.by_certificate.get(&**name)).map(|s| &**s).collect();
        let mut found = found.into_iter().filter_map(|name| Some((name, self.get(name)?)));
        match (found.next(), found.next()) {
            (None, _) => ByCertificate::Nobody,
            (Some((name, entry)), None) => ByCertificate::One(name, entry),
            (Some(_), Some(_)) => ByCertificate::Several,
        }
    }

    /// Which of the users' roles no rule knows; each with one who holds it.
    pub fn unknown_roles(&self, rules: &Rules) -> Vec<(String, String)> {
        let mut unknown: Vec<(String, String)> = Vec::new();
        for (name, entry) in &self.by_name {
            for role in entry.roles.iter().filter(|role| !rules.knows(role)) {
                if !unknown.iter().any(|(known, _)| **known == **role) {
                    unknown.push((role.to_string(), name.to_string()));
                }
            }
        }
        unknown.sort();
        unknown
    }
}

impl Default for Users {
    fn default() -> Self {
        Self {
            by_name: HashMap::default(),
            by_certificate: HashMap::new(),
            nobody: Arc::new(PasswordHash::of_nobody(None)),
        }
    }
}

impl Entry {
    pub(super) fn principal(&self, name: &str) -> Principal {
        Principal::named(name, Arc::clone(&self.roles), Login::Entry { version: self.version })
    }

    pub(super) fn holds(&self, role: &str) -> bool {
        self.roles.iter().any(|held| **held == *role)
    }
}

/// Changes with what a login is checked against, and not with the roles: those are looked up at each use.
fn version(user: &User) -> u64 {
    // Fixed keys: the same entry has to have the same version after a reload.
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    user.name.hash(&mut hasher);
    user.password.as_ref().map(PasswordHash::to_text).hash(&mut hasher);
    user.certificates.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, certificates: &[&str]) -> User {
        let certificates = certificates.iter().map(|name| (*name).to_owned()).collect();
        User { name: name.into(), certificates, ..User::default() }
    }

    #[test]
    fn class_32_a_certificate_is_one_users_by_its_exact_name_or_nobodys() {
        let users = Users::new([user("ada", &["ada.example", "a2.example"]), user("bob", &["bob.example"])]).unwrap();
        let who = |names: &[&str]| {
            let names: Vec<Text> = names.iter().map(|name| Text::from(*name)).collect();
            match users.by_certificate(&names) {
                ByCertificate::Nobody => "nobody".to_owned(),
                ByCertificate::One(name, _) => name.to_owned(),
                ByCertificate::Several => "several".to_owned(),
            }
        };
        assert_eq!(who(&["ada.example"]), "ada");
        assert_eq!(who(&["else.example", "a2.example", "ada.example"]), "ada");
        assert_eq!(who(&["ada.example", "bob.example"]), "several");
        for names in [&["ADA.example"][..], &["ada.example.evil"], &["*.example"], &["example"], &[]] {
            assert_eq!(who(names), "nobody", "{names:?}");
        }
        let both = Users::new([user("ada", &["x"]), user("bob", &["x"])]);
        assert!(matches!(both, Err(UserError::Certificate { .. })));
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        for name in ["", "a/b", "+", "#", "a:b", "$a", "{user}", "a\n", &"x".repeat(129)] {
            assert!(matches!(Users::new([user(name, &[])]), Err(UserError::Name(_))), "{name:?}");
        }
        for name in ["anonymous", "bearer"] {
            assert!(matches!(Users::new([user(name, &[])]), Err(UserError::Taken(_))), "{name:?}");
        }
    }
}
