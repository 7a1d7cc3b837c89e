//! One watcher's connection: how it begins to watch, and what it reads.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use socket2::{Domain, Socket, Type};

use super::dialect::websocket::upgrade;
use super::mark::{self, Mark};
use super::wsframe;

/// How a watcher is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Protocol {
    /// Headwater's WebSocket
    Ws,
    /// Headwater's server-sent events
    Sse,
    /// Socket.IO 5 over WebSocket, default namespace, which tells without being asked
    Socketio,
    /// Headwater's Socket.IO, namespace `/hub`, subscribed to the filter
    SocketioHub,
    /// A WebSocket that is told all without asking
    Plain,
    /// WebSocket frames from the first byte on, without a handshake
    Raw,
}

/// How long a server may take to let one watcher in: it may have ten thousand others to let in.
const OPEN_TIME_MAX: Duration = Duration::from_secs(60);
/// Watchers from one address of this machine, before the next address is used: fewer than there are free ports.
const WATCHERS_PER_ADDRESS: usize = 20_000;

/// What a watcher asks for, and of whom.
#[derive(Clone, Debug)]
pub struct Wish {
    /// One or more, which share the watchers.
    pub addrs: Vec<SocketAddr>,
    pub protocol: Protocol,
    pub filter: String,
    /// Who it is: the JSON object of a Socket.IO handshake.
    pub auth: String,
    /// It watches when a text with this has come, behind all that it is told at first.
    pub until: Option<String>,
}

impl Wish {
    /// Nobody in particular, who wants what comes from now on.
    pub fn new(addrs: &[SocketAddr], protocol: Protocol, filter: &str) -> Self {
        Self { addrs: addrs.to_vec(), protocol, filter: filter.to_owned(), auth: String::new(), until: None }
    }
}

/// Begins to watch; returns the socket and what was already read behind the beginning.
///
/// # Errors
/// When the server can't be reached or doesn't let us watch.
pub fn open(at: usize, wish: &Wish) -> anyhow::Result<(TcpStream, Vec<u8>)> {
    let addr = wish.addrs[at % wish.addrs.len()];
    let mut stream = connect(at, addr).with_context(|| format!("can't reach {addr} for watcher {at}"))?;
    stream.set_read_timeout(Some(OPEN_TIME_MAX))?;
    let read = begin(&mut stream, wish).with_context(|| format!("{addr} doesn't let watcher {at} in"))?;
    stream.set_nonblocking(true)?;
    Ok((stream, read))
}

fn connect(at: usize, addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if addr.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) && at >= WATCHERS_PER_ADDRESS {
        let last = u8::try_from(1 + at / WATCHERS_PER_ADDRESS).unwrap_or(u8::MAX);
        socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into())?;
    }
    socket.connect(&addr.into())?;
    Ok(socket.into())
}

