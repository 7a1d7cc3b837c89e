//! A thread and a temporary file per client; when the client leaves, its file is appended to the one log and removed.
//!
//! Promise at the ACK: the message was written to the page cache of a temporary file: it survives a crash of the program
//! (someone has to collect the files), but no power cut. With `--sync`: that file is on disk; the log is synced after each
//! append. The order between clients is that of their leaving.

use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use intake_peers::{Message, Start, ack, append, greet};

fn main() -> io::Result<()> {
    let start = Start::from_args()?;
    let log = Arc::new(Mutex::new(start.log()?));
    for (at, stream) in start.listener.incoming().flatten().enumerate() {
        let (log, sync) = (log.clone(), start.sync);
        let path = start.folder.join(format!("worker-{}-{at}.tmp", std::process::id()));
        thread::spawn(move || serve(stream, path, &log, sync));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, path: PathBuf, log: &Mutex<File>, sync: bool) -> io::Result<()> {
    let mut own = File::create(&path)?;
    let talk = talk(&mut stream, &mut own, sync);
    let mut log = log.lock().expect("no thread panics with the lock");
    io::copy(&mut File::open(&path)?, &mut *log)?;
    if sync {
        log.sync_data()?;
    }
    fs::remove_file(&path)?;
    talk
}

fn talk(stream: &mut TcpStream, own: &mut File, sync: bool) -> io::Result<()> {
    greet(stream)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let message = Message::read(&mut reader)?;
        append(own, &message.record(), sync)?;
        stream.write_all(&ack(message.seq))?;
    }
}
