//! One connection to the hub: from HELLO until all is sent or the connection is lost.

use std::io;
use std::time::Duration;

use anyhow::anyhow;
use bytes::{BufMut, BytesMut};
pub use headwater_edge::frames::wire::Hello;
use headwater_edge::frames::wire::{Answer, Code, WELCOME_LEN, Welcome, encode_message_head};
use headwater_edge::tls::Trust;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::lines::{Batch, Line, Lines};
use super::progress::Progress;
use super::report::Report;
use super::window::Window;
use crate::client::connect;
use crate::retry::Pause;

/// How long connecting and WELCOME may take; the hub may have to wait for a disk before it knows what is durable.
const OPEN_TIME_MAX: Duration = Duration::from_secs(15);
/// How long the hub may be silent while it owes an answer, before the connection counts as lost.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// How many bytes are gathered for one write.
const WRITE_LEN_MAX: usize = 64 * 1_024;

/// An open connection.
pub struct Link {
    stream: TcpStream,
    read: BytesMut,
    write: BytesMut,
    /// The highest durable number, as WELCOME said.
    pub last_seq: u64,
    /// The longest payload that the hub takes, in bytes.
    pub payload_max: usize,
    /// Whether any line was done with on this connection.
    pub made_progress: bool,
    heard_at: Instant,
}

/// Why there is no connection.
pub enum OpenError {
    /// Trying again can't help.
    Final(anyhow::Error),
    /// It may work later.
    Again(String),
}

/// Why a connection has ended.
pub enum End {
    /// Every line is done with.
    Done,
    /// The connection broke, or the hub can't store now: go on with a new one.
    Lost(String),
    /// Nothing more can be done.
    Failed(anyhow::Error),
}

impl Link {
    /// Connects and says HELLO.
    pub async fn open(addr: &str, trust: Option<&Trust>, hello: &Hello) -> Result<Self, OpenError> {
        let opened = timeout(OPEN_TIME_MAX, greet(addr, trust, hello)).await;
        let (stream, frame) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(OpenError::Final(anyhow!("{addr} is no address: {error}")));
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(OpenError::Final(anyhow!("no TLS with {addr}: {error}")));
            }
            Ok(Err(error)) => return Err(OpenError::Again(error.to_string())),
            Err(_elapsed) => return Err(OpenError::Again("no answer".into())),
        };
        let Some(welcome) = Welcome::decode(&frame) else {
            return Err(OpenError::Final(anyhow!("{addr} doesn't speak the frame protocol")));
        };
        check_status(welcome.status)?;
        Ok(Self {
            stream,
            read: BytesMut::new(),
            write: BytesMut::new(),
            last_seq: welcome.last_seq,
            payload_max: usize::try_from(welcome.payload_max).unwrap_or(usize::MAX),
            made_progress: false,
            heard_at: Instant::now(),
        })
    }

    /// Sends lines and takes answers until the end.
    pub async fn run(&mut self, window: &mut Window, lines: &mut Lines, report: &mut Report, bar: &Progress) -> End {
        let mut pause = Pause::new();
        loop {
            self.fill(window);
            if lines.is_ended() && window.is_empty() {
                // What is left to say is nothing; an error here changes nothing either.
                let _ = self.stream.shutdown().await;
                return End::Done;
            }
            if let Some(code) = window.take_stall() {
                if code == Code::StorageFailed {
                    return End::Lost("the hub's storage failed".into());
                }
                pause.wait().await;
                self.heard_at = Instant::now();
                continue;
            }
            match self.step(window, lines, report).await {
                Ok(None) => {}
                Ok(Some(end)) => {
                    self.made_progress = true;
                    pause.begin_anew();
                    bar.at(end);
                }
                Err(end) => return end,
            }
        }
    }

    /// Puts lines into the write buffer.
    fn fill(&mut self, window: &mut Window) {
        let begun = window.awaits_answers();
        while self.write.len() < WRITE_LEN_MAX {
            let Some(line) = window.next_to_send() else { break };
            encode(line, self.payload_max, &mut self.write);
        }
        if !begun {
            self.heard_at = Instant::now();
        }
    }

    /// Waits for one thing to happen; gives how far in the input all is done with, when that has changed.
    async fn step(&mut self, window: &mut Window, lines: &mut Lines, report: &mut Report) -> Result<Option<u64>, End> {
        let silent_until = self.heard_at + ANSWER_TIME_MAX;
        let wants_lines = !lines.is_ended() && window.has_room();
        let (mut read_half, mut write_half) = self.stream.split();
        tokio::select! {
            read = read_half.read_buf(&mut self.read) => {
                match read {
                    Ok(0) if window.is_empty() => return self.wait_for_work(window, lines, report).await,
                    Ok(0) => return Err(End::Lost("closed by the hub".into())),
                    Ok(_) => {}
                    Err(error) => return Err(End::Lost(error.to_string())),
                }
                self.heard_at = Instant::now();
                self.take_answers(window, report)
            }
            written = write_half.write_buf(&mut self.write), if !self.write.is_empty() => {
                written.map(|_| None).map_err(|error| End::Lost(error.to_string()))
            }
            batch = lines.next(), if wants_lines => take_batch(batch, window, report).map(|()| None),
            () = sleep_until(silent_until), if window.awaits_answers() => Err(End::Lost("no answer".into())),
        }
    }

    fn take_answers(&mut self, window: &mut Window, report: &mut Report) -> Result<Option<u64>, End> {
        let mut end = None;
        while let Some(answer) = Answer::decode(&mut self.read).map_err(|error| End::Failed(error.into()))? {
            end = window.answer(answer, report).map_err(End::Failed)?.or(end);
        }
        Ok(end)
    }

    /// The hub has ended an idle connection: a new one is only needed when there is a line to send.
    async fn wait_for_work(
        &mut self,
        window: &mut Window,
        lines: &mut Lines,
        report: &mut Report,
    ) -> Result<Option<u64>, End> {
        while window.is_empty() && !lines.is_ended() {
            take_batch(lines.next().await, window, report)?;
        }
        if window.is_empty() { Ok(None) } else { Err(End::Lost("idle for too long".into())) }
    }
}

