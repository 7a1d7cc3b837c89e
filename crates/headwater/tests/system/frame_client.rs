//! A client of the frame protocol, written from `docs/frames.md` alone: it shares no code with the program.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::program::PATIENCE;

pub struct FrameClient {
    pub socket: TcpStream,
    pub max_payload: u32,
    pub last_seq: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Ack { seq: u64, log_seq: u64 },
    Nack { seq: u64, code: u8 },
}

impl FrameClient {
    /// Connects and says hello; the status of the welcome must be 0.
    pub fn connect(addr: SocketAddr, id: [u8; 16]) -> io::Result<Self> {
        let mut socket = TcpStream::connect(addr)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        socket.write_all(&hello(id, b""))?;
        let mut welcome = [0; 17];
        socket.read_exact(&mut welcome)?;
        assert_eq!(&welcome[..4], b"HWF1");
        assert_eq!(welcome[4], 0, "status");
        let max_payload = u32::from_be_bytes(welcome[5..9].try_into().unwrap());
        let last_seq = u64::from_be_bytes(welcome[9..].try_into().unwrap());
        Ok(Self { socket, max_payload, last_seq })
    }

    pub fn write(&mut self, seq: u64, payload: &[u8]) -> io::Result<()> {
        self.socket.write_all(&message(seq, payload))
    }

    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut kind = [0; 1];
        self.socket.read_exact(&mut kind)?;
        let mut number = || -> io::Result<u64> {
            let mut bytes = [0; 8];
            self.socket.read_exact(&mut bytes)?;
            Ok(u64::from_be_bytes(bytes))
        };
        let seq = number()?;
        match kind[0] {
            0x06 => Ok(Answer::Ack { seq, log_seq: number()? }),
            0x15 => {
                let mut code = [0; 1];
                self.socket.read_exact(&mut code)?;
                Ok(Answer::Nack { seq, code: code[0] })
            }
            other => panic!("no such frame: {other:#x}"),
        }
    }

    /// Sends one message and expects its acknowledgement; gives the place in the log.
    pub fn send(&mut self, seq: u64, payload: &[u8]) -> u64 {
        self.write(seq, payload).expect("write");
        match self.answer().expect("answer") {
            Answer::Ack { seq: acked, log_seq } if acked == seq => log_seq,
            other => panic!("{other:?} for {seq}"),
        }
    }
}

pub fn hello(id: [u8; 16], token: &[u8]) -> Vec<u8> {
    let mut frame = b"HWF1".to_vec();
    frame.extend(id);
    frame.extend(u16::try_from(token.len()).unwrap().to_be_bytes());
    frame.extend(token);
    frame
}

pub fn message(seq: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(seq.to_be_bytes());
    frame.extend(payload);
    frame
}
