//! From an HTTP request to a WebSocket of the hub: `GET /v1/ws`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use headwater_event::{Principal, json};
use headwater_hub::Hub;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::connection::Connection;
use super::handshake::{Fit, Unfit, check, header, offered};
use super::settings::Settings;
use crate::accept::Connection as Accepted;

/// The name of what is spoken here. A client may offer it as a subprotocol, and needn't.
pub const SUBPROTOCOL: &str = "headwater.v1";

/// How long a refused client may take to read why.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(5);

/// Why a request is not made a WebSocket of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUpgraded {
    /// It is no WebSocket handshake.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A page of another site (RFC 6455 section 10.2).
    #[error("pages of this origin may not connect; `http.origins` can allow them")]
    Origin,
    /// Addresses end up in logs and histories; a secret has no place there.
    #[error("this address takes no query, and a token never belongs into an address")]
    Query,
    /// What is spoken here was not offered.
    #[error("this address speaks the subprotocol `{0}`, which must be offered in Sec-WebSocket-Protocol")]
    Subprotocol(&'static str),
}

impl NotUpgraded {
    const fn status(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Unfit(unfit) => unfit.status(),
            Self::Origin => (403, "Forbidden", ""),
            Self::Query | Self::Subprotocol(_) => (400, "Bad Request", ""),
        }
    }

    /// The whole HTTP answer; the connection is then to be closed.
    #[must_use]
    pub fn answer(self) -> Vec<u8> {
        let (status, phrase, headers) = self.status();
        let mut body =
            format!("{{\"type\":\"about:blank\",\"status\":{status},\"title\":\"{phrase}\",\"detail\":").into_bytes();
        json::write_str(&self.to_string(), &mut body);
        body.push(b'}');
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} {phrase}\r\n{headers}Content-Type: application/problem+json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    }
}

/// A request that was refused, and its socket.
#[derive(Debug)]
pub struct Refused {
    /// Where the answer is to go.
    pub stream: TcpStream,
    /// What the answer is.
    pub why: NotUpgraded,
}

impl Refused {
    /// Answers and ends the connection.
    ///
    /// # Errors
    /// When the client doesn't take the answer.
    pub async fn answer(mut self) -> io::Result<()> {
        let answer = self.why.answer();
        tokio::time::timeout(REFUSAL_TIME_MAX, async {
            self.stream.write_all(&answer).await?;
            self.stream.shutdown().await
        })
        .await?
    }
}

/// Makes a connection whose first request is this a WebSocket of the hub. `leftover` is what came behind the request;
/// when the connection's `stopping` says so, the client is told to go (close code 1001).
///
/// The [`Connection`] is a small future with all that an idle watcher costs. Spawn it as a task of its own, and let the
/// task that read the request end: a future that contains both is as large as the larger.
///
/// # Errors
/// When the request isn't a WebSocket handshake that may be made from there.
pub fn upgrade(
    accepted: Accepted,
    request: &httparse::Request<'_, '_>,
    leftover: &[u8],
    hub: &Arc<Hub>,
    who: Principal,
    settings: &Arc<Settings>,
) -> Result<Connection, Box<Refused>> {
    match judge(request, settings) {
        Ok(answer) => Ok(Connection::open(accepted, answer, leftover, hub, who, settings)),
        Err(why) => Err(Box::new(Refused { stream: accepted.stream, why })),
    }
}

/// [`upgrade`], then the connection to its end, or the refusal.
pub async fn serve_ws(
    accepted: Accepted,
    request: &httparse::Request<'_, '_>,
    leftover: &[u8],
    hub: &Arc<Hub>,
    who: Principal,
    settings: &Arc<Settings>,
) {
    match upgrade(accepted, request, leftover, hub, who, settings) {
        Ok(connection) => connection.await,
        // A client that doesn't take its refusal has lost nothing but that.
        Err(refused) => drop(refused.answer().await),
    }
}

fn judge(request: &httparse::Request<'_, '_>, settings: &Settings) -> Result<Vec<u8>, NotUpgraded> {
    let fit = judge_whence(request, settings)?;
    let subprotocol = offered(request).find(|name| *name == SUBPROTOCOL);
    Ok(fit.answer(subprotocol))
}

/// The answer to a handshake for another protocol than ours, which the client must have offered (RFC 6455 section 4.2.2).
pub(crate) fn judge_for(
    request: &httparse::Request<'_, '_>,
    settings: &Settings,
    subprotocol: &'static str,
) -> Result<Vec<u8>, NotUpgraded> {
    let fit = judge_whence(request, settings)?;
    if offered(request).all(|name| name != subprotocol) {
        return Err(NotUpgraded::Subprotocol(subprotocol));
    }
    Ok(fit.answer(Some(subprotocol)))
}

fn judge_whence(request: &httparse::Request<'_, '_>, settings: &Settings) -> Result<Fit, NotUpgraded> {
    let fit = check(request)?;
    let host = header(request, "host")?.unwrap_or_default();
    let origin = header(request, "origin").map_err(|_| NotUpgraded::Origin)?;
    if !settings.origins.may_connect(origin, host) {
        return Err(NotUpgraded::Origin);
    }
    if request.path.is_some_and(|target| target.contains('?')) {
        return Err(NotUpgraded::Query);
    }
    Ok(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(target: &str, more: &str) -> String {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: hub:80\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(head.as_bytes()).unwrap();
        String::from_utf8(judge(&request, &Settings::default()).unwrap_or_else(NotUpgraded::answer)).unwrap()
    }

    #[test]
    fn a_page_of_another_site_is_refused() {
        assert!(answer("/v1/ws", "Origin: http://hub\r\n").starts_with("HTTP/1.1 101 "));
        assert!(answer("/v1/ws", "Origin: http://evil\r\n").starts_with("HTTP/1.1 403 "));
        assert!(answer("/v1/ws", "Origin: http://hub\r\nOrigin: http://hub\r\n").starts_with("HTTP/1.1 403 "));
    }

    #[test]
    fn a_token_in_the_address_is_refused() {
        let refusal = answer("/v1/ws?token=secret", "");
        assert!(refusal.starts_with("HTTP/1.1 400 ") && refusal.contains("problem+json"), "{refusal}");
        assert!(!refusal.contains("secret"));
    }

    #[test]
    fn the_subprotocol_is_chosen_when_it_was_offered() {
        assert!(!answer("/v1/ws", "").contains("Sec-WebSocket-Protocol"));
        assert!(!answer("/v1/ws", "Sec-WebSocket-Protocol: mqtt\r\n").contains("Sec-WebSocket-Protocol"));
        let chosen = answer("/v1/ws", "Sec-WebSocket-Protocol: mqtt, headwater.v1\r\n");
        assert!(chosen.contains("Sec-WebSocket-Protocol: headwater.v1\r\n"), "{chosen}");
    }
}