async fn greet(addr: &str, trust: Option<&Trust>, hello: &Hello) -> io::Result<(TcpStream, [u8; WELCOME_LEN])> {
    let mut stream = connect(addr, trust).await?;
    let mut frame = BytesMut::new();
    hello.encode(&mut frame);
    stream.write_all(&frame).await?;
    let mut welcome = [0; WELCOME_LEN];
    stream.read_exact(&mut welcome).await?;
    Ok((stream, welcome))
}

fn check_status(status: u8) -> Result<(), OpenError> {
    let sentence = match Code::from_byte(status) {
        None if status == 0 => return Ok(()),
        None => "for a reason that this version doesn't know",
        Some(Code::TooLong) => "the token is too long",
        Some(Code::NotAllowed) => "not allowed; is the token right?",
        Some(code @ (Code::Overloaded | Code::StorageFailed)) => {
            return Err(OpenError::Again(format!("the hub says: {}", code.sentence())));
        }
        Some(code) => code.sentence(),
    };
    Err(OpenError::Final(anyhow!("the hub refuses the connection: {sentence}")))
}

/// A line that is too long is not sent, but its number is: with one byte more than is taken, so that the hub uses it up.
fn encode(line: &Line, payload_max: usize, out: &mut BytesMut) {
    let len = if line.is_too_long { payload_max + 1 } else { line.payload.len() };
    encode_message_head(u32::try_from(len).unwrap_or(u32::MAX), line.seq, out);
    if line.is_too_long {
        out.put_bytes(0, len);
    } else {
        out.put_slice(&line.payload);
    }
}

fn take_batch(batch: Option<io::Result<Batch>>, window: &mut Window, report: &mut Report) -> Result<(), End> {
    let batch = match batch {
        None => return Ok(()),
        Some(Err(error)) => return Err(End::Failed(anyhow!("can't read the input: {error}"))),
        Some(Ok(batch)) => batch,
    };
    report.lines_before += batch.skipped;
    for line in batch.skipped_too_long {
        report.refuse_before(line, Code::TooLong);
    }
    for line in batch.lines {
        window.push(line);
    }
    Ok(())
}
