//! The certificates that listeners show: read, made, and kept current while the hub runs.

mod auto;
mod current;
mod files;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use headwater_edge::tls::Tls;
use headwater_event::Clock;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

use crate::config::{Cert, Config};
use crate::exit;
pub use current::keep_current;
pub use files::{Files, Stamp};

/// Reads the certificates that the settings name, or makes them; `None` when nobody speaks TLS.
///
/// # Errors
/// Usage, where files can't be used; otherwise when a certificate can't be made in the data folder.
pub fn open(config: &Config, folder: &Path, clock: &Clock) -> anyhow::Result<Option<(Arc<Tls>, Files, Stamp)>> {
    let (cert, key) = match (&config.tls.cert, &config.tls.key) {
        (Cert::Off, _) => return Ok(None),
        (Cert::Auto, _) => auto::in_folder(folder, config, clock).context("can't make a certificate (--tls auto)")?,
        (Cert::File(cert), key) => (cert.clone(), key.clone().context("a certificate needs its key")?),
    };
    let client_ca = config.tls.client_ca.clone();
    let files = Files { cert, key, client_ca, asked: config.tls.client_cert, clock: clock.clone() };
    // Before it is read: a change meanwhile is found later.
    let stamp = files.stamp();
    let material = files.read().map_err(|error| exit::Usage(format!("{error:#}")))?;
    let tls = Tls::new(&material, config.tls.settings).map_err(|error| exit::Usage(error.to_string()))?;
    let print = fingerprint(material.own_certificate());
    let cert = files.cert.display();
    if config.tls.cert == Cert::Auto {
        tracing::warn!(
            "TLS with a certificate that this hub made for itself, for development: clients have no reason to believe it but \
             its fingerprint. SHA-256 {print}; in {cert}, for `curl --cacert` and `headwater pub --ca`"
        );
    } else {
        tracing::info!("TLS with the certificate in {cert}, SHA-256 {print}");
    }
    Ok(Some((tls, files, stamp)))
}

/// As browsers and `openssl x509 -fingerprint -sha256` show it.
fn fingerprint(certificate: &[u8]) -> String {
    // The hash of the suite that every TLS 1.3 has; nothing else of it is used.
    let rustls::SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 else { return String::new() };
    let hash = suite.common.hash_provider.hash(certificate);
    hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}
