//! UTF-8 checked as it comes, so that a broken text is refused at its first wrong byte (RFC 6455 section 8.1).

/// The text is not UTF-8, whatever may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

/// What is left of a text that was cut in the middle of a character.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    cut: [u8; 4],
    len: u8,
}

impl Utf8 {
    /// The beginning of a text.
    #[must_use]
    pub const fn new() -> Self {
        Self { cut: [0; 4], len: 0 }
    }

    /// Checks the next bytes of the text.
    ///
    /// # Errors
    /// At the first byte that can't stand in any UTF-8 text after what came before.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), NotUtf8> {
        while self.len > 0 {
            let Some((first, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            self.push(*first)?;
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(NotUtf8),
            // At most three bytes of a character that goes on in the next piece.
            Err(error) => bytes[error.valid_up_to()..].iter().try_for_each(|byte| self.push(*byte)),
        }
    }

    /// Whether the text may end here.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, byte: u8) -> Result<(), NotUtf8> {
        let len = usize::from(self.len);
        *self.cut.get_mut(len).ok_or(NotUtf8)? = byte;
        self.len += 1;
        match std::str::from_utf8(&self.cut[..=len]) {
            Ok(_) => self.len = 0,
            Err(error) if error.error_len().is_some() => return Err(NotUtf8),
            Err(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_wrong_byte_is_found_at_once() {
        for (good, bad) in [
            (&b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"[..], 0xff),
            (b"\xed", 0xa0),     // a surrogate
            (b"\xf4", 0x90),     // above U+10FFFF
            (b"\xe0", 0x80),     // longer than needed
            (b"\xf0\x9f", 0x20), // cut by another character
        ] {
            let mut utf8 = Utf8::default();
            for byte in good {
                utf8.feed(&[*byte]).unwrap();
            }
            assert_eq!(utf8.feed(&[bad]), Err(NotUtf8), "{good:x?} {bad:x}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_judged_as_the_whole(
            text in prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                prop::collection::vec(prop::sample::select(vec![0x41, 0x80, 0xbf, 0xc3, 0xe0, 0xed, 0xf0, 0xf4]), 0..8),
            ],
            step in 1..7_usize,
        ) {
            let mut utf8 = Utf8::default();
            let fed = text.chunks(step).try_for_each(|piece| utf8.feed(piece));
            prop_assert_eq!(fed.is_ok() && utf8.is_whole(), std::str::from_utf8(&text).is_ok());
        }
    }
}
