//! A worker thread per client hands messages to one writer thread, and answers when the writer says that it's written.
//!
//! Promise at the ACK: the message was written to the page cache: it survives a crash of the program, but no power cut.
//! With `--sync`: it is on disk. Each worker waits for its message before it takes the next.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use intake_peers::{Message, Start, ack, append, greet};

/// Messages that may wait for the writer: each worker has one at the most.
const WAITING_MAX: usize = 4_096;

/// A message, and whom to tell that it's written.
type Handed = (Message, SyncSender<()>);

fn main() -> io::Result<()> {
    let start = Start::from_args()?;
    let (mut log, sync) = (start.log()?, start.sync);
    let (sender, receiver) = sync_channel::<Handed>(WAITING_MAX);
    thread::spawn(move || {
        for (message, written) in receiver {
            append(&mut log, &message.record(), sync).expect("the disk takes it");
            // A worker whose client left doesn't wait any more.
            let _ = written.send(());
        }
    });
    for stream in start.listener.incoming().flatten() {
        let sender = sender.clone();
        thread::spawn(move || serve(stream, &sender));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, writer: &SyncSender<Handed>) -> io::Result<()> {
    greet(&mut stream)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (sender, written) = sync_channel(1);
    loop {
        let message = Message::read(&mut reader)?;
        let seq = message.seq;
        writer.send((message, sender.clone())).map_err(io::Error::other)?;
        written.recv().map_err(io::Error::other)?;
        stream.write_all(&ack(seq))?;
    }
}
