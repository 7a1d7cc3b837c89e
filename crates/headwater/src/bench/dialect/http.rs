//! Events by `POST /v1/events/{topic}`, on connections that stay open.

use std::net::TcpStream;

use anyhow::{Context, bail};

use super::{Dialect, InOrder, Reply, Verdict, head_end};

/// A client that posts.
#[derive(Debug)]
pub struct Http {
    topic: String,
    in_order: InOrder,
}

impl Http {
    pub fn new(topic: &str) -> Self {
        Self { topic: topic.to_owned(), in_order: InOrder::default() }
    }
}

impl Dialect for Http {
    fn open(&mut self, _stream: &mut TcpStream) -> anyhow::Result<u64> {
        Ok(0)
    }

    fn encode(&self, payload: &[u8], out: &mut Vec<u8>) {
        let head = format!(
            "POST /v1/events/{} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            self.topic,
            payload.len()
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(payload);
    }

    fn replies(&mut self, bytes: &[u8], replies: &mut Vec<Reply>) -> anyhow::Result<usize> {
        let mut rest = bytes;
        while let Some((status, len)) = response(rest)? {
            let verdict = match status {
                200..=299 => Verdict::Accepted,
                429 | 503 => Verdict::Refused,
                other => bail!("the server answers {other}"),
            };
            replies.push(self.in_order.reply(verdict));
            rest = &rest[len..];
        }
        Ok(bytes.len() - rest.len())
    }
}

/// Status and length of the whole response at the front; `None` when it isn't whole.
pub(super) fn response(bytes: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let Some(head_len) = head_end(bytes) else { return Ok(None) };
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    head.parse(&bytes[..head_len]).context("that is no HTTP response")?;
    let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let text = length.and_then(|header| std::str::from_utf8(header.value).ok());
    let body_len: usize = text.and_then(|text| text.parse().ok()).context("the response doesn't tell its length")?;
    let len = head_len.saturating_add(body_len);
    Ok((bytes.len() >= len).then_some((head.code.unwrap_or(0), len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_taken_whole_and_in_order() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";
        for cut in 0..=bytes.len() {
            let (mut http, mut replies) = (Http::new("a"), Vec::new());
            let taken = http.replies(&bytes[..cut], &mut replies).unwrap();
            http.replies(&bytes[taken..], &mut replies).unwrap();
            let accepted = Reply { number: 0, verdict: Verdict::Accepted };
            assert_eq!(replies, [accepted, Reply { number: 1, verdict: Verdict::Refused }], "cut at {cut}");
        }
    }
}
