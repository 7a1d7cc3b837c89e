//! One client's connection: HELLO, WELCOME, then messages in and answers out, by one task and the fewest system calls.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use headwater_event::{Principal, ProducerId, Refusal, Text, Topic};
use headwater_hub::{Arrival, Bell, Credentials, Hub, Proof, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, Sleep, sleep, timeout};

use crate::accept::{self, Stopping};
use crate::tls::TlsPeer;

use super::decode::{Item, Messages, take_hello};
use super::ledger::{ANSWERS_LEN_MAX, Ledger};
use super::refusal;
use super::seats::{Claim, Seats};
use super::settings::FrameSettings;
use super::wire::{Code, Hello, WELCOME_LEN, Welcome};

/// How much is read at once before the HELLO, in bytes: the longest HELLO in three reads.
const READ_LEN_FIRST: usize = 2 * 1_024;
/// The least that is read at once afterwards: fifteen messages of the default size.
const READ_LEN_MIN: usize = 4 * 1_024;
/// The most: a full socket buffer of a client that pipelines. Larger reads gained nothing and cost memory.
const READ_LEN_MAX: usize = 64 * 1_024;
/// How much of what a client still sends after its refusal is read and dropped, so that the refusal reaches it: closing
/// with bytes unread makes the kernel throw away what it had still to send.
const LINGER_LEN_MAX: usize = 256 * 1_024;
/// For how long.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);

/// What all connections of the frame edge share.
pub struct Front {
    /// Where the messages go.
    pub hub: Arc<Hub>,
    /// The limits.
    pub settings: FrameSettings,
    /// Who is connected.
    pub seats: Arc<Seats>,
}

/// Serves one connection to its end. When the program is about to stop, no more is read, what was read is answered, and
/// the connection is closed.
///
/// # Errors
/// When the socket fails. Nobody needs to act on it: the client comes back and learns from WELCOME where it stands.
pub async fn serve(connection: accept::Connection, front: &Front) -> io::Result<()> {
    let accept::Connection { mut stream, peer, tls, stopping } = connection;
    let mut buffer = BytesMut::new();
    let hello = match timeout(front.settings.hello_timeout, read_hello(&mut stream, &mut buffer)).await {
        Ok(Ok(Some(hello))) => hello,
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(HelloError::Refused(code))) => return refuse(stream, front, code).await,
        Ok(Err(HelloError::Io(error))) => return Err(error),
        Err(_elapsed) => return refuse(stream, front, Code::Malformed).await,
    };
    let topic = topic_of(hello.client);
    let who = match who(&hello, peer, tls.as_deref(), &topic, &front.hub).await {
        Ok(who) => who,
        Err(refusal) => return refuse(stream, front, refusal::code(&refusal)).await,
    };
    let mut claim = front.seats.claim(hello.client, &who);
    if !claim.sit().await {
        return Ok(());
    }
    // The one before has stopped, so nothing of this client's is handed in any more; `last_number` waits for what was.
    let last = match front.hub.last_number(&who, hello.client).await {
        Ok(last) => last,
        Err(refusal) => return refuse(stream, front, refusal::code(&refusal)).await,
    };
    let (bell, client) = (Bell::new(), hello.client.to_string());
    let arrival = Arrival { protocol: "frames", peer, who: &who, client: Some(&client) };
    let present = front.hub.presence().enter(arrival, &bell);
    let welcome = Welcome { status: 0, payload_max: payload_max(front), last_seq: last };
    let ledger = Ledger::new(front.hub.clone(), who, hello.client, topic, last);
    let mut connection = Connection::new(stream, front, buffer, ledger, welcome);
    connection.talk(&claim, &bell, stopping).await?;
    // Nothing more is handed in: whoever takes over needn't wait until the client has read its last answers.
    drop(claim);
    drop(present);
    linger(connection.stream).await
}

