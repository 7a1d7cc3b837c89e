//! PINGREQ and PINGRESP (sections 3.12 and 3.13): a head and no more.

use super::Kind;

/// Appends a PINGREQ.
pub fn encode_ping_req(out: &mut Vec<u8>) {
    out.extend_from_slice(&[Kind::PingReq.first_byte(), 0]);
}

/// Appends a PINGRESP.
pub fn encode_ping_resp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[Kind::PingResp.first_byte(), 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_two_bytes() {
        let mut out = Vec::new();
        encode_ping_req(&mut out);
        encode_ping_resp(&mut out);
        assert_eq!(out, [0xC0, 0, 0xD0, 0]);
    }
}
