//! The thread that owns the sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use super::batch::Batch;
use super::client::Client;
use super::disk::Ring;
use super::writer::Writer;

const LISTENER: Token = Token(usize::MAX);
const WRITER: Token = Token(usize::MAX - 1);
/// What is read at once, in bytes: nearly a thousand messages of 256 bytes.
const READ_LEN: usize = 256 * 1_024;

/// Who makes a batch durable.
enum Commit {
    /// A thread of its own.
    Thread(Writer),
    /// This one.
    Inline(Box<Ring>, Batch),
}

pub struct Reactor {
    poll: Poll,
    listener: TcpListener,
    clients: Vec<Option<Client>>,
    generation: u64,
    commit: Commit,
    payload_max: u32,
    log_seq: u64,
    buffer: Vec<u8>,
    touched: Vec<usize>,
}

impl Reactor {
    /// Binds, and tells where.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn bind(addr: SocketAddr, ring: Ring, inline: bool, payload_max: u32) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(addr).with_context(|| format!("can't listen on {addr}"))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let commit = if inline {
            Commit::Inline(Box::new(ring), Batch::default())
        } else {
            Commit::Thread(Writer::start(ring, Arc::new(Waker::new(poll.registry(), WRITER)?)))
        };
        crate::listening::Listening::default().announce("frames", listener.local_addr()?)?;
        Ok(Self {
            poll,
            listener,
            clients: Vec::new(),
            generation: 0,
            commit,
            payload_max,
            log_seq: 1,
            buffer: vec![0; READ_LEN],
            touched: Vec::new(),
        })
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// When the disk or the poll fails.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let mut done = Vec::new();
        loop {
            match self.poll.poll(&mut events, Some(Duration::from_secs(1))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    WRITER => {}
                    Token(at) => self.serve(at, event.is_writable()),
                }
            }
            match &mut self.commit {
                Commit::Thread(writer) => {
                    writer.go();
                    writer.done(&mut done)?;
                }
                Commit::Inline(ring, batch) if !batch.is_empty() => {
                    ring.append(&batch.bytes)?;
                    done.push(std::mem::take(batch));
                }
                Commit::Inline(..) => {}
            }
            self.answer(&done);
            match &mut self.commit {
                Commit::Thread(writer) if !done.is_empty() => writer.give_back(&mut done),
                Commit::Inline(_, batch) if !done.is_empty() => {
                    *batch = done.pop().unwrap_or_default();
                    batch.clear();
                }
                _ => {}
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let at = self.clients.iter().position(Option::is_none).unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            self.poll.registry().register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
            self.generation += 1;
            self.clients[at] = Some(Client::new(stream, self.generation));
        }
    }

    fn serve(&mut self, at: usize, writable: bool) {
        let Some(client) = &mut self.clients[at] else { return };
        let commit = &mut self.commit;
        let lives = (!writable || client.out.is_empty() || client.write())
            && client.read(at, &mut self.buffer, self.payload_max, |add| match commit {
                Commit::Thread(writer) => writer.add(add),
                Commit::Inline(_, batch) => add(batch),
            });
        if !lives {
            self.clients[at] = None;
        }
    }

    /// One write a connection, whatever number of runs it has in the batches.
    fn answer(&mut self, done: &[Batch]) {
        for run in done.iter().flat_map(|batch| &batch.runs) {
            let log_first = self.log_seq;
            self.log_seq += run.count;
            let Some(client) = &mut self.clients[run.client] else { continue };
            if client.generation != run.generation {
                continue;
            }
            if client.out.is_empty() {
                self.touched.push(run.client);
            }
            client.answer(run, log_first);
        }
        for at in self.touched.drain(..) {
            if self.clients[at].as_mut().is_some_and(|client| !client.write()) {
                self.clients[at] = None;
            }
        }
    }
}
