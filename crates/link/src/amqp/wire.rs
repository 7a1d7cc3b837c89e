//! The connections to the server: one that publishes, as a server that is short of memory stops reading those, and one that
//! takes. Each is made anew when it's asked for and gone.

use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::ShortString;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Error, ErrorKind};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::place;
use crate::address::Address;

/// How long a connection, and one answer, may take.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// How often each side says that it's there, in seconds: a dead one is noticed after twice that, and a quarter of a minute at the
/// most. The server's manual advises 5 to 20.
const HEARTBEAT: u16 = 6;

/// The code and the words of a good end.
const GOODBYE: (u16, &str) = (200, "goodbye");

/// Which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Publish,
    Take,
}

/// Why there is no connection, in words that follow "the engine ...".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub why: String,
    /// Trying again doesn't help until something was changed.
    pub is_final: bool,
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        let lost = |why: &str, is_final| Self { why: why.to_owned(), is_final };
        match error.kind() {
            ErrorKind::ProtocolError(said) => match said.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                    lost("refuses us: the user name or password is wrong, or the user lacks a right", true)
                }
                AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => {
                    lost("refuses us: it has no such virtual host, or the user has no right to it", true)
                }
                _ => Self { why: format!("says: {}", said.get_message()), is_final: false },
            },
            ErrorKind::IOError(error) => Self { why: format!("can't be reached: {error}"), is_final: false },
            ErrorKind::MissingHeartbeatError => lost("can't be reached: it is silent", false),
            _ => Self { why: format!("can't be reached: {error}"), is_final: false },
        }
    }
}

impl Lost {
    pub(super) fn silent() -> Self {
        Self { why: "does not answer".into(), is_final: false }
    }
}

/// Waits for an answer, but not for ever.
pub(super) async fn answered<T>(question: impl Future<Output = lapin::Result<T>>) -> Result<T, Lost> {
    match timeout(ANSWER_TIME_MAX, question).await {
        Ok(answer) => answer.map_err(Lost::from),
        Err(_) => Err(Lost::silent()),
    }
}

/// Both connections.
pub(super) struct Wires {
    address: Address,
    vhost: String,
    label: String,
    publish: Mutex<Option<Connection>>,
    take: Mutex<Option<Connection>>,
    /// Where what isn't an event is published.
    words: Mutex<Option<Channel>>,
}

impl Wires {
    pub(super) fn new(address: Address, vhost: String, label: String) -> Self {
        let (publish, take, words) = Default::default();
        Self { address, vhost, label, publish, take, words }
    }

    async fn connect(&self, heartbeat: u16) -> Result<Connection, Lost> {
        let uri = AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    // Who a RabbitMQ knows at first, from its own machine.
                    username: self.address.user.clone().unwrap_or_else(|| "guest".into()),
                    password: self.address.password.clone().unwrap_or_else(|| "guest".into()),
                },
                host: self.address.host.clone(),
                port: self.address.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString { heartbeat: Some(heartbeat), ..AMQPQueryString::default() },
        };
        let properties = ConnectionProperties::default().with_connection_name(self.label.as_str().into());
        answered(Connection::connect_uri(uri, properties)).await
    }

    /// A connection whose end the server notices soon, of one group.
    pub(super) async fn alone(&self) -> Result<Connection, Lost> {
        self.connect(place::HEARTBEAT).await
    }

    /// A new channel; the connection is made when there is none.
    pub(super) async fn channel(&self, side: Side) -> Result<Channel, Lost> {
        let mut known = self.of(side).lock().await;
        if known.as_ref().is_none_or(|connection| !connection.status().connected()) {
            *known = None;
            *known = Some(self.connect(HEARTBEAT).await?);
        }
        let Some(connection) = &*known else { return Err(Lost::silent()) };
        let made = answered(connection.create_channel()).await;
        if made.is_err() {
            *known = None;
        }
        made
    }

    const fn of(&self, side: Side) -> &Mutex<Option<Connection>> {
        match side {
            Side::Publish => &self.publish,
            Side::Take => &self.take,
        }
    }

    /// Whether the server takes nothing now, as it's short of memory or disk.
    pub(super) async fn is_blocked(&self) -> bool {
        self.publish.lock().await.as_ref().is_some_and(|connection| connection.status().blocked())
    }

    /// Publishes something that isn't an event, and waits until the server has it.
    pub(super) async fn say(
        &self,
        exchange: &str,
        key: &str,
        (properties, payload): (BasicProperties, Vec<u8>),
    ) -> Result<(), String> {
        let said = self.said(exchange, key, properties, payload).await;
        if said.is_err() {
            *self.words.lock().await = None;
        }
        said.map_err(|lost| lost.why)
    }

    async fn said(&self, exchange: &str, key: &str, properties: BasicProperties, payload: Vec<u8>) -> Result<(), Lost> {
        let channel = {
            let mut words = self.words.lock().await;
            match &*words {
                Some(channel) if channel.status().connected() => channel.clone(),
                _ => {
                    let channel = self.channel(Side::Publish).await?;
                    answered(channel.confirm_select(Default::default())).await?;
                    words.insert(channel).clone()
                }
            }
        };
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = (ShortString::from(exchange), ShortString::from(key));
        let confirmed =
            answered(async { channel.basic_publish(exchange, key, options, &payload, properties).await?.await });
        let confirmation = confirmed.await?;
        let is_taken = confirmation.is_ack();
        match confirmation.take_message() {
            None if is_taken => Ok(()),
            None => Err(Lost { why: "does not take what it's given".into(), is_final: false }),
            Some(_) => Err(Lost { why: "has no queue for it".into(), is_final: false }),
        }
    }

    /// Says goodbye.
    pub(super) async fn close(&self) {
        *self.words.lock().await = None;
        for side in [Side::Take, Side::Publish] {
            if let Some(connection) = self.of(side).lock().await.take() {
                part(&connection).await;
            }
        }
    }
}

/// Ends a connection, as far as it's there.
pub(super) async fn part(connection: &Connection) {
    let _ = answered(connection.close(GOODBYE.0, GOODBYE.1.into())).await;
}

/// Ends a channel, as far as it's there.
pub(super) async fn end(channel: &Channel) {
    let _ = answered(channel.close(GOODBYE.0, GOODBYE.1.into())).await;
}
