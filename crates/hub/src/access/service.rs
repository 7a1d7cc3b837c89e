//! Asks a service who a stranger is: somebody whom neither the users nor the keys here know.
//!
//! The question is told to those who watch [`ASK_TOPIC`] and kept nowhere, as it carries a password. The answer is an
//! ordinary event below [`ANSWER_PREFIX`], from somebody whom a rule allows to publish there; it is taken when it is
//! admitted. A question's number can't be guessed, so nobody else can answer it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use headwater_event::{Event, EventId, Headers, Login, Principal, Refusal, Text, Time, Topic, json};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Notify, oneshot};

use super::recent::Digest;
use super::secret::Secret;
use super::users::check_name;

/// Where questions are told. Watching it needs a rule, also where everybody may everything else.
pub const ASK_TOPIC: &str = "$auth/ask";

/// Answers are published to this and the question's number; `revoke` in place of the number ends a user's logins.
pub const ANSWER_PREFIX: &str = "$auth/answer/";

/// What stands behind [`ANSWER_PREFIX`] when an earlier answer is taken back.
const REVOKE: &str = "revoke";

/// How many questions may be open: as many logins as may wait for a password's check, and a service has a round trip to do.
const OPEN_MAX: usize = 1_024;

/// How many answers are remembered, some 200 bytes each.
const ANSWERS_MAX: usize = 16_384;

/// How many users' logins may be taken back at once. Beyond that, everybody's are.
const REVOKED_MAX: usize = 65_536;

/// The longest answer that is read.
const ANSWER_LEN_MAX: usize = 16 * 1_024;

/// The longest time that an answer holds, whatever it says.
const HOLDS_MAX: Duration = Duration::from_secs(86_400);

/// The most roles an answer may give.
const ROLES_MAX: usize = 64;

/// How a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskRules {
    /// How long the answer may take.
    pub wait: Duration,
    /// For how long an answer holds that doesn't say so itself.
    pub holds: Duration,
}

/// What somebody shows, on its way to the service.
pub(super) enum Shown<'a> {
    Password { user: &'a str, password: &'a Secret },
    Token(&'a Secret),
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    No,
    Yes { user: Option<String>, roles: Arc<[Box<str>]>, holds: Option<Duration> },
}

/// The open questions, and the answers that hold.
#[derive(Default)]
pub(crate) struct Answers {
    state: Mutex<State>,
    came: Notify,
}

#[derive(Default)]
struct State {
    /// By number.
    open: HashMap<Box<str>, oneshot::Sender<Said>>,
    /// Questions that are not told yet.
    to_tell: VecDeque<Event>,
    known: HashMap<Digest, Principal>,
    /// Counts answers.
    serial: u64,
    /// Answers to these users up to these numbers were taken back.
    revoked: HashMap<Box<str>, u64>,
    /// And everybody's up to this one.
    revoked_all: u64,
}

impl Answers {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// `NotAuthenticated` when the service says no; `Full` when too many wait; `Unavailable` when it doesn't answer in time.
    pub(super) async fn ask(
        &self,
        rules: AskRules,
        shown: Shown<'_>,
        client: Option<&str>,
        peer: IpAddr,
        now: impl Fn() -> Time,
    ) -> Result<Principal, Refusal> {
        let number = number()?;
        let question = question(&number, &shown, client, peer).ok_or(Refusal::Unavailable)?;
        let (sender, answer) = oneshot::channel();
        {
            let mut state = self.lock();
            if state.open.len() >= OPEN_MAX {
                return Err(Refusal::Full { wait: Duration::from_secs(1) });
            }
            state.open.insert(number.as_str().into(), sender);
            state.to_tell.push_back(question);
        }
        self.came.notify_one();
        // However this ends, also when the client goes away: the question is no longer open.
        let _open = Open { answers: self, number: &number };
        let said = tokio::time::timeout(rules.wait, answer).await;
        match said {
            Ok(Ok(Said::Yes { user, roles, holds })) => {
                let holds = holds.unwrap_or(rules.holds).min(HOLDS_MAX);
                let shown_user = match shown {
                    Shown::Password { user, .. } => Some(user),
                    Shown::Token(_) => None,
                };
                let name = user.as_deref().or(shown_user).ok_or(Refusal::NotAuthenticated)?;
                check_name(name).map_err(|_| Refusal::NotAuthenticated)?;
                let until = now().plus(holds);
                let mut state = self.lock();
                state.serial += 1;
                Ok(Principal::named(name, roles, Login::Answered { serial: state.serial, until }))
            }
            Ok(Ok(Said::No)) => Err(Refusal::NotAuthenticated),
            Ok(Err(_)) | Err(_) => Err(Refusal::Unavailable),
        }
    }

    /// Who showed this a while ago, if the answer still holds.
    pub(super) fn find(&self, digest: &Digest, now: Time) -> Option<Principal> {
        let state = self.lock();
        let who = state.known.get(digest)?;
        state.stands(who, now).then(|| who.clone())
    }

    /// Remembers an answer.
    pub(super) fn remember(&self, digest: Digest, who: &Principal, now: Time) {
        let mut state = self.lock();
        if state.known.len() >= ANSWERS_MAX {
            let known = std::mem::take(&mut state.known);
            let still: HashMap<_, _> = known.into_iter().filter(|(_, who)| state.stands(who, now)).collect();
            // Whoever is forgotten is asked about once more.
            if still.len() < ANSWERS_MAX {
                state.known = still;
            }
        }
        state.known.insert(digest, who.clone());
    }

