//! A worker thread per client hands messages to one writer thread, and answers at once.
//!
//! Promise at the ACK: none. What waits for the writer is lost in a crash of the program. With `--sync` the writer syncs
//! each message, but the ACK is long gone by then. It stands here because it is fast, and because people ship it.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use intake_peers::{Message, Start, ack, append, greet};

/// Messages that may wait for the writer.
const WAITING_MAX: usize = 65_536;

fn main() -> io::Result<()> {
    let start = Start::from_args()?;
    let (mut log, sync) = (start.log()?, start.sync);
    let (sender, receiver) = sync_channel::<Message>(WAITING_MAX);
    thread::spawn(move || {
        for message in receiver {
            append(&mut log, &message.record(), sync).expect("the disk takes it");
        }
    });
    for stream in start.listener.incoming().flatten() {
        let sender = sender.clone();
        thread::spawn(move || serve(stream, &sender));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, writer: &SyncSender<Message>) -> io::Result<()> {
    greet(&mut stream)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let message = Message::read(&mut reader)?;
        let answer = ack(message.seq);
        writer.send(message).map_err(io::Error::other)?;
        stream.write_all(&answer)?;
    }
}
