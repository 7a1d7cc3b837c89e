//! Redis beside the server: what RabbitMQ has no place for. Marks of events that were published, latest states, what groups
//! want, dead letters.

use std::time::Duration;

use bytes::Bytes;
use headwater_event::{EventId, GroupName, Time};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, Script};
use redis::{RedisConnectionInfo, ScriptInvocation, Value};
use tokio::sync::Mutex;

use super::names::Names;
use super::scripts;
use crate::LinkError;
use crate::address::Address;
use crate::version;

/// How long a connection, and one answer, may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a published event is known: a resend comes within minutes or never, and each id takes Redis 150 bytes.
const DONE_TIME: Duration = Duration::from_secs(600);

/// How long it's known that somebody was about to publish an event: longer than a caller waits.
const PENDING_TIME: Duration = Duration::from_secs(60);

/// How long an ended state is known as ended: nobody is late by more.
const ENDED_TIME: Duration = Duration::from_secs(86_400);

/// How many changes, and how many bytes of them, one look gives.
const CHANGES_MAX: usize = 512;
const CHANGES_BYTES_MAX: usize = 1 << 20;

/// How many letters of one group are kept; beyond, the oldest is forgotten. More are no list that a person reads.
pub(super) const LETTERS_MAX: usize = 10_000;

/// Whose scripts and answers are the ones that are counted on here.
const VERSION_MIN: [u32; 3] = [7, 0, 0];

/// Redis's usual port.
const PORT: u16 = 6_379;

/// Where Redis is.
pub(super) struct Memory {
    address: Address,
    client: Client,
    names: Names,
    connection: Mutex<Option<MultiplexedConnection>>,
    claim: Script,
    keep: Script,
    changed: Script,
    register: Script,
    bury: Script,
}

/// A state to be kept.
pub(super) struct Kept {
    pub topic: String,
    pub version: u64,
    /// Empty when the state has ended.
    pub bytes: Vec<u8>,
}

/// A state that has changed.
pub(super) struct Change {
    pub topic: String,
    pub version: u64,
    pub bytes: Bytes,
}

/// What a group wants, and its number.
pub(super) struct Registered {
    pub filters: String,
    pub number: u64,
}

impl Memory {
    /// Reads the address, `redis://[USER:PASSWORD@]HOST[:PORT][?db=N]`.
    pub(super) fn new(url: &str, names: Names) -> Result<Self, LinkError> {
        let wrong = |why: &str| LinkError::Url(format!("`--state` {why}"));
        let rest = match url.split_once("://") {
            Some(("redis", rest)) => rest,
            Some(("rediss", _)) => return Err(wrong("has no TLS yet: it begins with `redis://`")),
            _ => return Err(wrong("begins with `redis://`")),
        };
        let address = Address::read("redis", PORT, &["db"], rest)?;
        let db = match address.option("db").map_or(Ok(0), str::parse) {
            Ok(db @ 0..=65_535) => db,
            _ => return Err(wrong("has a `db` that is no number")),
        };
        let mut info = RedisConnectionInfo::default().set_db(db).set_skip_set_lib_name();
        match (&address.user, &address.password) {
            // `redis://:PASSWORD@...` is how one writes a password without a user.
            (Some(user), Some(password)) if user.is_empty() => info = info.set_password(password),
            (Some(user), password) => {
                info = info.set_username(user).set_password(password.as_deref().unwrap_or_default());
            }
            (None, _) => {}
        }
        let place = ConnectionAddr::Tcp(address.host.clone(), address.port);
        let client = place
            .into_connection_info()
            .and_then(|place| Client::open(place.set_redis_settings(info)))
            .map_err(|error| wrong(&format!("can't be used: {error}")))?;
        Ok(Self {
            address,
            client,
            names,
            connection: Mutex::new(None),
            claim: Script::new(scripts::CLAIM),
            keep: Script::new(scripts::KEEP),
            changed: Script::new(scripts::CHANGED),
            register: Script::new(scripts::REGISTER),
            bury: Script::new(scripts::BURY),
        })
    }

    /// Connects once, to know that it can be done, and asks how old it is.
    pub(super) async fn check(&self) -> Result<(), LinkError> {
        let answer = self.ask(|connection| async move {
            let mut connection = connection;
            redis::cmd("PING").query_async::<()>(&mut connection).await?;
            match redis::cmd("HELLO").query_async::<Value>(&mut connection).await {
                Ok(told) => Ok(version_told(told)),
                // It came with Redis 6.
                Err(error) if error.code() == Some("ERR") => Ok(Some("5 or older".to_owned())),
                Err(error) => Err(error),
            }
        });
        let version = answer.await.map_err(|failure| match failure.is_final {
            true => LinkError::Refused(failure.why),
            false => LinkError::Unreachable(failure.why),
        })?;
        match version {
            Some(version) if !version::is_at_least(&version, VERSION_MIN) => {
                let why = format!("is Redis {version}, and {} or later is needed", VERSION_MIN[0]);
                Err(LinkError::Refused(self.sentence(&why)))
            }
            _ => Ok(()),
        }
    }

