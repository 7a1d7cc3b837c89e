//! The yardstick of the fan-out: a loop of send() over all sockets, and nothing else. It knows no handshake, no topics, no
//! filters; it keeps nothing and waits for a socket that is full. One message from the control connection, one frame to
//! everyone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, ensure};
use socket2::{Domain, Socket, Type};

use super::wsframe;
use crate::listening::Listening;

/// The longest message, in bytes: a payload of the hub's default limit.
const MESSAGE_LEN_MAX: usize = 1 << 20;

/// Serves until it is killed.
///
/// # Errors
/// When an address is taken.
pub fn run(listen: SocketAddr) -> anyhow::Result<()> {
    super::process::raise_open_files(70_000);
    let watchers = Arc::new(Mutex::new(Vec::<TcpStream>::new()));
    let listener = listener(listen).with_context(|| format!("can't listen on {listen}"))?;
    let control = TcpListener::bind((listen.ip(), 0))?;
    let mut listening = Listening::default();
    listening.announce("raw", listener.local_addr()?)?;
    listening.announce("control", control.local_addr()?)?;
    let newcomers = watchers.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Without it the first small frames would wait for the others' acknowledgements.
            let _ = stream.set_nodelay(true);
            newcomers.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        }
    });
    for stream in control.incoming() {
        if let Err(error) = serve(stream?, &watchers) {
            eprintln!("control connection: {error:#}");
        }
    }
    Ok(())
}

/// With room for thousands who come at once: the standard library's 128 would make the others try again a second later.
fn listener(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.bind(&addr.into())?;
    socket.listen(4_096)?;
    Ok(socket.into())
}

fn serve(mut control: TcpStream, watchers: &Mutex<Vec<TcpStream>>) -> anyhow::Result<()> {
    let mut frame = Vec::new();
    loop {
        let mut len = [0; 4];
        if control.read_exact(&mut len).is_err() {
            return Ok(());
        }
        let len = u32::from_be_bytes(len) as usize;
        ensure!(len <= MESSAGE_LEN_MAX, "a message of {len} bytes");
        let mut payload = vec![0; len];
        control.read_exact(&mut payload)?;
        frame.clear();
        wsframe::encode_as_server(&payload, &mut frame);
        let mut watchers = watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain_mut(|watcher| watcher.write_all(&frame).is_ok());
    }
}
