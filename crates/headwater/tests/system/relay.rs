//! A wire to a server on which words are replaced by others of the same length, so that a server says what another one would.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Which way the words go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    FromServer,
    ToServer,
}

/// Passes on who connects here; ends with the test's process. Words are looked for in what comes at once.
pub fn replacing(server: SocketAddr, way: Way, words: &'static [u8], others: &'static [u8]) -> SocketAddr {
    assert_eq!(words.len(), others.len(), "lengths are part of what is said");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(server).unwrap();
            let (there, back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let of = |wanted| if way == wanted { (words, others) } else { (&[][..], &[][..]) };
            let (to, from) = (of(Way::ToServer), of(Way::FromServer));
            thread::spawn(move || pass(client, there, to));
            thread::spawn(move || pass(server, back, from));
        }
    });
    addr
}

fn pass(mut from: TcpStream, mut to: TcpStream, (words, others): (&[u8], &[u8])) {
    let mut buffer = [0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        let bytes = &mut buffer[..len];
        let mut at = 0;
        while !words.is_empty() && at + words.len() <= bytes.len() {
            if bytes[at..].starts_with(words) {
                bytes[at..at + words.len()].copy_from_slice(others);
            }
            at += 1;
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