    /// Whether this login holds: its time isn't over, and it wasn't taken back.
    pub(super) fn stands(&self, who: &Principal, now: Time) -> bool {
        self.lock().stands(who, now)
    }

    /// An event below [`ANSWER_PREFIX`] was admitted. Gives whether logins were taken back.
    pub(crate) fn hear(&self, event: &Event) -> bool {
        let Some(number) = event.topic.as_str().strip_prefix(ANSWER_PREFIX) else { return false };
        if event.payload.len() > ANSWER_LEN_MAX {
            tracing::warn!("an answer to a login has more than {ANSWER_LEN_MAX} bytes: it's passed over");
            return false;
        }
        if number == REVOKE {
            return self.revoke(&event.payload);
        }
        let Some(asker) = self.lock().open.remove(number) else { return false };
        let said = read(&event.payload).unwrap_or_else(|why| {
            tracing::warn!("an answer to a login can't be read, so it counts as no: {why}");
            Said::No
        });
        // Who asked may have gone: then nobody wants the answer.
        let _ = asker.send(said);
        false
    }

    fn revoke(&self, payload: &[u8]) -> bool {
        let user = serde_json::from_slice::<serde_json::Value>(payload).ok();
        let user = user.as_ref().and_then(|value| value.get("user")?.as_str());
        let Some(user) = user else {
            tracing::warn!("{ANSWER_PREFIX}{REVOKE} wants {{\"user\": NAME}}: it's passed over");
            return false;
        };
        let mut state = self.lock();
        let serial = state.serial;
        if state.revoked.len() >= REVOKED_MAX {
            state.revoked.clear();
            state.revoked_all = serial;
        }
        state.revoked.insert(user.into(), serial);
        true
    }

    /// The questions that are to be told; waits for one where there is none.
    pub(crate) async fn questions(&self) -> Vec<Event> {
        loop {
            let waiting: Vec<_> = self.lock().to_tell.drain(..).collect();
            if !waiting.is_empty() {
                return waiting;
            }
            self.came.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn stands(&self, who: &Principal, now: Time) -> bool {
        let Login::Answered { serial, until } = who.login() else { return false };
        let revoked = who.user().and_then(|user| self.revoked.get(user)).copied().unwrap_or(0);
        now < until && serial > revoked.max(self.revoked_all)
    }
}

/// A question that was asked; dropping this closes it.
struct Open<'a> {
    answers: &'a Answers,
    number: &'a str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.answers.lock().open.remove(self.number);
    }
}

/// A number that can't be guessed: 128 random bits in hex.
fn number() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Refusal::Unavailable)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn question(number: &str, shown: &Shown<'_>, client: Option<&str>, peer: IpAddr) -> Option<Event> {
    let answer_to = format!("{ANSWER_PREFIX}{number}");
    let peer = peer.to_string();
    let mut fields = vec![("answer_to", answer_to.as_str()), ("peer", peer.as_str())];
    fields.extend(client.map(|client| ("client", client)));
    match shown {
        // What is no text can't be written in JSON, and nobody's password.
        Shown::Password { user, password } => fields.extend([("user", *user), ("password", password.reveal_text()?)]),
        Shown::Token(token) => fields.push(("token", token.reveal_text()?)),
    }
    let mut payload = Vec::with_capacity(256);
    for (at, (name, value)) in fields.iter().enumerate() {
        payload.push(if at == 0 { b'{' } else { b',' });
        json::write_str(name, &mut payload);
        payload.push(b':');
        json::write_str(value, &mut payload);
    }
    payload.push(b'}');
    let headers = [(Headers::CONTENT_TYPE, "application/json"), ("reply-to", answer_to.as_str())];
    Some(Event {
        id: EventId::generate(),
        topic: Topic::new(ASK_TOPIC).ok()?,
        headers: Headers::from_pairs(headers).ok()?,
        payload: Bytes::from(payload),
        at: Time(0),
    })
}

/// `{"allow": true, "user": "ada", "roles": ["operator"], "seconds": 3600}`; only `allow` must be there.
fn read(payload: &[u8]) -> Result<Said, String> {
    let answer: serde_json::Value = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let allow = answer.get("allow").and_then(serde_json::Value::as_bool).ok_or("\"allow\" is true or false")?;
    if !allow {
        return Ok(Said::No);
    }
    let user = match answer.get("user") {
        None | Some(serde_json::Value::Null) => None,
        Some(user) => Some(user.as_str().ok_or("\"user\" is a name")?.to_owned()),
    };
    let roles = match answer.get("roles") {
        None => Vec::new(),
        Some(roles) => roles.as_array().ok_or("\"roles\" is a list of names")?.clone(),
    };
    if roles.len() > ROLES_MAX {
        return Err(format!("there are at most {ROLES_MAX} roles"));
    }
    let roles = roles.iter().map(|role| role.as_str().map(Box::from).ok_or("\"roles\" is a list of names"));
    let holds = match answer.get("seconds") {
        None => None,
        Some(seconds) => Some(Duration::from_secs(seconds.as_u64().ok_or("\"seconds\" is a whole number")?)),
    };
    Ok(Said::Yes { user, roles: roles.collect::<Result<_, _>>()?, holds })
}

/// What a client id looks like to the service.
pub(super) fn client_of(client: Option<&Text>) -> Option<&str> {
    client.map(Text::as_str)
}
