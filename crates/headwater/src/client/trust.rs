//! How the commands speak TLS: whom they believe, and what they show.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use headwater_edge::tls::{Trust, originate};
use headwater_event::Clock;
use tokio::net::TcpStream;

use crate::exit;

/// What the commands are told about TLS.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TrustArgs {
    /// Speak TLS, and believe this authority or this very certificate alone: a file in PEM [default: HEADWATER_CA]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The certificate and key to show to a hub that asks: files in PEM
    #[arg(long, value_name = "CERT,KEY")]
    pub cert: Option<String>,
}

impl TrustArgs {
    /// What they say; `None` for plain text.
    ///
    /// # Errors
    /// Usage, when files can't be used.
    pub fn trust(&self) -> anyhow::Result<Option<Trust>> {
        let ca = self.ca.clone().or_else(|| std::env::var_os("HEADWATER_CA").map(PathBuf::from));
        let Some(ca) = ca else {
            return if self.cert.is_some() { exit::usage("--cert needs --ca: whom to show it to") } else { Ok(None) };
        };
        let read = |path: PathBuf| std::fs::read(&path).with_context(|| format!("can't read {}", path.display()));
        let authorities = read(ca)?;
        let shown = match self.cert.as_deref().map(|pair| pair.split_once(',')) {
            None => None,
            Some(Some((cert, key))) => Some((read(cert.into())?, read(key.into())?)),
            Some(None) => return exit::usage("--cert takes two files: CERT,KEY"),
        };
        let shown = shown.as_ref().map(|(cert, key)| (&cert[..], &key[..]));
        let trust = Trust::new(&authorities, shown, Clock::system());
        Ok(Some(trust.map_err(|error| exit::Usage(error.to_string()))?))
    }
}

/// Connects, with TLS where there is a trust.
///
/// # Errors
/// As the system says; `InvalidData` when the other end isn't believed or doesn't speak TLS.
pub async fn connect(authority: &str, trust: Option<&Trust>) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    match trust {
        None => Ok(stream),
        Some(trust) => originate(stream, host(authority), trust).await,
    }
}

/// The name in `name:port`, `1.2.3.4:port` or `[::1]:port`.
fn host(authority: &str) -> &str {
    if let Ok(addr) = authority.parse::<SocketAddr>()
        && addr.is_ipv6()
    {
        return authority.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(authority);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_before_the_port() {
        assert_eq!(host("hub.example.com:8443"), "hub.example.com");
        assert_eq!(host("127.0.0.1:1"), "127.0.0.1");
        assert_eq!(host("[::1]:1"), "::1");
    }
}
