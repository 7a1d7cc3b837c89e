//! One connection to a broker: the handshake, and bytes both ways at once, with signs of life.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use headwater_event::Text;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep_until, timeout};

use super::packet::{self, ConnAck, Dialect, Fault, Packet, meaning, next_packet};
use super::write::{Connect, write_connect, write_disconnect, write_ping};
use crate::address::Address;

/// How long one try to connect may take, from the name to the CONNACK.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// How long the broker may be silent after we asked, which we do when we haven't heard from it for half of that: a dead
/// network is noticed within a quarter of a minute.
const KEEP_ALIVE_S: u16 = 10;

/// The largest packet that is taken: the hub's largest payload is 1 MiB by default and may be set higher.
pub(crate) const PACKET_LEN_MAX: u32 = 32 << 20;

/// How much is read at once.
const READ_LEN: usize = 64 << 10;

/// How much may wait to be written before no more is added: a few packets of the largest payload.
pub(crate) const UNWRITTEN_MAX: usize = 256 << 10;

/// Asks a Headwater to tell the name, the time and the attempt of every event, also of those that other protocols brought.
const TELL: (&str, &str) = ("headwater-tell", "event");

/// How long saying goodbye may take.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(2);

/// What is wanted of a session.
pub(crate) struct Hello<'a> {
    pub dialect: Dialect,
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    pub packet_len_max: u32,
    pub client_id: &'a str,
    pub is_clean: bool,
    pub session_expiry: Duration,
    pub receive_maximum: u16,
}

impl Default for Hello<'_> {
    /// What an engine is told, where nothing else is said.
    fn default() -> Self {
        Self {
            dialect: Dialect::V5,
            user: None,
            password: None,
            packet_len_max: PACKET_LEN_MAX,
            client_id: "",
            is_clean: false,
            session_expiry: Duration::ZERO,
            receive_maximum: u16::MAX,
        }
    }
}

/// Why there is no connection, or none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// For a person; follows "the engine mqtt://... ".
    pub why: String,
    /// Trying again can't help until somebody has changed something.
    pub is_final: bool,
}

impl Lost {
    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_final: false }
    }
}

impl From<Fault> for Lost {
    fn from(fault: Fault) -> Self {
        Self::because(fault.to_string())
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::because(format!("is gone: {error}"))
    }
}

/// A connection on which the broker has said welcome.
pub(crate) struct Wire {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    inbox: BytesMut,
    dialect: Dialect,
    packet_len_max: u32,
    /// Nothing is read, though it may have come: whoever holds this has no room for more.
    pub is_deaf: bool,
    /// What is to be written; what was is cut off the front.
    pub out: Vec<u8>,
    keep_alive: Duration,
    heard_at: Instant,
    wrote_at: Instant,
    asked_at: Option<Instant>,
    pings: u64,
    /// How many of our pings the broker has answered: it has then handled what was written before them.
    pub pongs: u64,
}

/// What the broker said in its welcome.
pub(crate) struct Welcome {
    pub is_session_present: bool,
    pub receive_maximum: u16,
    pub packet_len_max: u32,
    pub has_shares: bool,
    pub has_retained: bool,
    pub user: Vec<(Text, Text)>,
}

/// The user property of a CONNACK by which a Headwater says what its acknowledgements mean.
const DURABILITY: &str = "headwater-durability";

impl Welcome {
    /// What an acknowledgement means; only a Headwater says so.
    pub(crate) fn durability(&self) -> Option<&str> {
        self.user.iter().find(|(name, _)| name.as_str() == DURABILITY).map(|(_, value)| value.as_str())
    }
}

