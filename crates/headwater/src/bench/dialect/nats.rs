//! NATS JetStream: PUB with a reply inbox, answered by a PubAck each.

use std::io::Write;
use std::net::TcpStream;

use anyhow::{bail, ensure};

use super::{Dialect, InOrder, Reply, Verdict, line_end, read_until};

/// The subject that the events go to, and the stream that keeps them.
pub const SUBJECT: &str = "bench.events";
const MAKE_STREAM: &str = r#"{"name":"bench","subjects":["bench.events"],"storage":"file","retention":"limits","num_replicas":1,"duplicate_window":1000000000}"#;

/// A client that publishes to a stream.
#[derive(Debug, Default)]
pub struct Nats {
    inbox: String,
    in_order: InOrder,
}

impl Dialect for Nats {
    fn open(&mut self, stream: &mut TcpStream) -> anyhow::Result<u64> {
        self.inbox = format!("_INBOX.{}", uuid::Uuid::new_v4().simple());
        let mut read = Vec::new();
        read_until(stream, &mut read, line_end)?; // INFO
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}}\r\nSUB {0} 1\r\n\
             PUB $JS.API.STREAM.CREATE.bench {0} {1}\r\n{2}\r\n",
            self.inbox,
            MAKE_STREAM.len(),
            MAKE_STREAM
        );
        stream.write_all(hello.as_bytes())?;
        let made = read_until(stream, &mut read, |bytes| message(bytes).map(|(_, len)| len))?;
        let Some((body, _)) = message(&made) else { bail!("NATS says nothing") };
        let good = !body.is_empty() && memchr::memmem::find(body, b"\"error\"").is_none();
        ensure!(good, "NATS makes no stream: {}", String::from_utf8_lossy(body));
        Ok(0)
    }

    fn encode(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(format!("PUB {SUBJECT} {} {}\r\n", self.inbox, payload.len()).as_bytes());
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
    }

    fn replies(&mut self, bytes: &[u8], replies: &mut Vec<Reply>) -> anyhow::Result<usize> {
        let mut rest = bytes;
        loop {
            if rest.starts_with(b"PING\r\n") {
                // Unanswered on purpose: a server allows two, minutes apart, and no run is that long.
                rest = &rest[6..];
                continue;
            }
            let Some((body, len)) = message(rest) else { break };
            let failed = memchr::memmem::find(body, b"\"seq\"").is_none();
            if failed && body.is_empty() {
                bail!("no stream listens to {SUBJECT}");
            }
            let verdict = if failed { Verdict::Refused } else { Verdict::Accepted };
            replies.push(self.in_order.reply(verdict));
            rest = &rest[len..];
        }
        if rest.starts_with(b"-ERR") {
            bail!("NATS answers {}", String::from_utf8_lossy(&rest[..rest.len().min(80)]));
        }
        Ok(bytes.len() - rest.len())
    }
}

/// Body and whole length of the `MSG` or `HMSG` at the front. Lines before it (`+OK`, `INFO`, `PING`) belong to its length.
fn message(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let mut at = 0;
    loop {
        let line_len = line_end(&bytes[at..])?;
        let line = &bytes[at..at + line_len - 2];
        at += line_len;
        if line.starts_with(b"MSG ") || line.starts_with(b"HMSG ") {
            let size: usize = std::str::from_utf8(line).ok()?.rsplit(' ').next()?.parse().ok()?;
            let end = at.checked_add(size)?;
            let body = bytes.get(at..end)?;
            // A status without a body ("503 no responders") comes as headers alone.
            let body =
                if line.starts_with(b"HMSG ") && memchr::memmem::find(body, b"{").is_none() { &[] } else { body };
            return (bytes.len() >= end + 2).then_some((body, end + 2));
        }
        if line.starts_with(b"-ERR") {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pubacks_are_counted_and_errors_are_refusals() {
        let bytes = b"MSG _INBOX.a 1 26\r\n{\"stream\":\"bench\",\"seq\":12}\r\nPING\r\nMSG _INBOX.a 1 12\r\n{\"error\":{}}\r\n";
        let bytes = String::from_utf8_lossy(bytes).replace(" 26\r", " 28\r").into_bytes();
        for cut in 0..=bytes.len() {
            let (mut nats, mut replies) = (Nats::default(), Vec::new());
            let taken = nats.replies(&bytes[..cut], &mut replies).unwrap();
            nats.replies(&bytes[taken..], &mut replies).unwrap();
            let verdicts: Vec<_> = replies.iter().map(|reply| reply.verdict).collect();
            assert_eq!(verdicts, [Verdict::Accepted, Verdict::Refused], "cut at {cut}");
        }
    }
}