    /// What its acknowledgement means, as far as it says: `true` when it syncs each write.
    pub(super) async fn syncs(&self) -> Option<bool> {
        let asked = self.ask(|connection| async move {
            let mut connection = connection;
            let mut command = redis::cmd("CONFIG");
            let command = command.arg("GET").arg("append*");
            command.query_async::<Vec<(String, String)>>(&mut connection).await
        });
        let told = asked.await.ok()?;
        let has = |name: &str, value: &str| told.iter().any(|(known, is)| known == name && is == value);
        Some(has("appendonly", "yes") && has("appendfsync", "always"))
    }

    pub(super) fn sentence(&self, why: &str) -> String {
        format!("the engine's state {} {why}", self.address)
    }

    /// One question; a connection that fails is given up.
    async fn ask<T, F>(&self, question: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let connection = self.connection().await.map_err(|error| self.failure(&error))?;
        match question(connection).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
                    *self.connection.lock().await = None;
                }
                Err(self.failure(&error))
            }
        }
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut known = self.connection.lock().await;
        if let Some(connection) = &*known {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_TIME_MAX))
            .set_response_timeout(Some(ANSWER_TIME_MAX));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(known.insert(connection).clone())
    }

    fn failure(&self, error: &RedisError) -> Failure {
        let is_login = matches!(error.kind(), ErrorKind::AuthenticationFailed)
            || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
        let why = if is_login {
            self.sentence("refuses us: the user name or password is wrong, or it lacks a right")
        } else if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
            self.sentence(&format!("can't be reached: {error}"))
        } else {
            // What Redis says of a script or a command; it never has what we sent as a password.
            self.sentence(&format!("fails: {error}"))
        };
        Failure { why, is_final: is_login }
    }

    async fn invoke<T: redis::FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, String> {
        let answer = self.ask(|connection| async move {
            let mut connection = connection;
            call.invoke_async::<T>(&mut connection).await
        });
        answer.await.map_err(|failure| failure.why)
    }

    fn key(&self, name: &str) -> String {
        format!("hw1:{{{}}}:{name}", self.names.as_str())
    }

    fn mark(&self, id: &EventId) -> String {
        self.key(&format!("m:{id}"))
    }

    /// Says that these are about to be published: gives each its version, 0 where it was published already.
    pub(super) async fn claim(&self, events: &[(EventId, bool)]) -> Result<Vec<u64>, String> {
        let mut call = self.claim.prepare_invoke();
        call.key(self.key("v")).arg(millis(PENDING_TIME));
        for (id, is_marked) in events {
            call.arg(u8::from(*is_marked));
            if *is_marked {
                call.key(self.mark(id));
            }
        }
        self.invoke(&call).await
    }

    /// Keeps states, and says that these were published.
    pub(super) async fn keep(&self, states: &[Kept], published: &[EventId], now: Time) -> Result<(), String> {
        let mut call = self.keep.prepare_invoke();
        for name in ["s", "sv", "sr", "se", "r"] {
            call.key(self.key(name));
        }
        for id in published {
            call.key(self.mark(id));
        }
        let now = now.as_micros() / 1_000;
        call.arg(millis(DONE_TIME)).arg(now).arg(now.saturating_sub(millis(ENDED_TIME)));
        for state in states {
            call.arg(&state.topic).arg(state.version).arg(&state.bytes);
        }
        self.invoke(&call).await
    }

    /// Up to so many states that have changed after a change; gives the last one looked at.
    pub(super) async fn changed(&self, after: u64) -> Result<(u64, Vec<Change>), String> {
        let mut call = self.changed.prepare_invoke();
        for name in ["s", "sv", "sr"] {
            call.key(self.key(name));
        }
        call.arg(after).arg(CHANGES_MAX).arg(CHANGES_BYTES_MAX);
        let told: Vec<Vec<u8>> = self.invoke(&call).await?;
        let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<u64>().ok());
        let mut told = told.into_iter();
        let last = told.next().and_then(|bytes| number(&bytes)).unwrap_or(after);
        let mut changes = Vec::new();
        while let (Some(topic), Some(version), Some(bytes)) = (told.next(), told.next(), told.next()) {
            let Ok(topic) = String::from_utf8(topic) else { continue };
            changes.push(Change { topic, version: number(&version).unwrap_or(0), bytes: bytes.into() });
        }
        Ok((last, changes))
    }

    /// Writes down what a new group wants.
    pub(super) async fn register(&self, group: &GroupName, filters: &str) -> Result<Registered, String> {
        let mut call = self.register.prepare_invoke();
        for name in ["g", "gn", "r"] {
            call.key(self.key(name));
        }
        call.arg(group.as_str()).arg(filters);
        let (filters, number) = self.invoke(&call).await?;
        Ok(Registered { filters, number })
    }

    /// What a group wants, if it's there.
    pub(super) async fn registered(&self, group: &GroupName) -> Result<Option<Registered>, String> {
        let (wants, numbers) = (self.key("g"), self.key("gn"));
        let answer = self.ask(|connection| async move {
            let mut connection = connection;
            let mut pipe = redis::pipe();
            pipe.hget(wants, group.as_str()).hget(numbers, group.as_str());
            pipe.query_async::<(Option<String>, Option<u64>)>(&mut connection).await
        });
        let (filters, number) = answer.await.map_err(|failure| failure.why)?;
        Ok(filters.map(|filters| Registered { filters, number: number.unwrap_or(0) }))
    }

    /// Forgets a group and its letters.
    pub(super) async fn forget(&self, group: &GroupName) -> Result<(), String> {
        let [letters, order] = self.letter_keys(group);
        let hashes = ["g", "gn", "df"].map(|name| self.key(name));
        let answer = self.ask(|connection| async move {
            let mut connection = connection;
            let mut pipe = redis::pipe();
            pipe.atomic();
            for hash in hashes {
                pipe.hdel(hash, group.as_str()).ignore();
            }
            pipe.del(letters).ignore().del(order).ignore();
            pipe.query_async::<()>(&mut connection).await
        });
        answer.await.map_err(|failure| failure.why)
    }

    fn letter_keys(&self, group: &GroupName) -> [String; 2] {
        [self.key(&format!("d:{group}")), self.key(&format!("dr:{group}"))]
    }

    /// Keeps letters; gives how many the group has and how many were forgotten.
    pub(super) async fn bury(&self, group: &GroupName, letters: &[(EventId, Vec<u8>)]) -> Result<(usize, u64), String> {
        let [bodies, order] = self.letter_keys(group);
        let mut call = self.bury.prepare_invoke();
        call.key(bodies).key(order).key(self.key("r")).key(self.key("df"));
        call.arg(group.as_str()).arg(LETTERS_MAX);
        for (id, bytes) in letters {
            call.arg(id.to_string()).arg(bytes);
        }
        self.invoke(&call).await
    }

    /// The ids of a group's letters, in the order of their deaths.
    pub(super) async fn letter_ids(&self, group: &GroupName) -> Result<Vec<String>, String> {
        let [_, order] = self.letter_keys(group);
        let answer = self.ask(|connection| async move {
            let mut connection = connection;
            let mut command = redis::cmd("ZRANGE");
            command.arg(order).arg(0).arg(-1).query_async::<Vec<String>>(&mut connection).await
        });
        answer.await.map_err(|failure| failure.why)
    }

    /// The letters of these ids; `None` where one was taken out meanwhile.
    pub(super) async fn letters(&self, group: &GroupName, ids: &[String]) -> Result<Vec<Option<Vec<u8>>>, String> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let [bodies, _] = self.letter_keys(group);
        let answer = self.ask(|connection| async move {
            let mut connection = connection;
            let mut command = redis::cmd("HMGET");
            command.arg(bodies).arg(ids).query_async::<Vec<Option<Vec<u8>>>>(&mut connection).await
        });
        answer.await.map_err(|failure| failure.why)
    }

    /// Takes a letter out; says whether it was there.
    pub(super) async fn take_out(&self, group: &GroupName, id: &str) -> Result<bool, String> {
        let [bodies, order] = self.letter_keys(group);
        let answer = self.ask(|connection| async move {
            let mut connection = connection;
            let mut pipe = redis::pipe();
            pipe.atomic().hdel(bodies, id).zrem(order, id).ignore();
            pipe.query_async::<(usize,)>(&mut connection).await
        });
        answer.await.map(|(count,)| count > 0).map_err(|failure| failure.why)
    }
}

/// Why a question has no answer.
struct Failure {
    why: String,
    /// Asking again doesn't help until something was changed.
    is_final: bool,
}

/// The version in what a Redis answers to HELLO: names and values in turn.
fn version_told(told: Value) -> Option<String> {
    let Value::Array(told) = told else { return None };
    let mut pairs = told.into_iter();
    while let (Some(name), Some(value)) = (pairs.next(), pairs.next()) {
        if let (Value::BulkString(name), Value::BulkString(value)) = (name, value)
            && name == b"version"
        {
            return String::from_utf8(value).ok();
        }
    }
    None
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
