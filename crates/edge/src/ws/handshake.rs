//! The opening handshake, seen from the server (RFC 6455 section 4.2).
//!
//! No extension is ever agreed on: compression would cost a window of memory a connection, and its frames could not be
//! shared between watchers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// What a server adds to the client's key (section 1.3).
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request is not made a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Another method than GET (4.2.1 item 1).
    #[error("a WebSocket begins with GET")]
    Method,
    /// HTTP/1.0, or no `Host`, or two (4.2.1 items 1 and 2).
    #[error("a WebSocket begins with an HTTP/1.1 request with one Host header")]
    Http,
    /// No `Upgrade: websocket`, or no `Connection: upgrade` (4.2.1 items 3 and 4).
    #[error("this address speaks WebSocket: send `Connection: Upgrade` and `Upgrade: websocket`")]
    NoUpgrade,
    /// Another version than 13 (4.2.1 item 6).
    #[error("only version 13 of the WebSocket protocol is spoken here")]
    Version,
    /// The key isn't 16 bytes in base64, or not there once (4.2.1 item 5).
    #[error("Sec-WebSocket-Key must be 16 bytes in base64, once")]
    Key,
}

impl Unfit {
    /// The HTTP status and what else its answer must say (4.2.2, 4.4; RFC 9110 sections 15.5.6 and 15.5.22).
    #[must_use]
    pub const fn status(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Method => (405, "Method Not Allowed", "Allow: GET\r\n"),
            Self::NoUpgrade => (426, "Upgrade Required", "Upgrade: websocket\r\n"),
            Self::Version => (426, "Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
            Self::Http | Self::Key => (400, "Bad Request", ""),
        }
    }
}

/// A request that may become a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// What proves to the client that this server speaks WebSocket.
    accept: String,
}

/// Checks a request (section 4.2.1).
///
/// # Errors
/// Says which item it fails.
pub fn check(request: &httparse::Request<'_, '_>) -> Result<Fit, Unfit> {
    if request.method != Some("GET") {
        return Err(Unfit::Method);
    }
    if request.version != Some(1) || header(request, "host")?.is_none() {
        return Err(Unfit::Http);
    }
    if !has_token(request, "upgrade", "websocket") || !has_token(request, "connection", "upgrade") {
        return Err(Unfit::NoUpgrade);
    }
    if header(request, "sec-websocket-version").map_err(|_| Unfit::Version)? != Some("13") {
        return Err(Unfit::Version);
    }
    let key = header(request, "sec-websocket-key").map_err(|_| Unfit::Key)?.ok_or(Unfit::Key)?;
    if STANDARD.decode(key).map_err(|_| Unfit::Key)?.len() != 16 {
        return Err(Unfit::Key);
    }
    Ok(Fit { accept: accept(key) })
}

/// The key and the suffix, hashed (section 4.2.2 item 5.4).
fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{KEY_SUFFIX}")))
}

impl Fit {
    /// The answer that makes the connection a WebSocket (section 4.2.2 item 5); `subprotocol` must be one that the client
    /// [offered](offered).
    #[must_use]
    pub fn answer(&self, subprotocol: Option<&str>) -> Vec<u8> {
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
            self.accept
        );
        if let Some(subprotocol) = subprotocol {
            answer.push_str("Sec-WebSocket-Protocol: ");
            answer.push_str(subprotocol);
            answer.push_str("\r\n");
        }
        answer.push_str("\r\n");
        answer.into_bytes()
    }
}

/// The subprotocols that the client offers, in its order of preference (section 4.2.1 item 8); the caller chooses.
pub fn offered<'r>(request: &'r httparse::Request<'_, '_>) -> impl Iterator<Item = &'r str> {
    tokens(request, "sec-websocket-protocol")
}

/// The value of a header that may stand once; not UTF-8 counts as broken.
///
/// # Errors
/// When it stands twice: two readers could choose differently.
pub fn header<'r>(request: &'r httparse::Request<'_, '_>, name: &str) -> Result<Option<&'r str>, Unfit> {
    let mut values = request.headers.iter().filter(|have| have.name.eq_ignore_ascii_case(name));
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(std::str::from_utf8(value.value).map_err(|_| Unfit::Http)?.trim())),
        (Some(_), Some(_)) => Err(Unfit::Http),
    }
}

fn has_token(request: &httparse::Request<'_, '_>, name: &str, token: &str) -> bool {
    tokens(request, name).any(|have| have.eq_ignore_ascii_case(token))
}

/// The tokens of a list header, over all its lines (RFC 9110 section 5.6.1).
fn tokens<'r>(request: &'r httparse::Request<'_, '_>, name: &str) -> impl Iterator<Item = &'r str> {
    let lines = request.headers.iter().filter(move |have| have.name.eq_ignore_ascii_case(name));
    lines
        .filter_map(|line| std::str::from_utf8(line.value).ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: chat,\tsuperchat\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn judge(head: &str) -> Result<Fit, Unfit> {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        assert!(request.parse(head.as_bytes()).unwrap().is_complete(), "{head}");
        check(&request)
    }

    #[test]
    fn the_example_of_the_rfc_is_answered_as_the_rfc_says() {
        let answer = String::from_utf8(judge(GOOD).unwrap().answer(Some("chat"))).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(answer.ends_with("Sec-WebSocket-Protocol: chat\r\n\r\n"), "{answer}");
        assert!(!answer.to_lowercase().contains("extensions"));
    }

    #[test]
    fn each_item_of_4_2_1_is_checked() {
        for (from, to, why) in [
            ("GET ", "POST ", Unfit::Method),
            ("HTTP/1.1", "HTTP/1.0", Unfit::Http),
            ("Host: server.example.com\r\n", "", Unfit::Http),
            ("Host: a", "Host: a\r\nHost: b", Unfit::Http),
            ("Upgrade: websocket", "Upgrade: h2c", Unfit::NoUpgrade),
            ("keep-alive, Upgrade", "keep-alive", Unfit::NoUpgrade),
            ("Version: 13", "Version: 8", Unfit::Version),
            ("Sec-WebSocket-Version: 13\r\n", "", Unfit::Version),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", Unfit::Key),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", Unfit::Key),
            ("dGhlIHNhbXBsZSBub25jZQ==", "!!!!", Unfit::Key),
            ("Sec-WebSocket-Key: ", "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: ", Unfit::Key),
        ] {
            let from = from.replace("Host: a", "Host: server.example.com");
            let head = GOOD.replace(&from, to);
            assert_ne!(head, GOOD);
            assert_eq!(judge(&head), Err(why), "{to:?}");
        }
    }

    #[test]
    fn names_and_tokens_are_compared_without_case() {
        let head = GOOD.replace("Upgrade: websocket", "UPGRADE: WebSocket").replace("keep-alive, Upgrade", "UPGRADE");
        assert!(judge(&head).is_ok());
    }

    #[test]
    fn offers_are_given_in_the_clients_order() {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(GOOD.as_bytes()).unwrap();
        assert_eq!(offered(&request).collect::<Vec<_>>(), ["chat", "superchat"]);
    }
}
