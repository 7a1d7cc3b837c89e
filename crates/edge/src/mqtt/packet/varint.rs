//! Variable byte integers (section 1.5.5): seven bits a byte, the lowest first, at most four bytes.

/// The largest that four bytes hold.
pub const MAX: u32 = 268_435_455;

/// The most bytes of one.
pub const LEN_MAX: usize = 4;

/// What the bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varint {
    /// A number, how many bytes it took, and whether fewer would have done.
    Whole {
        /// The number.
        value: u32,
        /// Its bytes.
        len: usize,
        /// Whether it has its shortest form.
        is_minimal: bool,
    },
    /// More bytes belong to it than have come.
    Cut,
    /// The fourth byte says that a fifth follows.
    TooLong,
}

/// Reads the one at the front.
pub fn read(bytes: &[u8]) -> Varint {
    let mut value = 0;
    for at in 0..LEN_MAX {
        let Some(&byte) = bytes.get(at) else { return Varint::Cut };
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Varint::Whole { value, len: at + 1, is_minimal: at == 0 || byte != 0 };
        }
    }
    Varint::TooLong
}

/// How many bytes its shortest form has.
pub const fn len(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Its shortest form, and how many of the bytes count. What is above [`MAX`] must have been refused before.
pub fn bytes(mut value: u32) -> ([u8; LEN_MAX], usize) {
    debug_assert!(value <= MAX);
    let (mut bytes, len) = ([0; LEN_MAX], len(value));
    for byte in &mut bytes[..len] {
        *byte = 0x80 | (value & 0x7F) as u8;
        value >>= 7;
    }
    bytes[len - 1] &= 0x7F;
    (bytes, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(value: u32, len: usize) -> Varint {
        Varint::Whole { value, len, is_minimal: true }
    }

    #[test]
    fn the_ends_of_each_length_are_written_as_in_table_1_1() {
        for (value, form) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (MAX, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let (bytes, used) = bytes(value);
            assert_eq!(&bytes[..used], form);
            assert_eq!(read(form), whole(value, form.len()));
            for cut in 0..form.len() {
                assert_eq!(read(&form[..cut]), Varint::Cut);
            }
        }
    }

    #[test]
    fn a_fifth_byte_is_never_waited_for() {
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x80]), Varint::TooLong);
        assert_eq!(read(&[0xFF, 0xFF, 0xFF, 0xFF, 0x01]), Varint::TooLong);
    }

    #[test]
    fn a_longer_form_than_needed_is_told_apart() {
        for form in [&[0x80, 0x00][..], &[0x81, 0x80, 0x00], &[0xFF, 0xFF, 0x80, 0x00]] {
            assert!(matches!(read(form), Varint::Whole { is_minimal: false, .. }), "{form:?}");
        }
    }
}
