//! What the tests speak with: short words for publishing, a plain spelling, a socket that obeys.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use headwater_event::*;
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_hub::*;

/// A hub over a real log in a folder of its own, which lives as long as this.
pub struct House {
    pub hub: Arc<Hub>,
    pub log: Arc<EventLog>,
    _folder: tempfile::TempDir,
}

pub fn house(settings: Settings) -> House {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(EventLog::open(OpenOptions::new(folder.path())).unwrap());
    House { hub: Hub::start(log.clone(), settings), log, _folder: folder }
}

/// A hub whose rings keep so few bytes.
pub fn small_rings(bytes: usize) -> Settings {
    Settings { fanout: FanoutSettings { ring_bytes_max: bytes, ..FanoutSettings::default() }, ..Settings::default() }
}

pub fn anyone() -> Principal {
    Principal::anonymous()
}

pub fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

pub fn filter(text: &str) -> Filter {
    Filter::new(text).unwrap()
}

pub fn publication(at: &str, payload: impl Into<Vec<u8>>) -> Publication {
    let event = Event {
        id: EventId::generate(),
        topic: topic(at),
        headers: Headers::none(),
        payload: payload.into().into(),
        at: Time(0),
    };
    Publication { event, sticky: false }
}

pub fn sticky(at: &str, payload: &str) -> Publication {
    Publication { sticky: true, ..publication(at, payload) }
}

pub async fn publish(hub: &Hub, batch: Vec<Publication>) -> Receipts {
    hub.publish(&Principal::anonymous(), batch).unwrap().await.unwrap()
}

/// The payloads that the log has of a topic, past the hub and its rules.
pub async fn recorded(log: &EventLog, about: &str) -> Vec<String> {
    let (mut tail, mut found) = (log.tail(log.oldest()).unwrap(), Vec::new());
    while let Some(batch) = tail.next_now(&|topic| topic == about).await.unwrap() {
        found.extend(batch.events.iter().map(|recorded| String::from_utf8_lossy(&recorded.event.payload).into_owned()));
    }
    found
}

/// One frame a line: `event 3 a/b payload`, `state 3 a/b payload`, `states 7:3`, `gap 7:3 7:9`, `beat`.
pub struct Lines;

impl Encode for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn event(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        line("event", recorded, out);
    }

    fn passing(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        line("passing", recorded, out);
    }

    fn state(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        line("state", recorded, out);
    }

    fn state_end(&self, _: &Filter, as_of: Position, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("states {as_of}\n").as_bytes());
    }

    fn gap(&self, _: &Filter, after: Position, up_to: Position, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("gap {after} {up_to}\n").as_bytes());
    }

    fn beat(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"beat\n");
    }
}

fn line(word: &str, recorded: &Recorded, out: &mut Vec<u8>) {
    let payload = String::from_utf8_lossy(&recorded.event.payload);
    out.extend_from_slice(format!("{word} {} {} {payload}\n", recorded.position.seq, recorded.event.topic).as_bytes());
}

pub fn watch(text: &str) -> Watch {
    Watch {
        filter: filter(text),
        from: From::Now,
        sticky: false,
        encoder: Arc::new(Lines),
        behind: WhenBehind::CatchUp,
        again: Vec::new(),
        is_only_states: false,
        is_only_again: false,
    }
}

/// Reads lines from a stream until there are so many.
pub async fn lines(stream: &mut WatchStream, count: usize) -> Vec<String> {
    let mut text = String::new();
    while text.lines().count() < count {
        let bytes = stream.next().await.expect("the watch goes on");
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text.lines().map(str::to_owned).collect()
}

/// A socket that takes as many bytes as the test allows, and says when it takes more.
#[derive(Clone, Default)]
pub struct Socket(Arc<Mutex<SocketState>>);

#[derive(Default)]
struct SocketState {
    taken: Vec<u8>,
    room: usize,
    refused: usize,
    waker: Option<Waker>,
}

impl Socket {
    pub fn open() -> Self {
        let socket = Self::default();
        socket.allow(usize::MAX);
        socket
    }

    pub fn stalled() -> Self {
        Self::default()
    }

    /// Takes so many bytes more.
    pub fn allow(&self, bytes: usize) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.room = state.room.saturating_add(bytes);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes nothing more.
    pub fn stall(&self) {
        self.0.lock().unwrap().room = 0;
    }

    /// Forgets what it took.
    pub fn forget(&self) {
        self.0.lock().unwrap().taken.clear();
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().taken.clone()).unwrap()
    }

    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// How often it was asked in vain.
    pub fn refused(&self) -> usize {
        self.0.lock().unwrap().refused
    }

    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        if state.room > 0 {
            return Poll::Ready(Ok(()));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Sink for Socket {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        if state.room == 0 {
            state.refused += 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let before = state.taken.len();
        for slice in slices {
            let some = slice.len().min(state.room);
            state.taken.extend_from_slice(&slice[..some]);
            state.room -= some;
        }
        Ok(state.taken.len() - before)
    }
}

/// An outlet over a socket, driven by a task.
pub fn connect(hub: &Arc<Hub>, socket: &Socket) -> (Arc<Outlet>, tokio::task::JoinHandle<Closed>) {
    connect_as(hub, socket, &anyone())
}

/// As `connect`, by somebody.
pub fn connect_as(hub: &Arc<Hub>, socket: &Socket, who: &Principal) -> (Arc<Outlet>, tokio::task::JoinHandle<Closed>) {
    let outlet = hub.outlet(who.clone(), Box::new(socket.clone()), OutletSettings::default());
    let task = drive(&outlet, socket);
    (outlet, task)
}

/// Drives an outlet as its connection's task would; gives why it ended.
pub fn drive(outlet: &Arc<Outlet>, socket: &Socket) -> tokio::task::JoinHandle<Closed> {
    let (outlet, socket) = (Arc::clone(outlet), socket.clone());
    tokio::spawn(std::future::poll_fn(move |cx| outlet.poll_drive(cx, &mut |cx| socket.poll_writable(cx))))
}

/// Gives way to the other tasks until something holds; the test fails rather than hang.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    /// The log has threads of its own, so turns are counted in time too; far beyond what anything here takes.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
    let since = std::time::Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        tokio::task::yield_now().await;
    }
}
