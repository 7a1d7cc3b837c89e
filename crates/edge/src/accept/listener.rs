//! A bound address, and the loop that takes connections from it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep};

use super::bucket::Bucket;
use super::counts::AcceptCounts;
use super::places::Places;
use super::served::{Encrypted, Served};
use super::stop::Stopping;
use crate::tls::{Spoken, Tls, TlsPeer};

/// How many connections may wait in the kernel until we take them; the kernel lowers it to its own limit (4,096 on
/// Linux), so that a mass reconnect waits rather than being turned away.
const BACKLOG: u32 = 4_096;

/// How long the loop rests when the system has no connection to give (no file descriptors, no memory): trying again at
/// once would cost a whole core, and file descriptors come back when connections end, which takes its time.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

/// How often the log is told of it meanwhile.
const EXHAUSTED_TOLD_EVERY: Duration = Duration::from_secs(10);

/// How fast and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptSettings {
    /// Present connections; further ones are closed at once. 0 sets no limit.
    pub connections_max: usize,
    /// Connections a second; further ones wait in the kernel. 0 sets no limit.
    pub rate_per_s: u32,
    /// Connections that may come at once before the rate counts.
    pub burst: u32,
    /// How long connections have to end by themselves once the end was requested.
    pub drain: Duration,
}

impl AcceptSettings {
    /// 100,000: at 1.5 KiB each, idle ones take 150 MiB, and a listener is rarely given more file descriptors.
    pub const CONNECTIONS_MAX: usize = 100_000;

    /// 10,000/s: a connection costs about 30 µs, so a flood takes a third of a core and the rest goes on with its work.
    pub const RATE_PER_S: u32 = 10_000;

    /// 20,000: all watchers of a usual hub come back at once after a restart, without a wait.
    pub const BURST: u32 = 20_000;

    /// 10 s: orchestrators kill after 30 s by default, and the log still has to be flushed.
    pub const DRAIN: Duration = Duration::from_secs(10);
}

impl Default for AcceptSettings {
    fn default() -> Self {
        Self {
            connections_max: Self::CONNECTIONS_MAX,
            rate_per_s: Self::RATE_PER_S,
            burst: Self::BURST,
            drain: Self::DRAIN,
        }
    }
}

/// An address could not be bound; the sentence names it.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {addr}: {why}")]
pub struct BindError {
    /// The address that was asked for.
    pub addr: SocketAddr,
    /// What is wrong, in the system's words, or that it is taken.
    why: String,
    #[source]
    source: io::Error,
}

impl BindError {
    fn new(addr: SocketAddr, source: io::Error) -> Self {
        let why = match source.kind() {
            io::ErrorKind::AddrInUse => "another program listens there already".to_owned(),
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege".to_owned(),
            _ => source.to_string(),
        };
        Self { addr, why, source }
    }
}

/// A connection that was taken, with Nagle's algorithm off, and its TLS handshake done if it has one.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// What is known of it from its TLS handshake; `None` on a listener that speaks plain text. With TLS, `stream` is a
    /// local socket that a pump behind it encrypts for: its own options and addresses are not the client's.
    pub tls: Option<Arc<TlsPeer>>,
    /// Resolves when the connection should come to its end.
    pub stopping: Stopping,
}

/// A bound address. Connections wait in the kernel until it [runs](Listener::run).
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    settings: AcceptSettings,
    counts: Arc<AcceptCounts>,
    tls: Option<(Arc<Tls>, Spoken)>,
    beside: Vec<Self>,
}

impl Listener {
    /// Binds; call it inside of a tokio runtime. Port 0 picks a free one.
    ///
    /// # Errors
    /// A sentence that names the address.
    pub fn bind(addr: SocketAddr, settings: AcceptSettings) -> Result<Self, BindError> {
        let bound = || {
            let socket = if addr.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
            // A hub that comes back must not wait a minute for the last one's closed connections.
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            let socket = socket.listen(BACKLOG)?;
            let addr = socket.local_addr()?;
            Ok((socket, addr))
        };
        let (socket, bound) = bound().map_err(|source| BindError::new(addr, source))?;
        Ok(Self { socket, addr: bound, settings, counts: Arc::default(), tls: None, beside: Vec::new() })
    }

