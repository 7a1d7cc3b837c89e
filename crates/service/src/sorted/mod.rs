//! Several processes for one service, with the order of each key kept: events are sorted into parts, and a part is one process's.
//!
//! One process, the sorter, takes events from the service's group and writes them into a table, each into the part that follows
//! from its key; then they're settled. Whoever has a part reads it in its order and hands it to its worker, who sees a group's
//! member like any other. So the bus is read once, whatever number of processes there is; a part changes hands within one
//! store, by a row, and what the one before had out is read again by the next in its order, on every engine.

mod share;
mod sorter;

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

pub(crate) use self::share::{Control, Share};
pub(crate) use self::sorter::Sorter;

/// Which part a key belongs to: SipHash-2-4 of its bytes with this key, modulo the number of parts. It never changes: what is sorted
/// already would be in other parts then.
pub(crate) fn part_of_key(key: &[u8], parts: u32) -> u32 {
    let mut hasher = SipHasher24::new_with_key(b"headwater/parts/");
    hasher.write(key);
    u32::try_from(hasher.finish() % u64::from(parts.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_in_the_part_in_which_it_was_ever() {
        let parts = ["", "anna", "order/17", "ä"].map(|key| part_of_key(key.as_bytes(), 8));
        assert_eq!(parts, KNOWN);
        let mut counts = [0; 8];
        for n in 0..8_000 {
            counts[part_of_key(format!("order/{n}").as_bytes(), 8) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    /// Written down when the hash was chosen.
    const KNOWN: [u32; 4] = [0, 0, 5, 3];
}
