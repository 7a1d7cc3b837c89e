//! The small pieces that group records and the checkpoint's group section are written with.

/// What is wrong with stored bytes: a name of the part that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broken: {0}")]
pub(crate) struct Broken(pub(crate) &'static str);

/// The most bytes of a number: ten times seven bits hold 64.
const VARINT_LEN_MAX: usize = 10;

/// Adds a number as LEB128: seven bits a byte, the lowest first, the top bit set on all but the last.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Adds a text with its length in bytes before it.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// A reader over stored bytes that believes no length.
pub(crate) struct Cut<'a> {
    rest: &'a [u8],
}

impl<'a> Cut<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.rest.split_first().ok_or(Broken("ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0_u64;
        for at in 0..VARINT_LEN_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            // The tenth byte has room for one bit only.
            if at == VARINT_LEN_MAX - 1 && bits > 1 {
                return Err(Broken("a number beyond 64 bits"));
            }
            value |= bits << (7 * at);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Broken("a number without an end"))
    }

    pub(crate) fn varint_u32(&mut self) -> Result<u32, Broken> {
        u32::try_from(self.varint()?).map_err(|_| Broken("a number beyond 32 bits"))
    }

    /// A count of things of which each takes at least one byte, so that it can't claim more than there is.
    pub(crate) fn count(&mut self, max: usize) -> Result<usize, Broken> {
        let count = usize::try_from(self.varint()?).map_err(|_| Broken("a count"))?;
        if count > max || count > self.rest.len() { Err(Broken("a count")) } else { Ok(count) }
    }

    pub(crate) fn text(&mut self, len_max: usize) -> Result<&'a str, Broken> {
        let len = self.count(len_max)?;
        let (text, rest) = self.rest.split_at_checked(len).ok_or(Broken("ends too early"))?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| Broken("a text that is not UTF-8"))
    }

    /// Checks that nothing follows.
    pub(crate) fn end(&self) -> Result<(), Broken> {
        if self.rest.is_empty() { Ok(()) } else { Err(Broken("more than was expected")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_none_is_longer_than_64_bits() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut cut = Cut::new(&bytes);
            assert_eq!(cut.varint(), Ok(value));
            assert_eq!(cut.end(), Ok(()));
        }
        assert!(Cut::new(&[&[0xFF; 9][..], &[2]].concat()).varint().is_err());
        assert!(Cut::new(&[0x80; 11]).varint().is_err());
    }
}
