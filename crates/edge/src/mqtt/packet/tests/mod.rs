//! Tests over all packet kinds.

mod first_bytes;
mod given;
mod malformed;
mod pieces;
mod round_trips;
mod written;

use bytes::BytesMut;

use super::*;

const PACKET_MAX: usize = 1_024 * 1_024;

/// A decoder behind an accepted CONNECT, or with `None` before it.
fn decoder(version: Option<Version>) -> Decoder {
    let mut decoder = Decoder::new();
    if let Some(version) = version {
        decoder.set(version, PACKET_MAX);
    }
    decoder
}

/// A client's decoder behind CONNACK.
fn client_decoder(version: Version) -> ClientDecoder {
    let (mut decoder, mut buffer) = (ClientDecoder::new(version, PACKET_MAX), BytesMut::new());
    let mut bytes = Vec::new();
    ConnAck::because(Reason::SUCCESS).encode(version, &mut bytes).unwrap();
    buffer.extend_from_slice(&bytes);
    assert!(matches!(decoder.next(&mut buffer), Ok(Some(FromServer::ConnAck(_)))));
    decoder
}

/// What a server makes of these bytes.
fn heard(version: Option<Version>, bytes: &[u8]) -> Result<Option<Packet>, Reason> {
    decoder(version).next(&mut BytesMut::from(bytes)).map_err(|fault| fault.reason)
}

/// What a client makes of these bytes behind CONNACK.
fn heard_by_client(version: Version, bytes: &[u8]) -> Result<Option<FromServer>, Reason> {
    client_decoder(version).next(&mut BytesMut::from(bytes)).map_err(|fault| fault.reason)
}

/// A packet of this first byte around this body.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let (len, used) = varint::bytes(u32::try_from(body.len()).unwrap());
    bytes.extend_from_slice(&len[..used]);
    bytes.extend_from_slice(body);
    bytes
}
