//! The doorkeeper: who comes in is asked once, and what they may is looked up in what is in force.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use headwater_event::{Clock, Later, Login, Principal, Refusal, Text, Time};

use super::Ask;
use super::attempts::Attempts;
use super::audit::{Audit, Happened, Means};
use super::credentials::{Credentials, Proof};
use super::explain::Explained;
use super::pattern::is_level;
use super::policy::Policy;
use super::recent::Recent;
use super::secret::Secret;
use super::service::{Answers, AskRules, Shown, client_of};
use super::users::ByCertificate;
use super::verifiers::Verifiers;

/// How often it is looked for tokens that have expired: what they allowed must end within a second.
pub(super) const EXPIRY_EVERY: Duration = Duration::from_millis(250);

/// How many moments at which tokens expire are kept apart. Beyond that everybody is asked again each time.
const EXPIRIES_MAX: usize = 65_536;

/// What decides, and what it needs for that.
pub(crate) struct Keeper {
    policy: RwLock<Arc<Policy>>,
    clock: Clock,
    attempts: Attempts,
    recent: Recent,
    verifiers: Verifiers,
    expiries: Mutex<Expiries>,
    /// What is in force was replaced: who logged in meanwhile, by the old, has to be looked at too.
    has_changed: AtomicBool,
    pub(crate) audit: Audit,
    pub(crate) answers: Arc<Answers>,
}

/// When tokens of present or former connections expire, in steps of [`EXPIRY_EVERY`] since 1970.
#[derive(Default)]
struct Expiries {
    moments: BTreeSet<u64>,
    /// Until then some expire that are not among the moments.
    crowded_until: u64,
}

impl Keeper {
    pub(super) fn new(mut policy: Policy, clock: Clock) -> Self {
        let answers = Arc::<Answers>::default();
        policy.answers = Arc::clone(&answers);
        Self {
            answers,
            policy: RwLock::new(Arc::new(policy)),
            clock,
            attempts: Attempts::default(),
            recent: Recent::new(),
            verifiers: Verifiers::default(),
            expiries: Mutex::default(),
            has_changed: AtomicBool::new(false),
            audit: Audit::default(),
        }
    }

