//! The other side of it, for commands and bridges: a connection to a server that speaks TLS.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use headwater_event::Clock;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, Connection, Error};
use tokio::net::TcpStream;

use super::handshake::Bare;
use super::lend::lend;
use super::material::{Now, TlsError, VERSIONS, provider, roots};
use super::pump::Pump;

/// Of a server that goes in the middle of the handshake: one that takes its first bytes for nonsense does so.
const ENDED: &str = "it ends the connection before TLS begins: perhaps it doesn't speak TLS there";

/// Whom a client believes, and what it shows.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

impl Trust {
    /// In these authorities alone, in PEM; a server's own certificate may stand for one. `shown` is a chain and its key, in
    /// PEM, for a server that asks.
    ///
    /// # Errors
    /// When they can't be used.
    pub fn new(authorities: &[u8], shown: Option<(&[u8], &[u8])>, clock: Clock) -> Result<Self, TlsError> {
        let roots = roots(authorities).map_err(|why| TlsError::new(format!("the authority {why}")))?;
        let builder = ClientConfig::builder_with_details(provider(), Arc::new(Now(clock)));
        let builder = builder.with_protocol_versions(VERSIONS).map_err(|error| TlsError::new(error.to_string()))?;
        let builder = builder.with_root_certificates(roots);
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
                let chain = chain.map_err(|_| TlsError::new("the client's certificate can't be read as PEM"))?;
                let key = PrivateKeyDer::from_pem_slice(key);
                let key = key.map_err(|_| TlsError::new("the client's key is no private key in PEM"))?;
                let shown = builder.with_client_auth_cert(chain, key);
                shown.map_err(|error| TlsError::new(format!("the client's certificate can't be used: {error}")))?
            }
        };
        Ok(Self(Arc::new(config)))
    }
}

/// Shakes hands over a connected socket, and gives one to use in its place: what is written to it goes out encrypted. A task
/// carries the bytes until both sides have ended.
///
/// # Errors
/// When the server isn't believed to be `host`, or refuses, or breaks off. How long that may take is the caller's choice.
pub async fn originate(stream: TcpStream, host: &str, trust: &Trust) -> io::Result<TcpStream> {
    let name = ServerName::try_from(host.to_owned());
    let name =
        name.map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{host:?} is no name of a host")))?;
    let broken = |error: Error| io::Error::new(io::ErrorKind::InvalidData, in_words(error, host));
    let mut session = ClientConnection::new(Arc::clone(&trust.0), name).map_err(broken)?;
    loop {
        while session.wants_write() {
            stream.writable().await?;
            match session.write_tls(&mut Bare(&stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => drop(other?),
            }
        }
        if !session.is_handshaking() {
            break;
        }
        stream.readable().await?;
        match session.read_tls(&mut Bare(&stream)) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, ENDED)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(io::Error::new(error.kind(), ENDED));
            }
            Err(error) => return Err(error),
        }
        if let Err(error) = session.process_new_packets() {
            let _ = session.write_tls(&mut Bare(&stream));
            return Err(broken(error));
        }
    }
    let (used, ours) = lend()?;
    let mut pump = Pump::new(stream, ours, Connection::Client(session))?;
    tokio::spawn(async move { poll_fn(|cx| pump.poll(cx)).await });
    Ok(used)
}

/// Why a server isn't believed, for a person; the rest is in the library's words.
fn in_words(error: Error, host: &str) -> Box<dyn std::error::Error + Send + Sync> {
    let Error::InvalidCertificate(wrong) = &error else {
        return match error {
            Error::InvalidMessage(_) => "it doesn't speak TLS there".into(),
            error => error.into(),
        };
    };
    match wrong {
        CertificateError::UnknownIssuer => "its certificate is of no authority that is believed here".into(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for {host}").into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".into()
        }
        _ => error.into(),
    }
}
