//! Certificates and keys: from PEM to what a handshake uses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headwater_event::Clock;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// What is spoken: nothing older than 1.2.
pub(super) const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Whether clients are asked for certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// They aren't.
    #[default]
    No,
    /// A certificate that is shown must be good; who shows none comes in as well.
    May,
    /// Nobody comes in without a good one.
    Must,
}

/// What is wrong with certificates or keys, as a sentence that never holds a part of them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

impl TlsError {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

/// What we show, and whom we believe.
#[derive(Clone)]
pub struct TlsMaterial {
    shown: Arc<CertifiedKey>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    clock: Clock,
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key has no business in a log.
        f.write_str("TlsMaterial")
    }
}

impl TlsMaterial {
    /// From a chain (our own certificate first) and its key, in PEM.
    ///
    /// # Errors
    /// When one of them can't be read, or the key isn't the certificate's.
    pub fn from_pem(chain: &[u8], key: &[u8], clock: Clock) -> Result<Self, TlsError> {
        let chain = certificates(chain).map_err(|why| TlsError(format!("the certificate {why}")))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            TlsError::new("the key is no private key in PEM (PKCS#8, PKCS#1 or SEC1, without a password)")
        })?;
        let shown = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::new("the key doesn't belong to the certificate"),
            error => TlsError(format!("the certificate and its key can't be used: {error}")),
        })?;
        Ok(Self { shown: Arc::new(shown), verifier: None, clock })
    }

    /// With the authorities (PEM) whose certificates clients show.
    ///
    /// # Errors
    /// When no authority can be read from it.
    pub fn asking(mut self, asked: Asked, authorities: &[u8]) -> Result<Self, TlsError> {
        let roots = roots(authorities).map_err(|why| TlsError(format!("the clients' authority {why}")))?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let builder = match asked {
            Asked::No => return Ok(self),
            Asked::May => builder.allow_unauthenticated(),
            Asked::Must => builder,
        };
        let verifier = builder.build().map_err(|error| TlsError(format!("the clients' authority: {error}")))?;
        self.verifier = Some(verifier);
        Ok(self)
    }

    /// The certificate that we show, as it stands on the wire.
    #[must_use]
    pub fn own_certificate(&self) -> &[u8] {
        self.shown.cert.first().map_or(&[], |own| own)
    }

    /// What a listener's handshakes use; `spoken` are the names of the protocols inside (ALPN), none of which may be wanted.
    pub(super) fn config(&self, spoken: &[&[u8]]) -> Result<ServerConfig, TlsError> {
        let time = Arc::new(Now(self.clock.clone()));
        let builder = ServerConfig::builder_with_details(provider(), time).with_protocol_versions(VERSIONS);
        let builder = builder.map_err(|error| TlsError(error.to_string()))?;
        let builder = match &self.verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Shown(Arc::clone(&self.shown))));
        config.alpn_protocols = spoken.iter().map(|name| name.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if self.verifier.is_some() {
            // A resumed session would bring back a certificate that was good once: each connection shows its own anew.
            config.send_tls13_tickets = 0;
        } else {
            // Who comes back saves the costly half of a handshake, and we keep nothing for it: the client holds the ticket.
            config.ticketer = ring::Ticketer::new().map_err(|error| TlsError(error.to_string()))?;
            config.send_tls13_tickets = 1;
        }
        Ok(config)
    }
}

/// The one certificate that there is, whatever name a client asks for.
struct Shown(Arc<CertifiedKey>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl rustls::server::ResolvesServerCert for Shown {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Our clock, to judge whether a certificate is in its time.
pub(super) struct Now(pub(super) Clock);

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_micros(self.0.now().as_micros())))
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("holds no certificate in PEM"),
        Ok(chain) => Ok(chain),
        Err(_) => Err("is damaged: it can't be read as PEM"),
    }
}

pub(super) fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| format!("can't be used: {error}"))?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, generate_simple_self_signed};

    use super::*;

    #[test]
    fn what_cannot_be_used_is_said_in_a_sentence_without_the_key() {
        let own = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (own.cert.pem(), own.signing_key.serialize_pem());
        let other = KeyPair::generate().unwrap().serialize_pem();
        let read = |cert: &str, key: &str| TlsMaterial::from_pem(cert.as_bytes(), key.as_bytes(), Clock::system());
        assert!(read(&cert, &key).is_ok());
        let cut = &cert[..cert.len() / 2];
        for (cert, key, sentence) in [
            ("", key.as_str(), "holds no certificate"),
            (cut, key.as_str(), "certificate"),
            (&cert, "", "no private key"),
            (&cert, &cert, "no private key"),
            (&cert, &other, "doesn't belong to the certificate"),
        ] {
            let said = read(cert, key).unwrap_err().to_string();
            assert!(said.contains(sentence), "{said}");
            assert!(!key.lines().any(|line| said.contains(line)), "{said}");
        }
        let good = read(&cert, &key).unwrap();
        assert!(!format!("{good:?}").contains("PRIVATE"));
        assert!(good.clone().asking(Asked::Must, b"").unwrap_err().to_string().contains("holds no certificate"));
        assert!(good.asking(Asked::Must, cert.as_bytes()).unwrap().verifier.is_some());
    }
}