/// Connects to an engine and waits for the welcome.
///
/// # Errors
/// Why not, in a sentence.
pub(super) async fn connect(address: &Address, hello: &Hello<'_>) -> Result<(Wire, Welcome), Lost> {
    let hello = Hello { user: address.user.as_deref(), password: address.password.as_deref(), ..*hello };
    let dialling = async {
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let (wire, welcome) = greet(dialling, &hello).await?;
    for (has, what) in [(welcome.has_shares, "shared subscriptions"), (welcome.has_retained, "retained messages")] {
        if !has {
            return Err(Lost { why: format!("has no {what}, which a bus needs"), is_final: true });
        }
    }
    Ok((wire, welcome))
}

/// Says hello on the connection that this makes, and waits for the welcome.
///
/// # Errors
/// Why not, in a sentence.
pub(crate) async fn greet(
    dialling: impl Future<Output = io::Result<TcpStream>>,
    hello: &Hello<'_>,
) -> Result<(Wire, Welcome), Lost> {
    let connecting = async {
        let stream = dialling.await.map_err(|error| Lost::because(format!("can't be reached: {error}")))?;
        let (read, write) = stream.into_split();
        let now = Instant::now();
        let mut wire = Wire {
            read,
            write,
            inbox: BytesMut::new(),
            dialect: hello.dialect,
            packet_len_max: hello.packet_len_max,
            is_deaf: false,
            out: Vec::new(),
            keep_alive: Duration::from_secs(KEEP_ALIVE_S.into()),
            heard_at: now,
            wrote_at: now,
            asked_at: None,
            pings: 0,
            pongs: 0,
        };
        let expiry = hello.session_expiry.as_secs();
        let connect = Connect {
            dialect: hello.dialect,
            client_id: hello.client_id,
            is_clean: hello.is_clean,
            session_expiry_s: u32::try_from(expiry).unwrap_or(u32::MAX),
            receive_maximum: hello.receive_maximum,
            packet_len_max: hello.packet_len_max,
            keep_alive_s: KEEP_ALIVE_S,
            user: hello.user,
            password: hello.password,
            ask: TELL,
        };
        write_connect(&connect, &mut wire.out);
        loop {
            match wire.step().await? {
                None => {}
                Some(Packet::ConnAck(answer)) => return wire.welcome(*answer),
                Some(_) => return Err(Fault("something else before CONNACK").into()),
            }
        }
    };
    match timeout(CONNECT_TIME_MAX, connecting).await {
        Ok(result) => result,
        Err(_) => Err(Lost::because(format!("can't be reached: no answer in {} s", CONNECT_TIME_MAX.as_secs()))),
    }
}

impl Wire {
    fn welcome(mut self, answer: ConnAck) -> Result<(Self, Welcome), Lost> {
        if answer.reason != 0 {
            // What a changed password or right could cure; the rest is the broker's momentary state.
            let is_final = matches!(answer.reason, 0x01..=0x02 | 0x04..=0x05 | 0x84..=0x87 | 0x8A | 0x8C);
            let why = answer.why.map(|why| format!(" ({why})")).unwrap_or_default();
            return Err(Lost { why: format!("refuses us: {}{why}", meaning(answer.reason)), is_final });
        }
        if let Some(seconds) = answer.keep_alive_s.filter(|seconds| *seconds > 0) {
            // Whoever wants to hear from us seldom may hear from us more often.
            self.keep_alive = self.keep_alive.min(Duration::from_secs(seconds.into()));
        }
        let welcome = Welcome {
            is_session_present: answer.is_session_present,
            receive_maximum: answer.receive_maximum,
            packet_len_max: answer.packet_len_max,
            has_shares: answer.has_shares,
            has_retained: answer.has_retained,
            user: answer.user,
        };
        Ok((self, welcome))
    }

    /// Whether more may be added to what is to be written.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < UNWRITTEN_MAX
    }

    /// The next packet; `None` when meanwhile something else was done (written, asked for a sign of life). Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// When the connection has ended, or the broker has broken the protocol.
    pub(crate) async fn step(&mut self) -> Result<Option<Packet>, Lost> {
        if !self.is_deaf
            && let Some(packet) = next_packet(&mut self.inbox, self.packet_len_max as usize, self.dialect)?
        {
            if packet == Packet::PingResp {
                self.asked_at = None;
                self.pongs += 1;
            }
            return Ok(Some(packet));
        }
        // What was written says nothing: where nothing gets through, the system takes it all the same.
        let quiet_since = self.wrote_at.min(self.heard_at);
        let look_at = self.asked_at.map_or(quiet_since + self.keep_alive / 2, |asked| asked + self.keep_alive);
        self.inbox.reserve(READ_LEN);
        tokio::select! {
            read = self.read.read_buf(&mut self.inbox), if !self.is_deaf => {
                if read? == 0 {
                    return Err(Lost::because("has closed the connection"));
                }
                self.heard_at = Instant::now();
            }
            written = self.write.write(&self.out), if !self.out.is_empty() => {
                let len = written?;
                self.out.drain(..len);
                self.wrote_at = Instant::now();
            }
            () = sleep_until(look_at) => {
                if self.is_deaf {
                    // It may have answered long ago.
                    self.heard_at = Instant::now();
                }
                if self.asked_at.is_some_and(|asked| self.heard_at < asked) {
                    return Err(Lost::because("is silent"));
                }
                self.ping();
                self.asked_at = Some(Instant::now());
            }
        }
        Ok(None)
    }

    /// Asks for a sign of life; gives what [`pongs`](Self::pongs) will be when it has come.
    pub(crate) fn ping(&mut self) -> u64 {
        write_ping(&mut self.out);
        self.pings += 1;
        self.pings
    }

    /// Writes what is left and says goodbye; with `is_for_ever` the session ends too.
    pub(crate) async fn leave(mut self, is_for_ever: bool) {
        write_disconnect(is_for_ever, &mut self.out);
        let leaving = async {
            self.write.write_all(&self.out).await?;
            self.write.shutdown().await?;
            // The broker closes when it has read that.
            loop {
                self.inbox.clear();
                if self.read.read_buf(&mut self.inbox).await? == 0 {
                    return io::Result::Ok(());
                }
            }
        };
        let _ = timeout(FAREWELL_TIME_MAX, leaving).await;
    }
}

/// The words for a DISCONNECT of the broker's.
pub(crate) fn sent_away(reason: u8, why: Option<String>) -> Lost {
    let words = why.map(|why| format!(" ({why})")).unwrap_or_default();
    let also = if reason == packet::TAKEN_OVER { "; give each process an id of its own (`?id=NAME`)" } else { "" };
    Lost::because(format!("has ended the connection: {}{words}{also}", meaning(reason)))
}
