//! An authority that makes certificates as a test wants them.

use std::sync::Arc;

use headwater_edge::tls::TlsMaterial;
use headwater_event::Clock;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub pem: String,
}

/// A certificate and its key, in PEM.
pub struct Shown {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate with these names; an ending in the past where `is_old`.
    pub fn certificate(&self, dns: &[&str], uris: &[&str], is_old: bool) -> Shown {
        let mut params = CertificateParams::new(dns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        if is_old {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Shown { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// What a server on this machine shows.
    pub fn server(&self) -> TlsMaterial {
        let Shown { cert, key } = self.certificate(&["localhost"], &[], false);
        TlsMaterial::from_pem(cert.as_bytes(), key.as_bytes(), Clock::system()).unwrap()
    }

    /// A client that believes this authority and shows nothing.
    pub fn trust(&self) -> ClientConfig {
        let builder = client();
        builder.with_root_certificates(self.roots()).with_no_client_auth()
    }

    /// A client that believes this authority and shows this.
    pub fn trust_showing(&self, shown: &Shown) -> ClientConfig {
        let chain = CertificateDer::pem_slice_iter(shown.cert.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
        client().with_root_certificates(self.roots()).with_client_auth_cert(chain, key).unwrap()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        roots
    }
}

fn client() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}
