//! A client that writes what a test says, byte by byte, and reads answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use headwater_edge::frames::wire::{Answer, Code, Hello, WELCOME_LEN, Welcome, encode_message_head};
use headwater_event::ProducerId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A test that waits longer than this for an answer has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Client {
    pub stream: TcpStream,
    read: BytesMut,
    pub welcome: Option<Welcome>,
}

pub fn message(seq: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_message_head(payload.len() as u32, seq, &mut bytes);
    bytes.put_slice(payload);
    bytes
}

pub const fn ack(seq: u64, log_seq: u64) -> Answer {
    Answer::Ack { seq, log_seq }
}

pub const fn nack(seq: u64, code: Code) -> Answer {
    Answer::Nack { seq, code }
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(addr).await.unwrap(), read: BytesMut::new(), welcome: None }
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn hello(&mut self, id: u128) {
        self.say_hello(id).await;
        assert_eq!(self.welcome().await.status, 0);
    }

    pub async fn say_hello(&mut self, id: u128) {
        let mut bytes = Vec::new();
        Hello { client: ProducerId::from_u128(id), token: Default::default() }.encode(&mut bytes);
        self.write(&bytes).await;
    }

    pub async fn welcome(&mut self) -> Welcome {
        let mut bytes = [0; WELCOME_LEN];
        timeout(PATIENCE, self.stream.read_exact(&mut bytes)).await.expect("no WELCOME").unwrap();
        let welcome = Welcome::decode(&bytes).expect("WELCOME begins with the magic");
        self.welcome = Some(welcome);
        welcome
    }

    pub fn last_seq(&self) -> u64 {
        self.welcome.unwrap().last_seq
    }

    pub async fn send(&mut self, seq: u64, payload: &[u8]) {
        self.write(&message(seq, payload)).await;
    }

    /// The next answer; `None` at the end of the connection.
    pub async fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = Answer::decode(&mut self.read).unwrap() {
                return Some(answer);
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await.expect("no answer");
            match read {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub async fn answers(&mut self, count: usize) -> Vec<Answer> {
        let mut answers = Vec::new();
        for _ in 0..count {
            answers.push(self.answer().await.expect("the connection ended before the last answer"));
        }
        answers
    }

    /// Whether nothing has come that was not asked for yet.
    pub fn has_nothing(&self) -> bool {
        let mut byte = [0];
        self.read.is_empty()
            && matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    pub async fn end_of_sending(&mut self) {
        self.stream.shutdown().await.unwrap();
    }
}