fn begin(stream: &mut TcpStream, wish: &Wish) -> anyhow::Result<Vec<u8>> {
    let filter = &wish.filter;
    match wish.protocol {
        Protocol::Raw => Ok(Vec::new()),
        Protocol::Plain => upgrade(stream, "/"),
        Protocol::Ws => {
            let mut read = upgrade(stream, "/v1/ws")?;
            let ask = format!(r#"{{"op":"subscribe","ref":1,"filter":"{filter}","sticky":false}}"#);
            say(stream, wsframe::TEXT, ask.as_bytes())?;
            wait_for(stream, &mut read, |text| memchr::memmem::find(text, br#""op":"subscribed""#).is_some())?;
            Ok(read)
        }
        Protocol::Socketio => {
            let mut read = socketio(stream, "", &wish.auth)?;
            if let Some(until) = &wish.until {
                wait_for(stream, &mut read, |text| memchr::memmem::find(text, until.as_bytes()).is_some())?;
            }
            Ok(read)
        }
        Protocol::SocketioHub => {
            let mut read = socketio(stream, "/hub,", &wish.auth)?;
            let ask = format!(r#"42/hub,1["subscribe",{{"filter":"{filter}"}}]"#);
            say(stream, wsframe::TEXT, ask.as_bytes())?;
            wait_for(stream, &mut read, |text| text.starts_with(b"43/hub,1[{\"ok\":true"))?;
            Ok(read)
        }
        Protocol::Sse => {
            let filter = filter.replace('#', "%23").replace('+', "%2B");
            let ask = format!(
                "GET /v1/live?filter={filter} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
            );
            stream.write_all(ask.as_bytes())?;
            let mut read = Vec::new();
            let end = b"\r\n\r\n";
            while memchr::memmem::find(&read, end).is_none() {
                more(stream, &mut read)?;
            }
            ensure!(read.starts_with(b"HTTP/1.1 200"), "it answers {}", String::from_utf8_lossy(&read));
            Ok(read)
        }
    }
}

/// Connects to a namespace; returns what was already read behind that.
fn socketio(stream: &mut TcpStream, namespace: &str, auth: &str) -> anyhow::Result<Vec<u8>> {
    let mut read = upgrade(stream, "/socket.io/?EIO=4&transport=websocket")?;
    wait_for(stream, &mut read, |text| text.starts_with(b"0"))?;
    say(stream, wsframe::TEXT, format!("40{namespace}{auth}").as_bytes())?;
    wait_for(stream, &mut read, |text| text.starts_with(b"40"))?;
    Ok(read)
}

fn say(stream: &mut impl Write, opcode: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = Vec::new();
    wsframe::encode(opcode, payload, &mut frame);
    stream.write_all(&frame)
}

/// How Socket.IO refuses a connection.
const CONNECT_ERROR: &[u8] = b"44";

/// Reads frames up to the one that is waited for, and drops them.
fn wait_for(stream: &mut TcpStream, read: &mut Vec<u8>, is_it: impl Fn(&[u8]) -> bool) -> anyhow::Result<()> {
    loop {
        while let Some((frame, len)) = wsframe::take(read) {
            let found = frame.opcode == wsframe::TEXT && is_it(frame.payload);
            let is_error = memchr::memmem::find(frame.payload, br#""op":"error""#).is_some()
                || frame.payload.starts_with(CONNECT_ERROR)
                || memchr::memmem::find(frame.payload, br#"[{"ok":false"#).is_some();
            if is_error || frame.opcode == wsframe::CLOSE {
                bail!("it says {}", String::from_utf8_lossy(frame.payload));
            }
            read.drain(..len);
            if found {
                return Ok(());
            }
        }
        more(stream, read)?;
    }
}

fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut bytes = [0; 2_048];
    let len = stream.read(&mut bytes)?;
    ensure!(len > 0, "it closes the connection");
    read.extend_from_slice(&bytes[..len]);
    Ok(())
}

/// What a watcher was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// An event.
    Event(Mark),
    /// That events are missing.
    Gap,
}

/// A watcher that watches. Nothing in it grows but with the part of a frame that it has read.
#[derive(Debug)]
pub struct Watcher {
    pub stream: mio::net::TcpStream,
    protocol: Protocol,
    unread: Vec<u8>,
    /// The number after the last event's.
    pub next: u64,
    /// Numbers that never came, without a word.
    pub lost: u64,
    pub gaps: u64,
    pub is_over: bool,
}

impl Watcher {
    pub fn new(stream: TcpStream, protocol: Protocol, unread: Vec<u8>) -> Self {
        let stream = mio::net::TcpStream::from_std(stream);
        Self { stream, protocol, unread, next: 0, lost: 0, gaps: 0, is_over: false }
    }

    /// Reads what came, at most `reads` buffers full; false when there may be more.
    ///
    /// # Errors
    /// When the socket fails, or what comes is no frame.
    pub fn read(&mut self, buffer: &mut [u8], reads: usize, mut told: impl FnMut(Told)) -> io::Result<bool> {
        for _ in 0..reads {
            let begin = self.unread.len();
            buffer[..begin].copy_from_slice(&self.unread);
            let len = match self.stream.read(&mut buffer[begin..]) {
                Ok(0) => {
                    self.is_over = true;
                    return Ok(true);
                }
                Ok(len) => begin + len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut seen = Seen { next: self.next, lost: 0, gaps: 0 };
            let note = |what| {
                seen.note(what);
                told(what);
            };
            let taken = match self.protocol {
                Protocol::Sse => mark::all_in(&buffer[..len], note),
                _ => frames(&buffer[..len], &mut self.stream, note)?,
            };
            (self.next, self.lost, self.gaps) = (seen.next, self.lost + seen.lost, self.gaps + seen.gaps);
            self.unread.clear();
            self.unread.extend_from_slice(&buffer[taken..len]);
            if len < buffer.len() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Which numbers a watcher has seen.
struct Seen {
    next: u64,
    lost: u64,
    gaps: u64,
}

impl Seen {
    fn note(&mut self, what: Told) {
        match what {
            Told::Gap => {
                self.gaps += 1;
                // What the gap frame owns up to is not lost in silence.
                self.next = u64::MAX;
            }
            Told::Event(mark) => {
                if self.next != u64::MAX && self.next != 0 {
                    self.lost += mark.number.saturating_sub(self.next);
                }
                self.next = mark.number + 1;
            }
        }
    }
}

/// Takes the whole frames at the front; answers pings of WebSocket and of Engine.IO.
fn frames(bytes: &[u8], stream: &mut impl Write, mut told: impl FnMut(Told)) -> io::Result<usize> {
    let mut at = 0;
    while let Some((frame, len)) = wsframe::take(&bytes[at..]) {
        match frame.opcode {
            wsframe::PING => say(stream, wsframe::PONG, frame.payload)?,
            wsframe::TEXT if frame.payload == b"2" => say(stream, wsframe::TEXT, b"3")?,
            wsframe::TEXT => {
                let (mut events, payload) = (0, frame.payload);
                mark::all_in(payload, |what| {
                    events += 1;
                    told(what);
                });
                if events == 0 && memchr::memmem::find(payload, br#""op":"gap""#).is_some() {
                    told(Told::Gap);
                }
            }
            _ => {}
        }
        at += len;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> (Vec<Told>, Vec<u8>) {
        let (mut said, mut answered) = (Vec::new(), Vec::new());
        frames(bytes, &mut answered, |what| said.push(what)).unwrap();
        (said, answered)
    }

    #[test]
    fn events_and_gaps_are_told_apart_and_pings_answered() {
        let mark = Mark { since: 5, number: 9 };
        let mut bytes = Vec::new();
        wsframe::encode_as_server(&mark.payload(64), &mut bytes);
        wsframe::encode_as_server(br#"{"op":"gap","after":"1:2"}"#, &mut bytes);
        wsframe::encode_as_server(b"2", &mut bytes);
        bytes.extend_from_slice(&[0x89, 1, b'x']);
        let (said, answered) = told(&bytes);
        assert_eq!(said, [Told::Event(mark), Told::Gap]);
        assert_eq!(answered, [0x81, 0x81, 0, 0, 0, 0, b'3', 0x8A, 0x81, 0, 0, 0, 0, b'x']);
    }

    #[test]
    fn a_number_that_never_came_is_lost_unless_a_gap_owns_up_to_it() {
        let event = |number| Told::Event(Mark { since: 0, number });
        let mut seen = Seen { next: 0, lost: 0, gaps: 0 };
        [event(5), event(6), event(9), Told::Gap, event(20), event(22)].into_iter().for_each(|what| seen.note(what));
        assert_eq!((seen.lost, seen.gaps, seen.next), (3, 1, 23));
    }
}
