//! One thread, poll() over all sockets, a write to the file and a write to the client for every message.
//!
//! Promise at the ACK: the message was written to the page cache: it survives a crash of the program, but no power cut.
//! With `--sync`: it is on disk; nobody else is served while the disk works.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use intake_peers::{Message, Start, ack, append, hello_len, welcome};
use rustix::event::{PollFd, PollFlags, poll};

struct Client {
    stream: TcpStream,
    greeted: bool,
    unread: Vec<u8>,
}

fn main() -> io::Result<()> {
    let start = Start::from_args()?;
    let mut log = start.log()?;
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let mut fds = vec![PollFd::new(&start.listener, PollFlags::IN)];
        fds.extend(clients.iter().map(|client| PollFd::new(&client.stream, PollFlags::IN)));
        poll(&mut fds, None)?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);

        let mut at = 0;
        clients.retain_mut(|client| {
            at += 1;
            // A client that breaks off, or the protocol, is dropped; the others go on.
            !ready[at] || serve(client, &mut log, start.sync).is_ok()
        });
        if ready[0] {
            let (stream, _) = start.listener.accept()?;
            stream.set_nodelay(true)?;
            clients.push(Client { stream, greeted: false, unread: Vec::new() });
        }
    }
}

fn serve(client: &mut Client, log: &mut std::fs::File, sync: bool) -> io::Result<()> {
    let mut bytes = [0; 16 * 1024];
    let len = client.stream.read(&mut bytes)?;
    if len == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    client.unread.extend_from_slice(&bytes[..len]);
    if !client.greeted {
        let Some(len) = hello_len(&client.unread)? else { return Ok(()) };
        client.unread.drain(..len);
        client.greeted = true;
        client.stream.write_all(&welcome())?;
    }
    let mut taken = 0;
    while let Some((message, len)) = Message::take(&client.unread[taken..])? {
        append(log, &message.record(), sync)?;
        client.stream.write_all(&ack(message.seq))?;
        taken += len;
    }
    client.unread.drain(..taken);
    Ok(())
}