/// Who says HELLO; somebody who may write to their topic, as nobody else may even learn where its numbers stand.
async fn who(
    hello: &Hello,
    peer: SocketAddr,
    tls: Option<&TlsPeer>,
    topic: &Topic,
    hub: &Hub,
) -> Result<Principal, Refusal> {
    let proof = match Proof::from_field(Secret::new(&hello.token[..])) {
        Proof::None => tls
            .filter(|tls| !tls.sans.is_empty())
            .map_or(Proof::None, |tls| Proof::Certificate { names: tls.sans.clone() }),
        proof => proof,
    };
    let client_id = Some(Text::from(hello.client.to_string()));
    let who = hub.authenticate(Credentials { proof, client_id, peer: peer.ip() }).await?;
    hub.may_publish(&who, topic)?;
    Ok(who)
}

enum HelloError {
    Refused(Code),
    Io(io::Error),
}

/// `None` when the client leaves before its HELLO is whole.
async fn read_hello(stream: &mut TcpStream, buffer: &mut BytesMut) -> Result<Option<Hello>, HelloError> {
    loop {
        buffer.reserve(READ_LEN_FIRST);
        if stream.read_buf(buffer).await.map_err(HelloError::Io)? == 0 {
            return Ok(None);
        }
        if let Some(hello) = take_hello(buffer).map_err(HelloError::Refused)? {
            return Ok(Some(hello));
        }
    }
}

async fn refuse(mut stream: TcpStream, front: &Front, code: Code) -> io::Result<()> {
    let mut frame = Vec::with_capacity(WELCOME_LEN);
    Welcome { status: code.byte(), payload_max: payload_max(front), last_seq: 0 }.encode(&mut frame);
    stream.write_all(&frame).await?;
    linger(stream).await
}

fn payload_max(front: &Front) -> u32 {
    u32::try_from(front.settings.payload_max).unwrap_or(u32::MAX)
}

/// `intake/{client}`: where this client's messages land.
fn topic_of(client: ProducerId) -> Topic {
    Topic::new(format!("intake/{client}")).expect("a UUID's text is a good level of a topic")
}

/// Says that nothing more comes, and waits a moment for the client to have read what came.
async fn linger(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let drop_the_rest = async {
        let mut dropped = 0;
        let mut bytes = [0; 1_024];
        while dropped < LINGER_LEN_MAX {
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(len) => dropped += len,
            }
        }
    };
    // Running out of time is one of the two ways for this to end.
    let _ = timeout(LINGER_TIME_MAX, drop_the_rest).await;
    Ok(())
}

/// The talk after WELCOME.
struct Connection<'a> {
    stream: TcpStream,
    settings: &'a FrameSettings,
    buffer: BytesMut,
    read_len: usize,
    messages: Messages,
    items: Vec<Item>,
    ledger: Ledger,
    out: Vec<u8>,
    out_at: usize,
    /// Whether more is wanted from the client, and may come.
    reading: bool,
    active_at: Instant,
}

impl<'a> Connection<'a> {
    fn new(stream: TcpStream, front: &'a Front, buffer: BytesMut, ledger: Ledger, welcome: Welcome) -> Self {
        let mut out = Vec::new();
        welcome.encode(&mut out);
        let mut connection = Self {
            stream,
            settings: &front.settings,
            buffer,
            read_len: READ_LEN_MIN,
            messages: Messages::new(front.settings.payload_max),
            items: Vec::new(),
            ledger,
            out,
            out_at: 0,
            reading: true,
            active_at: Instant::now(),
        };
        // Messages may have come right behind the HELLO.
        connection.take_messages();
        connection
    }

