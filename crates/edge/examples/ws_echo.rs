//! Echoes every WebSocket message on 127.0.0.1: `cargo run --release --example ws_echo -- PORT`.
//!
//! It shows the codec without the hub, and is what the conformance cases run against (`scripts/autobahn`).

use std::io;
use std::time::Duration;

use headwater_edge::ws::{Decoder, Opcode, Said, close, handshake, write_frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The largest message in bytes.
const MESSAGE_LEN_MAX: usize = 16 * 1_024 * 1_024;

/// The longest request head in bytes.
const HEAD_LEN_MAX: usize = 16 * 1_024;

/// How much is read at once, in bytes.
const READ_LEN: usize = 64 * 1_024;

/// How long a client may take to end the connection after the last frame.
const FAREWELL: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse::<u16>().ok());
    let Some(port) = port else {
        eprintln!("usage: ws_echo PORT");
        std::process::exit(2);
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening ws {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A client that breaks off is the client's business.
            let _ = serve(stream).await;
        });
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(rest) = open(&mut stream).await? else { return Ok(()) };
    let last = echo(&mut stream, rest).await?;
    stream.write_all(&last).await?;
    stream.shutdown().await?;
    // What still comes is read and passed over: closing with unread bytes would reset the connection, and the client
    // might lose the close frame.
    let mut scrap = vec![0; READ_LEN];
    let _ = tokio::time::timeout(FAREWELL, async { while stream.read(&mut scrap).await.is_ok_and(|n| n > 0) {} }).await;
    Ok(())
}

/// Reads the request and answers it; gives what came after it, or `None` when it was refused.
async fn open(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        if stream.read_buf(&mut head).await? == 0 || head.len() > HEAD_LEN_MAX {
            return Ok(None);
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(httparse::Status::Partial) => {}
            Ok(httparse::Status::Complete(end)) => {
                let answer = match handshake::check(&request) {
                    Ok(fit) => fit.answer(None),
                    Err(unfit) => {
                        let (status, phrase, more) = unfit.status();
                        let refusal = format!(
                            "HTTP/1.1 {status} {phrase}\r\n{more}Connection: close\r\nContent-Length: 0\r\n\r\n"
                        );
                        stream.write_all(refusal.as_bytes()).await?;
                        return Ok(None);
                    }
                };
                stream.write_all(&answer).await?;
                return Ok(Some(head.split_off(end)));
            }
            Err(_) => return Ok(None),
        }
    }
}

/// Echoes until the client closes or breaks a rule; gives the close frame to end with.
async fn echo(stream: &mut TcpStream, mut read: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut decoder = Decoder::new(MESSAGE_LEN_MAX);
    let mut out = Vec::new();
    loop {
        let mut rest = &mut read[..];
        loop {
            let (used, said) = match decoder.next(rest) {
                Ok((_, None)) => break,
                Ok((used, Some(said))) => (used, said),
                Err(fault) => {
                    let payload = close::close_payload(fault.code(), &fault.to_string());
                    write_frame(Opcode::Close, &payload, &mut out);
                    return Ok(out);
                }
            };
            match said {
                Said::Text(text) => write_frame(Opcode::Text, text.as_bytes(), &mut out),
                Said::Binary(bytes) => write_frame(Opcode::Binary, &bytes, &mut out),
                Said::Ping(bytes) => write_frame(Opcode::Pong, &bytes, &mut out),
                Said::Pong => {}
                Said::Close(closing) => {
                    let payload = closing.code.map(|code| close::close_payload(code, "")).unwrap_or_default();
                    write_frame(Opcode::Close, &payload, &mut out);
                    return Ok(out);
                }
            }
            rest = &mut rest[used..];
        }
        stream.write_all(&out).await?;
        out.clear();
        read.resize(READ_LEN, 0);
        let len = stream.read(&mut read).await?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read.truncate(len);
    }
}
