//! However the network cuts the bytes, the packets are the same.

use bytes::BufMut as _;
use proptest::prelude::*;

use super::given;
use super::*;

/// What comes of these bytes when they come in pieces of these sizes, up to the first fault.
fn in_pieces(version: Option<Version>, bytes: &[u8], cuts: &[usize]) -> (Vec<Packet>, Option<Reason>) {
    let (mut decoder, mut buffer, mut packets) = (decoder(version), BytesMut::new(), Vec::new());
    let (mut rest, mut cuts) = (bytes, cuts.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*cuts.next().unwrap()).clamp(1, rest.len()));
        buffer.put_slice(piece);
        rest = after;
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(fault) => return (packets, Some(fault.reason)),
            }
            if version.is_none() {
                return (packets, None);
            }
        }
        assert!(!decoder.holds_packets());
    }
    (packets, None)
}

fn conversation() -> impl Strategy<Value = (Version, Vec<Packet>)> {
    given::version().prop_flat_map(|version| (Just(version), prop::collection::vec(given::from_client(version), 1..8)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn packets_are_the_same_in_any_pieces(
        (version, packets) in conversation(),
        cuts in prop::collection::vec(1..60_usize, 1..20),
    ) {
        let mut bytes = Vec::new();
        for packet in &packets {
            packet.encode(version, &mut bytes).unwrap();
        }
        let expected = (packets, None);
        prop_assert_eq!(&in_pieces(Some(version), &bytes, &[bytes.len()]), &expected);
        prop_assert_eq!(&in_pieces(Some(version), &bytes, &[1]), &expected);
        prop_assert_eq!(&in_pieces(Some(version), &bytes, &cuts), &expected);
    }

    #[test]
    fn a_packet_cut_anywhere_is_waited_for(
        (version, packet) in given::version().prop_flat_map(|version| (Just(version), given::from_client(version))),
        connect in given::version().prop_flat_map(given::connect),
    ) {
        let (mut bytes, mut first) = (Vec::new(), Vec::new());
        packet.encode(version, &mut bytes).unwrap();
        connect.encode(&mut first).unwrap();
        for cut in 0..bytes.len() {
            prop_assert_eq!(heard(Some(version), &bytes[..cut]), Ok(None), "cut at {}", cut);
        }
        for cut in 0..first.len() {
            prop_assert_eq!(heard(None, &first[..cut]), Ok(None), "cut at {}", cut);
        }
    }

    #[test]
    fn a_servers_packet_cut_anywhere_is_waited_for(
        (version, packet) in given::version().prop_flat_map(|version| (Just(version), given::from_server(version))),
    ) {
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).unwrap();
        for cut in 0..bytes.len() {
            prop_assert_eq!(heard_by_client(version, &bytes[..cut]), Ok(None), "cut at {}", cut);
        }
    }

    #[test]
    fn broken_bytes_are_judged_the_same_in_any_pieces(
        (version, packets) in conversation(),
        breaks in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cuts in prop::collection::vec(1..60_usize, 1..20),
    ) {
        let mut bytes = Vec::new();
        for packet in &packets {
            packet.encode(version, &mut bytes).unwrap();
        }
        for (at, byte) in breaks {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = in_pieces(Some(version), &bytes, &[bytes.len()]);
        prop_assert_eq!(&in_pieces(Some(version), &bytes, &[1]), &whole);
        prop_assert_eq!(&in_pieces(Some(version), &bytes, &cuts), &whole);
    }

    #[test]
    fn any_bytes_are_survived(
        first in any::<u8>(),
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let bytes = packet(first, &bytes);
        for version in [None, Some(Version::V311), Some(Version::V5)] {
            let _ = in_pieces(version, &bytes, &[bytes.len()]);
        }
        for version in [Version::V311, Version::V5] {
            let _ = heard_by_client(version, &bytes);
        }
    }
}

#[test]
fn good_packets_before_a_bad_one_still_count() {
    let bytes = [&[0xC0, 0, 0xC0, 0][..], &[0x36, 0]].concat();
    let expected = (vec![Packet::PingReq, Packet::PingReq], Some(Reason::MALFORMED_PACKET));
    assert_eq!(in_pieces(Some(Version::V5), &bytes, &[6]), expected);
}

#[test]
fn what_follows_connect_waits_until_its_version_is_set() {
    let (mut decoder, mut buffer) = (Decoder::new(), BytesMut::new());
    buffer.put_slice(&packet(0x10, b"\0\x04MQTT\x04\x02\0\0\0\0"));
    buffer.put_slice(&[0xC0, 0]);
    assert!(matches!(decoder.next(&mut buffer), Ok(Some(Packet::Connect(_)))));
    assert_eq!(&buffer[..], [0xC0, 0]);
    assert!(!decoder.holds_packets());
    decoder.set(Version::V311, PACKET_MAX);
    assert_eq!(decoder.next(&mut buffer), Ok(Some(Packet::PingReq)));
    assert_eq!(decoder.next(&mut buffer), Ok(None));
}

#[test]
fn a_declared_length_reserves_nothing() {
    // A PUBLISH of 256 MB, of which nothing comes.
    let (mut decoder, mut buffer) = (Decoder::new(), BytesMut::with_capacity(64));
    decoder.set(Version::V5, usize::MAX);
    buffer.put_slice(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0]);
    assert_eq!(decoder.next(&mut buffer), Ok(None));
    assert_eq!(buffer.capacity(), 64);
}

#[test]
fn topics_and_payloads_are_slices_of_the_read_buffer() {
    let bytes = packet(0x30, b"\0\x03a/bpayload");
    let mut buffer = BytesMut::from(&bytes[..]);
    let place = buffer.as_ptr() as usize;
    let Ok(Some(Packet::Publish(publish))) = decoder(Some(Version::V311)).next(&mut buffer) else { panic!() };
    assert_eq!(publish.topic.as_bytes().as_ptr() as usize, place + 4);
    assert_eq!(publish.payload.as_ptr() as usize, place + 7);
}

#[test]
fn the_read_buffer_is_free_again_when_its_packets_are_gone() {
    let bytes = packet(0x30, &[b"\0\x03a/b", &[7; 200][..]].concat());
    let (mut decoder, mut buffer) = (decoder(Some(Version::V311)), BytesMut::with_capacity(1_024));
    let memory = buffer.as_ptr_range().start as usize..buffer.as_ptr_range().start as usize + 1_024;
    for round in 0..100 {
        buffer.reserve(bytes.len() * 2);
        buffer.put_slice(&bytes);
        buffer.put_slice(&bytes);
        assert!(memory.contains(&(buffer.as_ptr() as usize)), "round {round} needs other memory");
        while let Ok(Some(packet)) = decoder.next(&mut buffer) {
            drop(packet);
        }
        assert!(buffer.is_empty() && !decoder.holds_packets());
    }
}

#[test]
fn a_packet_is_small_enough_to_be_handed_on() {
    assert!(size_of::<Packet>() <= 88, "{}", size_of::<Packet>());
    assert!(size_of::<Decoder>() <= 56, "{}", size_of::<Decoder>());
}
