//! What comes to a TLS port and is no handshake, or one that never ends.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use headwater_edge::tls::{Spoken, TlsSettings};

use super::{PATIENCE, Place, plain};

/// All that comes until the other side closes, and how long that took.
fn answer_to(place: &Place, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let begun = Instant::now();
    let mut socket = plain(place.addr);
    // The other side may have closed in the middle of it.
    let _ = socket.write_all(bytes);
    let mut heard = Vec::new();
    let _ = socket.read_to_end(&mut heard);
    (heard, begun.elapsed())
}

/// A record that holds a ClientHello whose best version is this (RFC 5246 section 7.4.1.2).
fn client_hello(version: [u8; 2]) -> Vec<u8> {
    let mut hello = version.to_vec();
    hello.extend([7; 32]); // random
    hello.push(0); // session id
    hello.extend([0, 4, 0xC0, 0x2F, 0, 0x2F]); // two suites
    hello.extend([1, 0]); // no compression
    hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]); // one extension: how it wants to be signed for
    let mut record = vec![0x16, 3, 1];
    record.extend((hello.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0, 0, hello.len() as u8]);
    record.extend(hello);
    record
}

#[test]
fn versions_before_1_2_are_refused_by_name() {
    let place = Place::new();
    for version in [[3, 0], [3, 1], [3, 2]] {
        let (heard, _) = answer_to(&place, &client_hello(version));
        // A fatal alert (2), "protocol_version" (70).
        assert_eq!((heard.first(), heard.get(5..7)), (Some(&0x15), Some(&[2, 70][..])), "{version:?}: {heard:?}");
    }
    place.wait_until_empty();
    assert_eq!(place.counts.handshakes_failed(), 3);
}

#[test]
fn plain_text_is_refused_at_once_and_http_in_its_own_words() {
    let place = Place::with(TlsSettings::default(), Spoken::Http, |_, material| material);
    let (heard, _) = answer_to(&place, b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n");
    let heard = String::from_utf8(heard).unwrap();
    assert!(heard.starts_with("HTTP/1.1 400 ") && heard.ends_with("as https\"}"), "{heard}");
    // MQTT, SSH and SSL 2 have no answer here.
    for bytes in [&b"\x10\x0c\0\x04MQTT"[..], b"ssh-2.0", b"\x80\x2e\x01\x03\x01", b"\0\0\0\0"] {
        assert_eq!(answer_to(&place, bytes).0, b"", "{bytes:?}");
    }
    let frames = Place::new();
    assert_eq!(answer_to(&frames, b"HWF1").0, b"");
    place.wait_until_empty();
    frames.wait_until_empty();
    assert_eq!((place.counts.handshakes_failed(), frames.counts.handshakes_failed()), (5, 1));
}

#[test]
fn garbage_behind_a_good_beginning_is_refused_and_harms_nobody() {
    let place = Place::new();
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let good = client_hello([3, 3]);
    for _ in 0..200 {
        let mut bytes = if random() % 2 == 0 { good.clone() } else { vec![0x16, 3, 1, 0, 200] };
        bytes.extend((0..random() % 300).map(|_| random() as u8));
        for _ in 0..random() % 4 {
            let at = random() as usize % bytes.len();
            bytes[at] = random() as u8;
        }
        let mut socket = plain(place.addr);
        let _ = socket.write_all(&bytes);
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    }
    let mut client = place.client();
    client.say(b"well");
    assert_eq!(client.hear(4), b"well");
    assert_eq!(place.counts.panicked(), 0);
}

#[test]
fn a_last_word_in_the_middle_of_a_handshake_ends_it() {
    let place = Place::new();
    // An alert: a warning (1), "close_notify" (0); more comes behind it.
    let alert = [0x15, 3, 3, 0, 2, 1, 0];
    let hello = client_hello([3, 3]);
    answer_to(&place, &[&[0x16, 3, 1, 0, 0], &alert[..], &hello].concat());
    answer_to(&place, &[&hello[..], &alert, &[0x16; 100]].concat());
    place.wait_until_empty();
    assert_eq!(place.counts.handshakes_failed(), 2);
}

#[test]
fn garbage_in_an_open_connection_ends_it_with_an_alert() {
    let place = Place::new();
    let mut client = place.client();
    client.wire.sock.write_all(&[0x17, 3, 3, 0, 32]).unwrap();
    client.wire.sock.write_all(&[0x5A; 32]).unwrap();
    let error = client.wire.read(&mut [0]).unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    place.wait_until_empty();
}

#[test]
fn a_handshake_that_declares_and_sends_too_much_ends_before_it_costs() {
    let place = Place::new();
    let mut socket = plain(place.addr);
    // A hello of 60,000 bytes, in records of the largest size.
    let mut bytes = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xEA, 0x60];
    bytes.extend([0; 16_384 - 4]);
    let begun = Instant::now();
    let _ = socket.write_all(&bytes);
    assert_eq!(socket.read(&mut [0]).unwrap_or(0), 0);
    place.wait_until_empty();
    assert!(begun.elapsed() < TlsSettings::HANDSHAKE, "it was time that ended it");
    assert_eq!(place.counts.handshakes_failed(), 1);
}

#[test]
fn a_handshake_that_never_ends_is_ended() {
    let short = TlsSettings { handshake: Duration::from_millis(200), ..TlsSettings::default() };
    let place = Place::with(short, Spoken::Frames, |_, material| material);
    let hello = client_hello([3, 3]);
    for sent in [&[][..], &hello[..1], &hello[..hello.len() - 1]] {
        let (heard, took) = answer_to(&place, sent);
        assert_eq!(heard, b"");
        assert!(took >= short.handshake && took < PATIENCE, "{took:?}");
    }
    // One that drips: each byte is good, and time runs all the same.
    let begun = Instant::now();
    let mut socket = plain(place.addr);
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    for byte in hello {
        if socket.write_all(&[byte]).is_err() || matches!(socket.read(&mut [0]), Ok(0)) {
            break;
        }
    }
    assert!(begun.elapsed() < PATIENCE);
    place.wait_until_empty();
    assert_eq!(place.counts.handshakes_failed(), 4);
}

#[test]
fn handshakes_beyond_the_limit_are_refused_at_once_and_a_place_is_given_back() {
    let one = TlsSettings { handshakes_max: 1, ..TlsSettings::default() };
    let place = Place::with(one, Spoken::Frames, |_, material| material);
    let mut half_open = plain(place.addr);
    half_open.write_all(&[0x16]).unwrap();
    while place.counts.open() == 0 {
        std::thread::yield_now();
    }
    while place.counts.handshakes_refused() == 0 {
        assert!(place.client_with(place.authority.trust()).is_err());
    }
    drop(half_open);
    place.wait_until_empty();
    let mut client = place.client();
    // An open connection is no handshake any more.
    let mut second = place.client();
    client.say(b"a");
    second.say(b"b");
    assert_eq!((client.hear(1), second.hear(1)), (b"a".to_vec(), b"b".to_vec()));
}
