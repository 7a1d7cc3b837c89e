//! The names that a front gives to orders: one can tell by the name alone that a front has made it.
//!
//! A front answers `201` when the order is durable in the log, and the order service may be a moment (or an outage) behind.
//! Asked for such an order, a front must not say "there is none". It keeps nothing, and there may be several fronts, so the
//! name itself says it: the last 32 bits are a checksum of the rest. Such a name that the order service doesn't know (yet) has
//! the status `unknown`; any other that it doesn't know is 404. Who makes such a name up gets `unknown`, and has gained nothing.

use ring::digest::{Context, Digest, SHA256};
use uuid::{Builder, Uuid};

/// What the hashes begin with, so that other UUIDs don't fit by habit.
const CHECKSUM: &str = "headwater shop: checksum of an order's name";
const KEYED: &str = "headwater shop: an order's name by its key";
const SUM_AT: usize = 12;

/// A new name: ordered by time (UUID version 7), but for the checksum in its last 32 bits.
pub fn new() -> Uuid {
    sealed(*Uuid::now_v7().as_bytes())
}

/// The name that belongs to an `Idempotency-Key`: the same for the same caller and key, on every front and after every crash
/// (UUID version 8, RFC 9562 section 5.8). Nobody can choose a key that meets another caller's order.
pub fn for_key(who: &str, key: &str) -> Uuid {
    let digest = hashed(KEYED, &[&(who.len() as u64).to_be_bytes(), who.as_bytes(), key.as_bytes()]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    sealed(*Builder::from_custom_bytes(bytes).into_uuid().as_bytes())
}

/// Whether a front has made this name.
pub fn is_minted(text: &str) -> bool {
    let Ok(uuid) = Uuid::try_parse(text) else { return false };
    text.len() == 36 && matches!(uuid.get_version_num(), 7 | 8) && sealed(*uuid.as_bytes()) == uuid
}

fn sealed(mut bytes: [u8; 16]) -> Uuid {
    let digest = hashed(CHECKSUM, &[&bytes[..SUM_AT]]);
    bytes[SUM_AT..].copy_from_slice(&digest.as_ref()[..16 - SUM_AT]);
    Uuid::from_bytes(bytes)
}

fn hashed(domain: &str, parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(domain.as_bytes());
    parts.iter().for_each(|part| context.update(part));
    context.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_knows_the_names_that_fronts_have_made() {
        let names = [new(), new(), for_key("ada", "k"), for_key("bob", "k"), for_key("adak", "")];
        for (at, name) in names.iter().enumerate() {
            assert!(is_minted(&name.to_string()), "{name}");
            assert!(!names[..at].contains(name));
        }
        assert_eq!(for_key("ada", "k"), names[2]);
        for other in [Uuid::now_v7(), Uuid::new_v4(), Uuid::nil(), Uuid::max()] {
            assert!(!is_minted(&other.to_string()), "{other}");
        }
        for text in ["", "17", "nope", &names[0].simple().to_string(), &format!("{{{}}}", names[0])] {
            assert!(!is_minted(text), "{text}");
        }
    }
}
