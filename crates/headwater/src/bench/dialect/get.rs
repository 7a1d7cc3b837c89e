//! The same page again and again by `GET`, on connections that stay open. What is loaded here are questions, not events.

use std::net::TcpStream;

use anyhow::bail;

use super::http::response;
use super::{Dialect, InOrder, Reply, Verdict};

/// A client that asks.
#[derive(Debug)]
pub struct Get {
    path: String,
    in_order: InOrder,
}

impl Get {
    pub fn new(path: &str) -> Self {
        Self { path: path.to_owned(), in_order: InOrder::default() }
    }
}

impl Dialect for Get {
    fn open(&mut self, _stream: &mut TcpStream) -> anyhow::Result<u64> {
        Ok(0)
    }

    fn encode(&self, _payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.path).as_bytes());
    }

    fn replies(&mut self, bytes: &[u8], replies: &mut Vec<Reply>) -> anyhow::Result<usize> {
        let mut rest = bytes;
        while let Some((status, len)) = response(rest)? {
            if status != 200 {
                bail!("the server answers {status}");
            }
            replies.push(self.in_order.reply(Verdict::Accepted));
            rest = &rest[len..];
        }
        Ok(bytes.len() - rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted_whole_and_another_status_ends_the_load() {
        let (mut get, mut replies) = (Get::new("/a"), Vec::new());
        let page = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(get.replies(&page[..page.len() - 1], &mut replies).unwrap(), 0);
        assert_eq!(get.replies(page, &mut replies).unwrap(), page.len());
        assert_eq!(replies, [Reply { number: 0, verdict: Verdict::Accepted }]);
        assert!(get.replies(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", &mut replies).is_err());
    }
}
