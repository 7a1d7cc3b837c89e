//! A thread per client, and a mutex around the file.
//!
//! Promise at the ACK: the message was written to the page cache: it survives a crash of the program, but no power cut.
//! With `--sync`: it is on disk; the mutex is held meanwhile, so that the syncs of all clients stand in a line.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;

use intake_peers::{Message, Start, ack, append, greet};

fn main() -> io::Result<()> {
    let start = Start::from_args()?;
    let log = Arc::new(Mutex::new(start.log()?));
    for stream in start.listener.incoming().flatten() {
        let (log, sync) = (log.clone(), start.sync);
        // A client that breaks off ends its own thread.
        thread::spawn(move || serve(stream, &log, sync));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, log: &Mutex<File>, sync: bool) -> io::Result<()> {
    greet(&mut stream)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let message = Message::read(&mut reader)?;
        append(&mut log.lock().expect("no thread panics with the lock"), &message.record(), sync)?;
        stream.write_all(&ack(message.seq))?;
    }
}
