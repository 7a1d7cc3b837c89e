//! What all designs share: the frame protocol's few bytes, and how they are started.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

const HELLO_LEN: usize = 22;
const HEAD_LEN: usize = 12;
/// The longest payload, in bytes: a declared length beyond it ends the connection.
const PAYLOAD_LEN_MAX: usize = 64 * 1024;

/// How a design was started.
pub struct Start {
    pub listener: TcpListener,
    pub folder: PathBuf,
    /// Whether each message is synced.
    pub sync: bool,
}

impl Start {
    /// Reads `--listen ADDR --data DIR [--sync]`, binds, and tells where.
    pub fn from_args() -> io::Result<Self> {
        let (mut listen, mut folder, mut sync) = ("127.0.0.1:0".to_owned(), PathBuf::from("intake-data"), false);
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--listen" => listen = args.next().unwrap_or_default(),
                "--data" => folder = args.next().unwrap_or_default().into(),
                "--sync" => sync = true,
                other => return Err(io::Error::other(format!("unknown option {other}"))),
            }
        }
        std::fs::create_dir_all(&folder)?;
        let listener = TcpListener::bind(&listen)?;
        println!("listening frames {}", listener.local_addr()?);
        Ok(Self { listener, folder, sync })
    }

    /// The one log file.
    pub fn log(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.folder.join("messages.log"))
    }
}

/// Says WELCOME to whoever says HELLO. No client is remembered: each begins at 1.
pub fn greet(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut hello = [0; HELLO_LEN];
    stream.read_exact(&mut hello)?;
    if !hello.starts_with(b"HWF1") || hello[20..] != [0, 0] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    stream.write_all(&welcome())
}

pub fn welcome() -> [u8; 17] {
    let mut welcome = *b"HWF1\0....\0\0\0\0\0\0\0\0";
    welcome[5..9].copy_from_slice(&(PAYLOAD_LEN_MAX as u32).to_be_bytes());
    welcome
}

/// A message.
pub struct Message {
    pub seq: u64,
    pub payload: Vec<u8>,
}

impl Message {
    /// The next message, from a (buffered) reader.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; HEAD_LEN];
        from.read_exact(&mut head)?;
        let (len, seq) = read_head(&head)?;
        let mut payload = vec![0; len];
        from.read_exact(&mut payload)?;
        Ok(Self { seq, payload })
    }

    /// The message at the front with its length, when it is whole.
    pub fn take(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let Some(head) = bytes.first_chunk::<HEAD_LEN>() else { return Ok(None) };
        let (len, seq) = read_head(head)?;
        let payload = bytes.get(HEAD_LEN..HEAD_LEN + len);
        Ok(payload.map(|payload| (Self { seq, payload: payload.to_vec() }, HEAD_LEN + len)))
    }

    /// The message as a line of the log: length, number, payload.
    pub fn record(&self) -> Vec<u8> {
        let mut record = (self.payload.len() as u32).to_be_bytes().to_vec();
        record.extend_from_slice(&self.seq.to_be_bytes());
        record.extend_from_slice(&self.payload);
        record
    }
}

fn read_head(head: &[u8; HEAD_LEN]) -> io::Result<(usize, u64)> {
    let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let mut seq = [0; 8];
    seq.copy_from_slice(&head[4..]);
    if len > PAYLOAD_LEN_MAX { Err(io::ErrorKind::InvalidData.into()) } else { Ok((len, u64::from_be_bytes(seq))) }
}

/// Says hello to a client's HELLO at the front; how long it was, when it is whole.
pub fn hello_len(bytes: &[u8]) -> io::Result<Option<usize>> {
    match bytes.get(..HELLO_LEN) {
        None => Ok(None),
        Some(hello) if hello.starts_with(b"HWF1") => Ok(Some(HELLO_LEN)),
        Some(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// The acknowledgement of a message.
pub fn ack(seq: u64) -> [u8; 17] {
    static LOG_SEQ: AtomicU64 = AtomicU64::new(0);
    let log_seq = LOG_SEQ.fetch_add(1, Ordering::Relaxed) + 1;
    let mut ack = [0x06; 17];
    ack[1..9].copy_from_slice(&seq.to_be_bytes());
    ack[9..].copy_from_slice(&log_seq.to_be_bytes());
    ack
}

/// Appends a record, and waits for the disk where that is promised.
pub fn append(log: &mut File, record: &[u8], sync: bool) -> io::Result<()> {
    log.write_all(record)?;
    if sync { log.sync_data() } else { Ok(()) }
}
