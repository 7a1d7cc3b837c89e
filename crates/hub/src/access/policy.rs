//! What is in force: rules, users and tokens together, replaced as a whole, so that nobody is ever judged by half of the old
//! and half of the new.

use std::sync::Arc;

use headwater_event::{Filter, Login, Principal, Time, Topic};

use super::index::Asker;
use super::roles::{ADMIN, RoleSet, Rules};
use super::service::{Answers, AskRules};
use super::token::Tokens;
use super::users::Users;

/// Whether rules are asked at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Openness {
    /// They are: nothing is allowed that no rule allows.
    #[default]
    Rules,
    /// Everybody may everything but what is reserved: the settings say so.
    Everybody,
    /// The same, and everybody may administer: a machine that only its own user can reach, to try the hub out.
    ThisMachine,
}

/// What is in force.
#[derive(Default)]
pub struct Policy {
    pub(super) rules: Rules,
    pub(super) users: Users,
    pub(super) tokens: Option<Tokens>,
    openness: Openness,
    /// Whether a service is asked about those who aren't known here.
    pub(super) asks: Option<AskRules>,
    /// What it has answered: outlives the policy, and is put in by the one who keeps both.
    pub(super) answers: Arc<Answers>,
}

impl Policy {
    /// Puts it together.
    #[must_use]
    pub fn new(openness: Openness, rules: Rules, users: Users, tokens: Option<Tokens>) -> Self {
        let users = users.under(&rules);
        Self { rules, users, tokens, openness, asks: None, answers: Arc::default() }
    }

    /// The same, where a service is asked about those who aren't known here. Only where there are rules: without, nobody's
    /// name matters.
    #[must_use]
    pub fn asking(mut self, asks: Option<AskRules>) -> Self {
        self.asks = asks.filter(|_| self.has_rules());
        self
    }

    /// The roles that somebody has now; `None` when their login no longer stands.
    pub(super) fn standing(&self, who: &Principal, now: impl Fn() -> Time) -> Option<RoleSet> {
        match who.login() {
            Login::Nothing => Some(self.rules.anonymous()),
            Login::Settings => Some(self.rules.set(who.roles())),
            Login::Entry { version } => {
                let entry = self.users.get(who.user()?)?;
                (entry.version == version && !entry.is_disabled).then_some(entry.set)
            }
            Login::Token { version, until } => {
                // A user of this name who is disabled here is locked out, whatever the issuer says.
                let is_locked_out = self.users.get(who.user()?).is_some_and(|entry| entry.is_disabled);
                let is_known = self.tokens.as_ref().is_some_and(|tokens| tokens.stands(version));
                (is_known && !is_locked_out && now() < until).then(|| self.rules.set(who.roles()))
            }
            Login::Answered { .. } => {
                // Whoever is among the users now has to come as that user.
                let is_known_here = self.users.get(who.user()?).is_some();
                let stands = self.asks.is_some() && !is_known_here && self.answers.stands(who, now());
                stands.then(|| self.rules.set(who.roles()))
            }
        }
    }

    pub(super) fn has_rules(&self) -> bool {
        self.openness == Openness::Rules
    }

    pub(super) fn takes_logins(&self) -> bool {
        self.has_rules() && (!self.users.is_empty() || self.tokens.is_some() || self.asks.is_some())
    }

    /// Whether a login still holds.
    pub(super) fn stands(&self, who: &Principal, now: impl Fn() -> Time) -> bool {
        self.standing(who, now).is_some()
    }

    pub(super) fn may_publish(&self, who: &Principal, topic: &Topic, now: impl Fn() -> Time) -> bool {
        let Some(roles) = self.standing(who, now) else { return false };
        !self.has_rules() || self.rules.may_publish(&self.asker(roles, who), topic)
    }

    pub(super) fn may_watch(&self, who: &Principal, filter: &Filter, now: impl Fn() -> Time) -> bool {
        let Some(roles) = self.standing(who, now) else { return false };
        !self.has_rules() || self.rules.may_watch(&self.asker(roles, who), filter)
    }

    /// Names are looked at only where rules name them.
    pub(super) fn asker<'a>(&self, roles: RoleSet, who: &'a Principal) -> Asker<'a> {
        let user = who.user().filter(|_| self.rules.names_user());
        let client = who.client().filter(|_| self.rules.names_client());
        Asker::new(roles, user, client)
    }

    /// Whether somebody holds a role now, whatever rules there are for it.
    pub(super) fn holds(&self, who: &Principal, role: &str, now: impl Fn() -> Time) -> bool {
        if !self.stands(who, now) {
            return false;
        }
        match who.login() {
            Login::Nothing => false,
            Login::Entry { .. } => {
                who.user().and_then(|name| self.users.get(name)).is_some_and(|entry| entry.holds(role))
            }
            Login::Settings | Login::Token { .. } | Login::Answered { .. } => {
                who.roles().iter().any(|held| **held == *role)
            }
        }
    }

    /// Who a user is now, without a login of theirs.
    pub(super) fn principal_of(&self, user: &str) -> Option<Principal> {
        self.users.get(user).map(|entry| entry.principal(user))
    }

    /// Whether somebody may change the hub.
    pub(super) fn may_administer(&self, who: &Principal, now: impl Fn() -> Time) -> bool {
        self.openness == Openness::ThisMachine && self.stands(who, &now) || self.holds(who, ADMIN, now)
    }
}
