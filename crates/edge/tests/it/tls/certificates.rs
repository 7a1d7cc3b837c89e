//! Who is let in by which certificate, and what the edge learns of it.

use headwater_edge::tls::{Asked, Spoken, TlsSettings};

use super::authority::Authority;
use super::{Client, Place};

fn asking(asked: Asked) -> Place {
    Place::with(TlsSettings::default(), Spoken::Frames, |authority, material| {
        material.asking(asked, authority.pem.as_bytes()).unwrap()
    })
}

/// Whether a client gets as far as to be echoed. (In TLS 1.3 a client's own handshake is over before it's judged.)
fn comes_in(place: &Place, config: rustls::ClientConfig) -> Option<Client> {
    let mut client = place.client_with(config).ok()?;
    client.say(b"in");
    assert_eq!(client.hear(2), b"in");
    Some(client)
}

#[test]
fn the_edge_learns_the_exact_names_of_a_verified_certificate() {
    let place = asking(Asked::Must);
    let shown = place.authority.certificate(&["robot-7.fleet", "*.fleet"], &["spiffe://fleet/robot/7"], false);
    let client = comes_in(&place, place.authority.trust_showing(&shown)).expect("a good certificate");
    assert_eq!(client.names, "robot-7.fleet,spiffe://fleet/robot/7");
}

#[test]
fn who_shows_no_certificate_comes_in_only_where_it_may() {
    let place = asking(Asked::May);
    assert_eq!(comes_in(&place, place.authority.trust()).expect("it may").names, "");
    let place = asking(Asked::Must);
    assert!(comes_in(&place, place.authority.trust()).is_none());
    place.wait_until_empty();
    assert_eq!(place.counts.handshakes_failed(), 1);
}

#[test]
fn a_certificate_of_another_authority_or_out_of_its_time_is_refused_even_where_none_is_needed() {
    let place = asking(Asked::May);
    let stranger = Authority::new().certificate(&["robot-7.fleet"], &[], false);
    assert!(comes_in(&place, place.authority.trust_showing(&stranger)).is_none());
    let old = place.authority.certificate(&["robot-7.fleet"], &[], true);
    assert!(comes_in(&place, place.authority.trust_showing(&old)).is_none());
    place.wait_until_empty();
    assert_eq!(place.counts.handshakes_failed(), 2);
    let good = place.authority.certificate(&["robot-7.fleet"], &[], false);
    assert!(comes_in(&place, place.authority.trust_showing(&good)).is_some());
}

#[test]
fn a_client_certificate_is_shown_anew_on_each_connection() {
    let place = asking(Asked::Must);
    let shown = place.authority.certificate(&["robot-7.fleet"], &[], false);
    let config = place.authority.trust_showing(&shown);
    for _ in 0..2 {
        let client = comes_in(&place, config.clone()).expect("a good certificate");
        assert_eq!(client.wire.conn.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
    // Without client certificates, who comes back is spared the costly half.
    let place = Place::new();
    let config = place.authority.trust();
    let kinds =
        [(); 2].map(|()| comes_in(&place, config.clone()).expect("nothing is asked").wire.conn.handshake_kind());
    assert_eq!(kinds, [Some(rustls::HandshakeKind::Full), Some(rustls::HandshakeKind::Resumed)]);
}

#[test]
fn certificates_are_replaced_while_connections_live() {
    let place = Place::new();
    let mut before = place.client();
    let next = Authority::new();
    place.tls.replace(&next.server()).unwrap();
    before.say(b"still here");
    assert_eq!(before.hear(10), b"still here");
    assert!(place.client_with(place.authority.trust()).is_err(), "a newcomer still sees the old certificate");
    let mut after = place.client_with(next.trust()).unwrap();
    after.say(b"new");
    assert_eq!(after.hear(3), b"new");
}

#[test]
fn a_protocol_that_is_not_spoken_here_is_refused_and_none_is_fine() {
    let place = Place::with(TlsSettings::default(), Spoken::Http, |_, material| material);
    let asking_for = |names: &[&str]| {
        let mut config = place.authority.trust();
        config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        comes_in(&place, config).map(|client| client.wire.conn.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(asking_for(&[]), Some(None));
    assert_eq!(asking_for(&["h2", "http/1.1"]), Some(Some(b"http/1.1".to_vec())));
    assert_eq!(asking_for(&["h2"]), None);
    assert_eq!(asking_for(&["mqtt"]), None);
}
