//! Who is at the other end, as far as its certificate was checked.

use headwater_event::Text;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// How many names of one certificate are kept: a certificate names a few, and a rule looks at each.
const NAMES_MAX: usize = 64;

/// What is known of a client from its TLS handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPeer {
    /// The names of its verified certificate: DNS names and URIs of the "subject alternative name" extension, exactly as
    /// they stand there. Empty when it showed no certificate. The two kinds can't be taken for each other, as a URI has a
    /// colon. A pattern (`*.example.com`) is nobody's name and is left out; so is the subject, which has no one spelling.
    pub sans: Vec<Text>,
}

impl TlsPeer {
    /// From the chain that was verified, its own certificate first.
    pub(super) fn from_chain(chain: Option<&[CertificateDer<'_>]>) -> Self {
        let Some(own) = chain.and_then(|chain| chain.first()) else { return Self::default() };
        // It was read once, when it was verified.
        let Ok(own) = EndEntityCert::try_from(own) else { return Self::default() };
        let names = own.valid_dns_names().chain(own.valid_uri_names());
        Self { sans: names.filter(|name| is_name(name)).take(NAMES_MAX).map(Text::from).collect() }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '*' || c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_certificate_gives_its_exact_names_and_no_patterns() {
        let mut params = CertificateParams::new(vec!["device-7.example.com".into(), "*.example.com".into()]).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://fleet/robot/7".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("urn:a b".try_into().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("who@example.com".try_into().unwrap()));
        let own = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let peer = TlsPeer::from_chain(Some(&[own.der().clone()]));
        assert_eq!(peer.sans, ["device-7.example.com", "spiffe://fleet/robot/7"].map(Text::from));
        assert_eq!(TlsPeer::from_chain(None).sans, []);
        assert_eq!(TlsPeer::from_chain(Some(&[])).sans, []);
    }
}