    /// Every connection begins with a TLS handshake, and what is `spoken` comes inside of it.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<Tls>, spoken: Spoken) -> Self {
        self.tls = Some((tls, spoken));
        self
    }

    /// A further address of the same edge: connections from both are served alike.
    #[must_use]
    pub fn beside(mut self, other: Self) -> Self {
        self.beside.push(other);
        self
    }

    /// The address, with the port that was picked.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// What is counted; goes on to be counted while it runs.
    #[must_use]
    pub fn counts(&self) -> Arc<AcceptCounts> {
        Arc::clone(&self.counts)
    }

    /// Takes connections and serves each in a task of its own until the end is requested; then stops taking, and waits
    /// for the present ones, at most [`AcceptSettings::drain`].
    ///
    /// A panic ends the connection that it happened in, and is counted. Gives how many connections had not ended in time:
    /// those end with the runtime.
    pub async fn run<F, S>(mut self, stopping: Stopping, serve: S) -> usize
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Connection) -> F + Send + Sync + 'static,
    {
        let serve = Arc::new(serve);
        let beside = std::mem::take(&mut self.beside);
        let all = std::iter::once(self).chain(beside);
        join_all(all.map(|one| one.run_alone(stopping.clone(), Arc::clone(&serve)))).await.into_iter().sum()
    }

    async fn run_alone<F, S>(self, stopping: Stopping, serve: Arc<S>) -> usize
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Connection) -> F + Send + Sync + 'static,
    {
        let Self { socket, settings, counts, tls, .. } = self;
        let places = Places::new(settings.connections_max, Arc::clone(&counts));
        let mut door = Door::new(settings, Arc::clone(&counts));
        let mut until = stopping.clone();
        tokio::select! {
            () = door.stand_open(|cx| socket.poll_accept(cx), |stream, peer| {
                if let Some(place) = places.take() {
                    // Without this a small answer waits for the acknowledgement of the one before it.
                    let _ = stream.set_nodelay(true);
                    let connection = Connection { stream, peer, tls: None, stopping: stopping.clone() };
                    match &tls {
                        None => drop(tokio::spawn(Served { place, served: serve(connection) })),
                        Some((tls, spoken)) => {
                            let counts = Arc::clone(&counts);
                            let served = Encrypted::new(connection, Arc::clone(tls), *spoken, counts, Arc::clone(&serve));
                            drop(tokio::spawn(Served { place, served }));
                        }
                    }
                }
            }) => {}
            () = until.requested() => {}
        }
        drop(socket);
        places.emptied(settings.drain).await
    }
}

/// The loop itself, apart from sockets.
struct Door {
    bucket: Bucket,
    counts: Arc<AcceptCounts>,
    told: Option<Instant>,
}

impl Door {
    fn new(settings: AcceptSettings, counts: Arc<AcceptCounts>) -> Self {
        Self { bucket: Bucket::new(settings.rate_per_s, settings.burst, Instant::now()), counts, told: None }
    }

    async fn stand_open<T, U>(
        &mut self,
        mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(T, U)>>,
        mut enter: impl FnMut(T, U),
    ) {
        loop {
            while let Err(wait) = self.bucket.take(Instant::now()) {
                self.counts.pace();
                sleep(wait).await;
            }
            match poll_fn(&mut accept).await {
                Ok((stream, peer)) => enter(stream, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => self.exhausted(&error).await,
            }
        }
    }

    async fn exhausted(&mut self, error: &io::Error) {
        self.counts.fail();
        let now = Instant::now();
        if self.told.is_none_or(|told| now.duration_since(told) >= EXHAUSTED_TOLD_EVERY) {
            self.told = Some(now);
            tracing::warn!(%error, "can't take connections; trying again every {} ms", EXHAUSTED_WAIT.as_millis());
        }
        sleep(EXHAUSTED_WAIT).await;
    }
}

/// The client went away between its coming and our taking it; the next one is not concerned (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn door() -> Door {
        Door::new(AcceptSettings::default(), Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn without_file_descriptors_it_rests_instead_of_spinning() {
        let mut door = door();
        let mut calls = 0;
        let standing = door.stand_open(
            |_| {
                calls += 1;
                Poll::Ready(Err::<((), ()), _>(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error())))
            },
            |(), ()| {},
        );
        assert!(timeout(Duration::from_millis(950), standing).await.is_err());
        assert_eq!(calls, 10);
        assert_eq!(door.counts.failed(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_went_away_costs_the_next_one_nothing() {
        let mut door = door();
        let begin = Instant::now();
        let mut entered = 0;
        let mut calls = 0;
        let standing = door.stand_open(
            |_| {
                calls += 1;
                match calls {
                    1 => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                    2 => Poll::Ready(Ok(((), ()))),
                    _ => Poll::Pending,
                }
            },
            |(), ()| entered += 1,
        );
        assert!(timeout(Duration::from_millis(1), standing).await.is_err());
        assert_eq!((entered, door.counts.failed()), (1, 0));
        assert!(begin.elapsed() < EXHAUSTED_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_beyond_the_rate_wait() {
        let settings = AcceptSettings { rate_per_s: 100, burst: 10, ..AcceptSettings::default() };
        let mut door = Door::new(settings, Arc::default());
        let mut entered = 0;
        let standing = door.stand_open(|_| Poll::Ready(Ok(((), ()))), |(), ()| entered += 1);
        assert!(timeout(Duration::from_millis(995), standing).await.is_err());
        assert!((105..=110).contains(&entered), "{entered}");
        assert!(door.counts.paced() > 0);
    }
}
