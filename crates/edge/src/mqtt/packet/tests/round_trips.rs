//! What is written is read as it was.

use proptest::prelude::*;

use super::given;
use super::*;

fn versioned<T>(of: impl Fn(Version) -> BoxedStrategy<T>) -> impl Strategy<Value = (Version, T)>
where
    T: std::fmt::Debug + Clone + 'static,
{
    given::version().prop_flat_map(move |version| (Just(version), of(version)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn a_clients_packet_is_read_as_it_was_written((version, packet) in versioned(given::from_client)) {
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).unwrap();
        prop_assert_eq!(heard(Some(version), &bytes), Ok(Some(packet)));
    }

    #[test]
    fn a_connect_is_read_as_it_was_written((_, connect) in versioned(|version| given::connect(version).boxed())) {
        let mut bytes = Vec::new();
        connect.encode(&mut bytes).unwrap();
        prop_assert_eq!(heard(None, &bytes), Ok(Some(Packet::Connect(Box::new(connect)))));
    }

    #[test]
    fn a_servers_packet_is_read_as_it_was_written((version, packet) in versioned(given::from_server)) {
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).unwrap();
        prop_assert_eq!(heard_by_client(version, &bytes), Ok(Some(packet)));
    }

    #[test]
    fn a_connack_is_read_as_it_was_written((version, connack) in versioned(given::connack)) {
        let mut bytes = Vec::new();
        connack.encode(version, &mut bytes).unwrap();
        let read = ClientDecoder::new(version, PACKET_MAX).next(&mut BytesMut::from(&bytes[..]));
        prop_assert_eq!(read, Ok(Some(FromServer::ConnAck(Box::new(connack)))));
    }

    #[test]
    fn a_publication_has_the_length_that_was_said(
        (version, publish) in versioned(|version| given::publish(version, true).boxed()),
    ) {
        let (mut bytes, before) = (vec![0; 7], 7);
        let packet_id_at = encode_publish(version, &publish.parts(), &mut bytes).unwrap();
        prop_assert_eq!(publish_len(version, &publish.parts()), Ok(bytes.len() - before));
        if publish.qos != Qos::AtMostOnce {
            prop_assert_eq!(&bytes[packet_id_at..packet_id_at + 2], &publish.packet_id.to_be_bytes()[..]);
        }
    }
}
