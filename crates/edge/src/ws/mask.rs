//! Taking the mask off a client's bytes (RFC 6455 section 5.3).

/// Takes the mask off, in place. `done` is how many bytes of this frame were unmasked before these.
///
/// Eight bytes at a step: the compiler makes wide moves of it, and the cost stays far below that of the UTF-8 check.
pub fn unmask(bytes: &mut [u8], mask: [u8; 4], done: usize) {
    let mut turned = mask;
    turned.rotate_left(done % 4);
    let [a, b, c, d] = turned;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(turned.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_cut_gives_what_one_byte_at_a_time_gives(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            mask: [u8; 4],
            cut in 0..100_usize,
        ) {
            let plain: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
            let mut masked = bytes.clone();
            let cut = cut.min(masked.len());
            let (head, tail) = masked.split_at_mut(cut);
            unmask(head, mask, 0);
            unmask(tail, mask, cut);
            prop_assert_eq!(masked, plain);
        }
    }
}
