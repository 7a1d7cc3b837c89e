//! The commands' way to a running hub: HTTP/1.1 over one connection a request.

mod events;
mod login;
mod trust;

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use headwater_edge::tls::Trust;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;

pub use events::{Sent, ServerSentEvents};
pub use login::{Login, LoginArgs};
pub use trust::{TrustArgs, connect};

use crate::exit;

/// Where a hub listens unless somebody said otherwise.
const ADDR_DEFAULT: &str = "127.0.0.1:8080";

/// How long a connection may take: a hub on another continent answers within a second.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How much of an error's answer is read; a problem document has a few hundred bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// Which hub to talk to.
#[derive(clap::Args, Clone, Debug)]
pub struct HubArgs {
    /// The hub's HTTP address, with `https://` or --ca for TLS [default: HEADWATER_ADDR, or 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    pub addr: Option<String>,
    #[command(flatten)]
    pub trust: TrustArgs,
    #[command(flatten)]
    pub login: LoginArgs,
}

/// A hub's HTTP address: host and port.
#[derive(Clone, Debug)]
pub struct Hub {
    authority: String,
    /// Whom to believe that it is the hub; `None` for plain text.
    trust: Option<Trust>,
    login: Option<Login>,
}

/// The hub said no.
#[derive(Debug)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// What it said.
    pub why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the hub refused: {} ({})", self.why, self.status)
    }
}

impl std::error::Error for Refused {}

impl HubArgs {
    /// The hub that the flag or the environment names.
    ///
    /// # Errors
    /// Usage, when it is no address.
    pub fn hub(&self) -> anyhow::Result<Hub> {
        let addr = self.addr.clone().or_else(|| std::env::var("HEADWATER_ADDR").ok());
        let login = self.login.login()?;
        Ok(Hub { login, ..Hub::parse(addr.as_deref().unwrap_or(ADDR_DEFAULT), self.trust.trust()?)? })
    }
}

impl Hub {
    fn parse(text: &str, trust: Option<Trust>) -> anyhow::Result<Self> {
        let (authority, trust) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(_), _) if trust.is_none() => {
                return exit::usage("https:// needs --ca FILE: the authority, or the hub's own certificate");
            }
            (Some(rest), _) => (rest, trust),
            // What somebody wrote out stands, whatever HEADWATER_CA says.
            (_, Some(rest)) => (rest, None),
            _ => (text, trust),
        };
        let authority = authority.trim_end_matches('/');
        match authority.rsplit_once(':') {
            Some((host, port))
                if !host.is_empty() && !authority.contains(['/', ' ']) && port.parse::<u16>().is_ok() =>
            {
                Ok(Self { authority: authority.to_owned(), trust, login: None })
            }
            _ => exit::usage(format!("{text:?} is no address; write one as 127.0.0.1:8080")),
        }
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// [`Refused`] for every status but 2xx; otherwise what the connection says.
    pub async fn ask(&self, mut request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        let connecting = tokio::time::timeout(CONNECT_WAIT, connect(&self.authority, self.trust.as_ref())).await;
        let socket = match connecting {
            Ok(connected) => connected.with_context(|| format!("can't reach a hub at {}", self.authority))?,
            Err(_) => bail!("can't reach a hub at {}: no answer in {} s", self.authority, CONNECT_WAIT.as_secs()),
        };
        request.headers_mut().insert(header::HOST, self.authority.parse()?);
        if let Some(login) = &self.login {
            request.headers_mut().insert(header::AUTHORIZATION, login.header()?);
        }
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        // Ends by itself with the connection; its errors reach us through the answer and its body.
        tokio::spawn(connection);
        let answer =
            sender.send_request(request).await.with_context(|| format!("no answer from {}", self.authority))?;
        if answer.status().is_success() { Ok(answer) } else { Err(refused(answer).await.into()) }
    }
}

/// Reads what a refusal says.
async fn refused(answer: Response<Incoming>) -> Refused {
    let status = answer.status();
    let body = http_body_util::Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let problem: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let said = |name: &str| problem.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let why = said("detail").or_else(|| said("title"));
    Refused { status: status.as_u16(), why: why.unwrap_or_else(|| status.to_string()) }
}

/// A text as one part of a path or query: everything but unreserved characters is escaped (RFC 3986 section 2.3).
pub fn escaped(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for text in ["127.0.0.1:1", "[::1]:8080", "hub.example:80", "http://localhost:8080/"] {
            assert!(Hub::parse(text, None).is_ok(), "{text}");
        }
        for text in ["", "localhost", ":80", "localhost:http", "http://a/b:80", "https://a:443", "a:99999"] {
            assert!(Hub::parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn parts_of_a_path_are_escaped() {
        assert_eq!(escaped("a/ü b?#+%", b"/"), "a/%C3%BC%20b%3F%23%2B%25");
        assert_eq!(escaped("a/b", b""), "a%2Fb");
    }
}