    pub(super) fn replace(&self, mut policy: Policy) {
        policy.answers = Arc::clone(&self.answers);
        let policy = Arc::new(policy);
        let old = {
            let mut current = self.policy.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, policy)
        };
        // Ten thousand users take a moment to be freed, and nobody has to wait for it.
        drop(old);
        self.has_changed.store(true, Ordering::Release);
    }

    fn policy(&self) -> RwLockReadGuard<'_, Arc<Policy>> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn allows(&self, who: &Principal, ask: Ask<'_>) -> bool {
        let policy = self.policy();
        let now = || self.clock.now();
        match ask {
            Ask::Publish(topic) => policy.may_publish(who, topic, now),
            Ask::Watch(filter) => policy.may_watch(who, filter, now),
        }
    }

    pub(super) fn has_rules(&self) -> bool {
        self.policy().has_rules()
    }

    pub(super) fn stands(&self, who: &Principal) -> bool {
        self.policy().stands(who, || self.clock.now())
    }

    pub(super) fn takes_logins(&self) -> bool {
        self.policy().takes_logins()
    }

    pub(super) fn holds(&self, who: &Principal, role: &str) -> bool {
        self.policy().holds(who, role, || self.clock.now())
    }

    pub(super) fn explain(&self, who: &Principal, ask: Ask<'_>) -> Explained {
        let policy = Arc::clone(&self.policy());
        policy.explain(who, ask, || self.clock.now())
    }

    pub(super) fn principal_of(&self, user: &str) -> Option<Principal> {
        self.policy().principal_of(user)
    }

    pub(super) fn may_administer(&self, who: &Principal) -> bool {
        self.policy().may_administer(who, || self.clock.now())
    }

    /// Who shows these credentials.
    pub(super) fn authenticate(self: Arc<Self>, shown: Credentials) -> Later<'static, Result<Principal, Refusal>> {
        let Credentials { proof, client_id, peer } = shown;
        if let Err(refusal) = self.check_client(client_id.as_ref()) {
            return Box::pin(async move { Err(refusal) });
        }
        let client = client_id.clone();
        let by_client = move |who: Principal| match &client_id {
            Some(client) => who.with_client(client),
            None => who,
        };
        if let Some(asks) = self.asks_about(&proof) {
            return Box::pin(async move { self.by_service(asks, proof, client, peer).await.map(by_client) });
        }
        let at_once = match proof {
            Proof::None => Ok(Principal::anonymous()),
            Proof::Token(token) => self.by_token(&token, peer),
            Proof::Certificate { names } => self.by_certificate(&names, peer),
            Proof::Password { user, password } => {
                return Box::pin(async move { self.by_password(user, password, peer).await.map(by_client) });
            }
        };
        Box::pin(async move { at_once.map(by_client) })
    }

    /// A client id that could stand for more than itself is refused where rules name it (CVE-2017-7650).
    fn check_client(&self, client: Option<&Text>) -> Result<(), Refusal> {
        let Some(client) = client else { return Ok(()) };
        if client.chars().any(char::is_control) {
            return Err(Refusal::Malformed("a client id has no control characters".into()));
        }
        if self.policy().rules.names_client() && !is_level(client) {
            return Err(Refusal::Malformed("rules name clients here: a client id has none of + # / $ { }".into()));
        }
        Ok(())
    }

    fn by_token(&self, token: &Secret, peer: IpAddr) -> Result<Principal, Refusal> {
        self.attempts.take(peer, None)?;
        let now = self.clock.now();
        let policy = Arc::clone(&self.policy());
        let checked = match &policy.tokens {
            Some(tokens) => tokens.check(token, now).map_err(|why| why.to_string()),
            None => Err("no tokens are taken here".to_owned()),
        };
        let who = checked.and_then(|who| {
            let name = who.user().unwrap_or_default();
            if policy.rules.names_user() && !is_level(name) {
                return Err("rules name users here, and its user's name can't stand for a level".to_owned());
            }
            if policy.stands(&who, || now) { Ok(who) } else { Err("its user is disabled".to_owned()) }
        });
        let who = who.map_err(|why| self.refused(Means::Token, None, peer, &why))?;
        self.attempts.give(peer, None);
        if let Login::Token { until, .. } = who.login() {
            self.expires(until);
        }
        self.audit.tell(Happened::LoggedIn { user: who.name(), by: Means::Token, peer });
        Ok(who)
    }

    fn by_certificate(&self, names: &[Text], peer: IpAddr) -> Result<Principal, Refusal> {
        let policy = Arc::clone(&self.policy());
        let (name, entry) = match policy.users.by_certificate(names) {
            ByCertificate::One(name, entry) if !entry.is_disabled => (name, entry),
            ByCertificate::One(name, _) => {
                return Err(self.refused(Means::Certificate, Some(name), peer, "its user is disabled"));
            }
            ByCertificate::Several => {
                return Err(self.refused(Means::Certificate, None, peer, "its names are more than one user's"));
            }
            // A client shows its certificate to whoever asks, so this isn't wrong, as a wrong password is: it opened the
            // listener, and says no more.
            ByCertificate::Nobody => return Ok(Principal::anonymous()),
        };
        self.audit.tell(Happened::LoggedIn { user: name, by: Means::Certificate, peer });
        Ok(entry.principal(name))
    }

    /// How to ask a service about them, if that's who knows.
    fn asks_about(&self, proof: &Proof) -> Option<AskRules> {
        let policy = self.policy();
        let is_for_service = match proof {
            Proof::Password { user, .. } => policy.users.get(user).is_none(),
            Proof::Token(_) => policy.tokens.is_none(),
            Proof::None | Proof::Certificate { .. } => false,
        };
        policy.asks.filter(|_| is_for_service)
    }

    async fn by_service(
        self: Arc<Self>,
        asks: AskRules,
        proof: Proof,
        client: Option<Text>,
        peer: IpAddr,
    ) -> Result<Principal, Refusal> {
        let (means, user, secret) = match &proof {
            Proof::Password { user, password } => (Means::Password, Some(user.as_str()), password),
            Proof::Token(token) => (Means::Token, None, token),
            Proof::None | Proof::Certificate { .. } => return Ok(Principal::anonymous()),
        };
        let digest = self.recent.digest(user.unwrap_or_default(), secret);
        if let Some(who) = digest.and_then(|digest| self.answers.find(&digest, self.clock.now())) {
            return Ok(who);
        }
        self.attempts.take(peer, user)?;
        let shown = match user {
            Some(user) => Shown::Password { user, password: secret },
            None => Shown::Token(secret),
        };
        let answer = self.answers.ask(asks, shown, client_of(client.as_ref()), peer, || self.clock.now()).await;
        let who = match answer {
            Ok(who) => who,
            Err(Refusal::NotAuthenticated) => return Err(self.refused(means, None, peer, "the service says no")),
            Err(refusal) => {
                // Nobody was wrong.
                self.attempts.give(peer, user);
                tracing::warn!("no answer to a login from the service that is asked: {refusal}");
                return Err(refusal);
            }
        };
        self.attempts.give(peer, user);
        if self.policy().rules.names_user() && !who.user().is_some_and(is_level) {
            return Err(self.refused(means, None, peer, "its user's name can't stand for a level"));
        }
        if !self.stands(&who) {
            return Err(self.refused(means, None, peer, "the service named a user who is known here"));
        }
        if let Some(digest) = digest {
            self.answers.remember(digest, &who, self.clock.now());
        }
        if let Login::Answered { until, .. } = who.login() {
            self.expires(until);
        }
        self.audit.tell(Happened::LoggedIn { user: who.name(), by: means, peer });
        Ok(who)
    }

    /// A client's event below the topic of answers was admitted.
    pub(crate) fn hear(&self, event: &headwater_event::Event) {
        if self.answers.hear(event) {
            self.has_changed.store(true, Ordering::Release);
        }
    }

    async fn by_password(self: Arc<Self>, user: Text, password: Secret, peer: IpAddr) -> Result<Principal, Refusal> {
        let digest = self.recent.digest(&user, &password);
        // Who was right a moment ago isn't locked out by others who guess at the name.
        if let Some(version) = digest.as_ref().and_then(|digest| self.recent.find(digest))
            && let Some(who) = self.current(&user, version)
        {
            return Ok(who);
        }
        self.attempts.take(peer, Some(&user))?;
        let (hash, version) = self.to_check(&user);
        let answer = match self.verifiers.check(hash, password) {
            Ok(answer) => answer.await,
            Err(refusal) => {
                self.attempts.give(peer, Some(&user));
                return Err(refusal);
            }
        };
        // A thread that ended without an answer has checked nothing.
        let is_right = answer.map_err(|_| Refusal::Unavailable)?;
        // The entry may have changed, or gone, while the password was checked.
        let who = version.filter(|_| is_right).and_then(|version| self.current(&user, version));
        let Some(who) = who else {
            return Err(self.refused(Means::Password, Some(&user), peer, "no such user with this password"));
        };
        self.attempts.give(peer, Some(&user));
        if let (Some(digest), Some(version)) = (digest, version) {
            self.recent.remember(digest, version);
        }
        self.audit.tell(Happened::LoggedIn { user: who.name(), by: Means::Password, peer });
        Ok(who)
    }

    /// What a password has to be checked against, and the version of the entry that this stands for. Who isn't there, or may
    /// not come, costs as much as who is.
    fn to_check(&self, user: &str) -> (Arc<super::password::PasswordHash>, Option<u64>) {
        let policy = self.policy();
        let entry = policy.users.get(user).filter(|entry| !entry.is_disabled);
        match entry.and_then(|entry| Some((Arc::clone(entry.password.as_ref()?), entry.version))) {
            Some((hash, version)) => (hash, Some(version)),
            None => (Arc::clone(policy.users.nobody()), None),
        }
    }

    /// The user of this name, if the entry is in this version now and may come.
    fn current(&self, user: &str, version: u64) -> Option<Principal> {
        let policy = self.policy();
        let entry = policy.users.get(user).filter(|entry| entry.version == version && !entry.is_disabled)?;
        Some(entry.principal(user))
    }

    fn refused(&self, by: Means, user: Option<&str>, peer: IpAddr, why: &str) -> Refusal {
        tracing::debug!(%peer, by = by.word(), "a login was refused: {why}");
        let user = user.filter(|user| self.policy().users.get(user).is_some());
        self.audit.tell(Happened::Refused { user, by, peer, why });
        Refusal::NotAuthenticated
    }

    /// Somebody wanted what they may not. Where everybody may everything this is on no record: nobody has rules to mend.
    pub(super) fn refused_a_right(&self, who: &Principal, what: &'static str, topic: &str) {
        if self.policy().has_rules() {
            self.audit.tell(Happened::NotAllowed { user: who.name(), what, topic });
        }
    }

    fn expires(&self, until: Time) {
        // Rounded up: by then the token is worth nothing for certain.
        let moment = until.0.div_ceil(EXPIRY_EVERY.as_micros() as u64);
        let mut expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        if expiries.moments.len() < EXPIRIES_MAX || expiries.moments.contains(&moment) {
            expiries.moments.insert(moment);
        } else {
            expiries.crowded_until = expiries.crowded_until.max(moment);
        }
    }

    /// Whether everybody has to be asked again: some token has expired, or something else is in force since this was asked
    /// last.
    pub(crate) fn is_recheck_due(&self) -> bool {
        let now = self.clock.now().0 / EXPIRY_EVERY.as_micros() as u64;
        let has_expired = {
            let mut expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
            let ahead = expiries.moments.split_off(&(now + 1));
            let is_crowded = expiries.crowded_until > 0;
            if expiries.crowded_until <= now {
                expiries.crowded_until = 0;
            }
            is_crowded || !std::mem::replace(&mut expiries.moments, ahead).is_empty()
        };
        let has_changed = self.has_changed.swap(false, Ordering::AcqRel);
        has_expired || has_changed
    }
}
