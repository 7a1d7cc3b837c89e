//! Alerts by `POST /api/alerts`, each of another place: who says the same twice within a minute is heard once.

use std::net::TcpStream;

use headwater_event::{Clock, json};

use super::http::Http;
use super::{Dialect, Reply};

/// Digits of the number in a place's name.
const DIGITS: usize = 8;

/// A source that posts.
#[derive(Debug)]
pub struct Alerts {
    /// What is behind the place in each body.
    rest: String,
    /// Which of the sources it is.
    source: usize,
    answers: Http,
}

impl Alerts {
    pub fn new(source: usize) -> Self {
        let mut now = Vec::new();
        json::write_time(Clock::system().now(), &mut now);
        let now = String::from_utf8_lossy(&now);
        let rest = format!(r#"","type":"Flood","timestamp":"{now}","duration":5}}"#);
        Self { rest, source, answers: Http::new("") }
    }

    fn place(&self) -> String {
        format!(r#"{{"location":"{:0DIGITS$} {} "#, 0, self.source)
    }
}

impl Dialect for Alerts {
    fn open(&mut self, _stream: &mut TcpStream) -> anyhow::Result<u64> {
        Ok(0)
    }

    fn encode(&self, payload: &[u8], out: &mut Vec<u8>) {
        let place = self.place();
        let len = place.len() + payload.len() + self.rest.len();
        // The number's place mustn't move with the digits of the length.
        let head = format!(
            "POST /api/alerts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len:06}\r\n\r\n"
        );
        [head.as_bytes(), place.as_bytes(), payload, self.rest.as_bytes()]
            .iter()
            .for_each(|part| out.extend_from_slice(part));
    }

    fn number_at(&self) -> Option<usize> {
        let mut event = Vec::new();
        self.encode(b"", &mut event);
        Some(event.len() - self.rest.len() - self.place().len() + r#"{"location":""#.len())
    }

    fn write_number(&self, number: u64, place: &mut [u8]) {
        let digits = format!("{:0DIGITS$}", number % 10_u64.pow(DIGITS as u32));
        place.copy_from_slice(digits.as_bytes());
    }

    fn replies(&mut self, bytes: &[u8], replies: &mut Vec<Reply>) -> anyhow::Result<usize> {
        self.answers.replies(bytes, replies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_body_is_json_and_names_a_place_of_its_own() {
        let (alerts, mut event) = (Alerts::new(3), Vec::new());
        alerts.encode(&[b'x'; 1_000], &mut event);
        let at = alerts.number_at().unwrap();
        alerts.write_number(42, &mut event[at..at + 8]);
        let body = memchr::memmem::find(&event, b"\r\n\r\n").map(|at| &event[at + 4..]).unwrap();
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert!(body["location"].as_str().unwrap().starts_with("00000042 3 xxx"));
    }
}
