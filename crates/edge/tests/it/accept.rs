//! The accept loop with real connections: limits, a panic in one of them, and the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_edge::accept::{AcceptCounts, AcceptSettings, Connection, Listener, Stop};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

struct Echo {
    addr: SocketAddr,
    counts: Arc<AcceptCounts>,
    stop: Stop,
    running: JoinHandle<usize>,
}

/// Echoes bytes; a `!` makes it panic, and an `s` makes it deaf to the request to stop.
async fn echo(mut connection: Connection) {
    let mut byte = [0];
    let mut deaf = false;
    loop {
        let read = tokio::select! {
            read = connection.stream.read(&mut byte) => read,
            () = connection.stopping.requested(), if !deaf => return,
        };
        if !matches!(read, Ok(1)) || connection.stream.write_all(&byte).await.is_err() {
            return;
        }
        match byte[0] {
            b'!' => panic!("injected"),
            b's' => deaf = true,
            _ => {}
        }
    }
}

fn serve(settings: AcceptSettings) -> Echo {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), settings).unwrap();
    let (addr, counts, stop) = (listener.local_addr(), listener.counts(), Stop::default());
    let running = tokio::spawn(listener.run(stop.listen(), echo));
    Echo { addr, counts, stop, running }
}

/// Sends a byte and gives what comes back; `None` when the connection is closed.
async fn say(stream: &mut TcpStream, byte: u8) -> Option<u8> {
    stream.write_all(&[byte]).await.ok()?;
    stream.read_u8().await.ok()
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let first = Listener::bind("127.0.0.1:0".parse().unwrap(), AcceptSettings::default()).unwrap();
    let error = Listener::bind(first.local_addr(), AcceptSettings::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("can't listen on {}: another program listens there already", first.local_addr())
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let echo = serve(AcceptSettings { connections_max: 2, ..AcceptSettings::default() });
    let mut first = TcpStream::connect(echo.addr).await.unwrap();
    let mut second = TcpStream::connect(echo.addr).await.unwrap();
    assert_eq!(say(&mut first, b'a').await, Some(b'a'));
    assert_eq!(say(&mut second, b'b').await, Some(b'b'));
    let mut third = TcpStream::connect(echo.addr).await.unwrap();
    assert_eq!(third.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!((echo.counts.open(), echo.counts.refused()), (2, 1));
    // A place that is given back is taken again.
    first.shutdown().await.unwrap();
    assert_eq!(first.read(&mut [0]).await.unwrap(), 0);
    let mut fourth = TcpStream::connect(echo.addr).await.unwrap();
    while say(&mut fourth, b'd').await.is_none() {
        fourth = TcpStream::connect(echo.addr).await.unwrap();
    }
}

#[tokio::test]
async fn a_panic_ends_its_connection_alone() {
    let echo = serve(AcceptSettings::default());
    let mut neighbour = TcpStream::connect(echo.addr).await.unwrap();
    assert_eq!(say(&mut neighbour, b'a').await, Some(b'a'));
    let mut faulty = TcpStream::connect(echo.addr).await.unwrap();
    assert_eq!(say(&mut faulty, b'!').await, Some(b'!'));
    assert_eq!(faulty.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(say(&mut neighbour, b'b').await, Some(b'b'));
    let mut newcomer = TcpStream::connect(echo.addr).await.unwrap();
    assert_eq!(say(&mut newcomer, b'c').await, Some(b'c'));
    assert_eq!((echo.counts.panicked(), echo.counts.open()), (1, 2));
}

#[tokio::test]
async fn the_end_waits_for_connections_that_end() {
    let echo = serve(AcceptSettings::default());
    let mut client = TcpStream::connect(echo.addr).await.unwrap();
    assert_eq!(say(&mut client, b'a').await, Some(b'a'));
    echo.stop.request();
    assert_eq!(echo.running.await.unwrap(), 0);
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert!(TcpStream::connect(echo.addr).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let echo = serve(AcceptSettings { drain: Duration::from_millis(50), ..AcceptSettings::default() });
    let mut deaf = TcpStream::connect(echo.addr).await.unwrap();
    assert_eq!(say(&mut deaf, b's').await, Some(b's'));
    echo.stop.request();
    assert_eq!(echo.running.await.unwrap(), 1);
}
