//! Redis streams: XADD, pipelined, over RESP.

use std::io::Write;
use std::net::TcpStream;

use anyhow::bail;

use super::{Dialect, InOrder, Reply, Verdict, line_end, read_until};

/// A client that adds to one stream (a log of Redis).
#[derive(Debug, Default)]
pub struct Redis {
    in_order: InOrder,
}

/// A command as RESP spells it.
fn command(parts: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

impl Dialect for Redis {
    fn open(&mut self, stream: &mut TcpStream) -> anyhow::Result<u64> {
        let mut ping = Vec::new();
        command(&[b"PING"], &mut ping);
        stream.write_all(&ping)?;
        let pong = read_until(stream, &mut Vec::new(), line_end)?;
        if pong != b"+PONG\r\n" {
            bail!("Redis answers {}", String::from_utf8_lossy(&pong));
        }
        Ok(0)
    }

    fn encode(&self, payload: &[u8], out: &mut Vec<u8>) {
        command(&[b"XADD", b"bench", b"*", b"p", payload], out);
    }

    /// Each answer is `$15\r\n1700000000000-0\r\n`, or an error in one line.
    fn replies(&mut self, bytes: &[u8], replies: &mut Vec<Reply>) -> anyhow::Result<usize> {
        let mut rest = bytes;
        loop {
            let Some(head_len) = line_end(rest) else { return Ok(bytes.len() - rest.len()) };
            if rest[0] != b'$' {
                bail!("Redis answers {}", String::from_utf8_lossy(&rest[..head_len]));
            }
            let Some(id_len) = line_end(&rest[head_len..]) else { return Ok(bytes.len() - rest.len()) };
            replies.push(self.in_order.reply(Verdict::Accepted));
            rest = &rest[head_len + id_len..];
        }
    }
}
