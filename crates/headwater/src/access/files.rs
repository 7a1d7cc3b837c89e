//! Which files there are, and all of them read together.

use std::path::{Path, PathBuf};

use headwater_hub::access::{AskRules, Keys, Openness, Policy, Role, Rules, Secret, TokenRules, Tokens, User, Users};

use super::users_file::{plain_text, secret_text};
use super::{openness, rules_file, users_file};
use crate::config::{Anonymous, Faults, Loaded};

/// The name of the users' file in the data folder, where the settings name none.
const USERS: &str = "users.toml";

/// The name of the rules' file there.
const RULES: &str = "rules.toml";

/// Where users, rules and keys lie, and what the settings say beside.
pub struct Files {
    users: Place,
    rules: Place,
    keys: Option<PathBuf>,
    tokens: TokenRules,
    openness: Openness,
    asks: Option<AskRules>,
    /// Whether those who show nothing are let in at all.
    lets_anonymous_in: bool,
}

/// A file that must be there if the settings name it, and may be there otherwise.
struct Place {
    path: PathBuf,
    is_named: bool,
}

/// What was read.
pub struct Read {
    /// To be put in force.
    pub policy: Policy,
    /// How many users there are.
    pub users: usize,
    /// How many roles.
    pub roles: usize,
    /// How many patterns all roles have.
    pub patterns: usize,
    /// What is good and still worth a second look.
    pub remarks: Vec<String>,
}

impl Files {
    pub fn new(loaded: &Loaded) -> Self {
        let config = &loaded.config;
        let place = |named: &Option<PathBuf>, name: &str| Place {
            path: named.clone().unwrap_or_else(|| config.log.folder.join(name)),
            is_named: named.is_some(),
        };
        let rules = place(&config.access.rules_file, RULES);
        let has_rules = rules.is_named || rules.path.exists();
        Self {
            users: place(&config.access.users_file, USERS),
            rules,
            keys: config.access.token_keys_file.clone(),
            tokens: config.access.tokens.clone(),
            openness: openness(loaded, has_rules),
            asks: config.access.asks_service.then_some(config.access.asking),
            lets_anonymous_in: config.anonymous != Anonymous::None,
        }
    }

    pub const fn openness(&self) -> Openness {
        self.openness
    }

    pub fn rules_path(&self) -> &Path {
        &self.rules.path
    }

    pub fn users_path(&self) -> &Path {
        &self.users.path
    }

    /// Reads everything, and says everything that is wrong at once. Nothing is in force by that.
    ///
    /// # Errors
    /// Each fault with its file and line.
    pub fn read(&self) -> Result<Read, Faults> {
        let mut faults = Faults::default();
        let mut remarks = Vec::new();
        let roles = self.roles(&mut faults);
        let rules = Rules::new(roles.iter().map(|(name, role)| (name.as_str(), role)));
        let rules = rules.map_err(|error| faults.add(self.rules.path.display().to_string(), error.to_string(), None));
        let users = Users::new(self.users(&mut faults));
        let users = users.map_err(|error| faults.add(self.users.path.display().to_string(), error.to_string(), None));
        let tokens = self.keys(&mut faults, &mut remarks);
        let (Ok(rules), Ok(users), true) = (rules, users, faults.0.is_empty()) else { return Err(faults) };
        for (role, who) in users.unknown_roles(&rules) {
            remarks.push(format!("{who} holds the role {role:?}, which no rule knows: it allows nothing"));
        }
        let count = |role: &Role| {
            role.publish.len() + role.deny_publish.len() + role.subscribe.len() + role.deny_subscribe.len()
        };
        Ok(Read {
            users: users.len(),
            roles: roles.len(),
            patterns: roles.iter().map(|(_, role)| count(role)).sum(),
            policy: Policy::new(self.openness, rules, users, tokens).asking(self.asks),
            remarks,
        })
    }

    fn roles(&self, faults: &mut Faults) -> Vec<(String, Role)> {
        let Some(text) = self.rules.text(plain_text, faults) else { return Vec::new() };
        let mut roles = rules_file::read(&self.rules.path.display().to_string(), &text, faults);
        if !self.lets_anonymous_in {
            roles.retain(|(name, _)| name != headwater_hub::access::ANONYMOUS);
        }
        roles
    }

    fn users(&self, faults: &mut Faults) -> Vec<User> {
        let Some(text) = self.users.text(secret_text, faults) else { return Vec::new() };
        users_file::read(&self.users.path.display().to_string(), &text, faults)
    }

    fn keys(&self, faults: &mut Faults, remarks: &mut Vec<String>) -> Option<Tokens> {
        let path = self.keys.as_deref()?;
        let place = path.display().to_string();
        for (key, text) in
            [("access.token_issuer", &self.tokens.issuer), ("access.token_audience", &self.tokens.audience)]
        {
            if text.is_empty() {
                faults.add(
                    key,
                    "is needed with access.token_keys_file: a token for somebody else isn't one for us",
                    None,
                );
            }
        }
        let read = plain_text(path).map_err(|why| faults.add(&place, why, None)).ok()?;
        let keys = Keys::read(&Secret::new(read)).map_err(|error| faults.add(&place, error.to_string(), None)).ok()?;
        if keys.is_secret
            && let Err(why) = users_file::check_mode(path)
        {
            faults.add(&place, format!("it holds a shared key, and {why}"), None);
        }
        remarks.extend(keys.left_out.iter().map(|why| format!("{place}: {why}")));
        Some(Tokens::new(keys, self.tokens.clone()))
    }
}

impl Place {
    /// The text of the file, where there is one.
    fn text(&self, read: impl Fn(&Path) -> Result<String, String>, faults: &mut Faults) -> Option<String> {
        if !self.is_named && !self.path.exists() {
            return None;
        }
        read(&self.path).map_err(|why| faults.add(self.path.display().to_string(), why, None)).ok()
    }
}

impl Read {
    /// In a sentence.
    pub fn told(&self) -> String {
        let Self { users, roles, patterns, .. } = self;
        format!("{users} users, {roles} roles with {patterns} patterns")
    }

    /// Says on stderr what is worth a second look.
    pub fn warn(&self) {
        for remark in &self.remarks {
            tracing::warn!("{remark}");
        }
    }
}
