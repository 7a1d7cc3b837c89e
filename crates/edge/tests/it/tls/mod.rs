//! TLS in front of an edge, over real sockets, with certificates that each test makes for itself.

mod authority;
mod certificates;
mod ends;
mod hostile;
mod protocols;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_edge::accept::{AcceptCounts, AcceptSettings, Connection, Listener, Stop};
use headwater_edge::tls::{Spoken, Tls, TlsMaterial, TlsSettings};
use rustls::{ClientConnection, StreamOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use authority::Authority;

/// How long anything may take before the test calls it hung. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// An edge behind TLS, on a runtime of its own, so that tests can use plain blocking clients.
struct Place {
    runtime: Runtime,
    authority: Authority,
    tls: Arc<Tls>,
    addr: SocketAddr,
    counts: Arc<AcceptCounts>,
    stop: Stop,
    running: JoinHandle<usize>,
}

impl Place {
    fn new() -> Self {
        Self::with(TlsSettings::default(), Spoken::Frames, |_, material| material)
    }

    fn with(
        settings: TlsSettings,
        spoken: Spoken,
        change: impl FnOnce(&Authority, TlsMaterial) -> TlsMaterial,
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let _inside = runtime.enter();
        let authority = Authority::new();
        let material = change(&authority, authority.server());
        let tls = Tls::new(&material, settings).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), AcceptSettings::default()).unwrap();
        let listener = listener.with_tls(tls.clone(), spoken);
        let (addr, counts, stop) = (listener.local_addr(), listener.counts(), Stop::default());
        let running = runtime.spawn(listener.run(stop.listen(), echo));
        drop(_inside);
        Self { runtime, authority, tls, addr, counts, stop, running }
    }

    fn client(&self) -> Client {
        self.client_with(self.authority.trust()).unwrap()
    }

    /// A client whose handshake is over, and the first line of the edge.
    fn client_with(&self, config: rustls::ClientConfig) -> io::Result<Client> {
        let socket = plain(self.addr);
        let session = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut wire = StreamOwned::new(session, socket);
        let mut names = Vec::new();
        loop {
            let mut byte = [0];
            wire.read_exact(&mut byte)?;
            if byte == *b"\n" {
                break;
            }
            names.push(byte[0]);
        }
        Ok(Client { wire, names: String::from_utf8(names).unwrap() })
    }

    /// Waits until all connections have ended.
    fn wait_until_empty(&self) {
        let begun = Instant::now();
        while self.counts.open() > 0 {
            assert!(begun.elapsed() < PATIENCE, "a connection doesn't end");
            std::thread::yield_now();
        }
    }
}

/// A client without TLS.
fn plain(addr: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

struct Client {
    wire: StreamOwned<ClientConnection, TcpStream>,
    /// The names that the edge knows this client by.
    names: String,
}

impl Client {
    fn say(&mut self, bytes: &[u8]) {
        self.wire.write_all(bytes).unwrap();
        self.wire.flush().unwrap();
    }

    fn hear(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.wire.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Says its last word, and keeps listening.
    fn finish(&mut self) {
        self.wire.conn.send_close_notify();
        while self.wire.conn.wants_write() {
            self.wire.conn.write_tls(&mut self.wire.sock).unwrap();
        }
    }

    /// All that still comes, until the other side says that it's done.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.wire.read_to_end(&mut rest).unwrap();
        rest
    }
}

/// Tells the client's names in a line, then echoes; at the client's end it says `bye` and goes. A `!` makes it panic, a
/// `.` makes it say `bye` and go at once, an `x` makes it go without a word.
async fn echo(mut connection: Connection) {
    let names = connection.tls.map(|tls| tls.sans.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(","));
    let stream = &mut connection.stream;
    let mut bytes = format!("{}\n", names.expect("a TLS listener knows its clients")).into_bytes();
    loop {
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
        bytes.clear();
        let read = tokio::select! {
            read = stream.read_buf(&mut bytes) => read,
            () = connection.stopping.requested() => break,
        };
        match (read, bytes.last()) {
            (Ok(1..), Some(b'!')) => panic!("injected"),
            (Ok(1..), Some(b'x')) => return,
            (Ok(1..), Some(b'.')) | (Ok(0), _) => break,
            (Ok(1..), _) => {}
            (Err(_), _) => return,
        }
    }
    let _ = stream.write_all(b"bye").await;
    let _ = stream.shutdown().await;
}