    /// Until the client has said all and has all its answers, or leaves, or is silent for too long, or has to leave.
    async fn talk(&mut self, claim: &Claim, bell: &Bell, stopping: Stopping) -> io::Result<()> {
        let mut requested = stopping.clone();
        let mut stop = pin!(requested.requested());
        let mut superseded = pin!(claim.superseded());
        let mut idle = pin!(sleep(self.settings.idle_timeout));
        let mut watched_by: Option<Waker> = None;
        poll_fn(|cx| {
            let has_worked = self.work(cx)?;
            if self.is_over() {
                return Poll::Ready(Ok(()));
            }
            // The four seldom things know this task's waker from the first time on: they needn't be asked again for each
            // message. Whoever was woken for nothing else asks them, and a glance tells the rest.
            let nothing_else = has_worked
                && watched_by.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
                && !claim.is_superseded()
                && !bell.is_rung()
                && !stopping.is_requested()
                && self.active_at < idle.deadline();
            if nothing_else {
                return Poll::Pending;
            }
            watched_by = Some(cx.waker().clone());
            if superseded.as_mut().poll(cx).is_ready() || bell.poll_rung(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if self.reading && stop.as_mut().poll(cx).is_ready() {
                self.reading = false;
            }
            if self.is_over() || self.is_idle(idle.as_mut(), cx) {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        })
        .await
    }

    /// Answers, writes and reads as long as any of it goes on; gives whether any did.
    fn work(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut has_worked = false;
        loop {
            self.ledger.settle(cx, &mut self.out);
            let has_written = self.write(cx)?;
            let has_read = self.read(cx)?;
            has_worked |= has_written || has_read;
            if !has_read {
                break;
            }
        }
        if has_worked {
            self.active_at = Instant::now();
        }
        Ok(has_worked)
    }

    fn is_over(&self) -> bool {
        !self.reading && self.ledger.owed_events() == 0 && self.out.is_empty()
    }

    /// Writes what can be written now; gives whether anything was.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut has_written = false;
        while self.out_at < self.out.len() {
            // `write` keeps no state between polls: to drop it while it waits loses nothing.
            let Poll::Ready(written) = pin!(self.stream.write(&self.out[self.out_at..])).poll(cx) else { break };
            self.out_at += written?;
            has_written = true;
        }
        if self.out_at == self.out.len() {
            self.out.clear();
            self.out_at = 0;
        }
        Ok(has_written)
    }

    /// One read and all that follows from it. False when there is nothing to read now, or no room for it.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if !self.has_room() {
            return Ok(false);
        }
        self.buffer.reserve(self.read_len);
        let Poll::Ready(read) = pin!(self.stream.read_buf(&mut self.buffer)).poll(cx) else { return Ok(false) };
        let len = read?;
        if len == 0 {
            self.reading = false;
            return Ok(false);
        }
        self.fit_read_len(len);
        self.take_messages();
        Ok(true)
    }

    /// Whoever doesn't read its answers, or sends faster than the disk, is left to wait in its own socket buffer.
    fn has_room(&self) -> bool {
        self.reading
            && self.out.len() < ANSWERS_LEN_MAX
            && self.ledger.owed_events() < self.settings.in_flight_max
            && self.ledger.owed_bytes() < self.settings.in_flight_bytes_max
    }

    /// A client that fills what it's given gets more; one that doesn't gives it back.
    fn fit_read_len(&mut self, len: usize) {
        if len >= self.read_len {
            self.read_len = (self.read_len * 4).min(READ_LEN_MAX);
        } else if len < self.read_len / 8 {
            self.read_len = (self.read_len / 2).max(READ_LEN_MIN);
        }
    }

    fn take_messages(&mut self) {
        self.messages.take(&mut self.buffer, &mut self.items);
        if matches!(self.items.last(), Some(Item::Hopeless { .. })) {
            self.reading = false;
        }
        if !self.items.is_empty() {
            self.ledger.take(&mut self.items);
        }
    }

    /// One timer a connection, set anew only when it fires. Who waits for the disk isn't idle; who doesn't read is.
    fn is_idle(&self, mut idle: Pin<&mut Sleep>, cx: &mut Context<'_>) -> bool {
        while idle.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let waits_for_disk = self.ledger.owed_events() > 0 && self.out.is_empty();
            let begin = if waits_for_disk { now } else { self.active_at };
            // A timeout beyond the end of time is none, as is zero.
            let Some(end) = begin.checked_add(self.settings.idle_timeout) else { return false };
            if end <= now {
                return !self.settings.idle_timeout.is_zero();
            }
            idle.as_mut().reset(end);
        }
        false
    }
}
