//! What must never be shown: it can be compared and handed on, and nothing here prints it.

use std::fmt;

/// A password, a token, a key. It has no `Display`, its `Debug` shows three dots, and its bytes are overwritten when it is
/// dropped, so that it doesn't lie around in memory that is used for something else.
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes it over.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// What nobody else may see. The long name is there to be noticed where it's read.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// As [`reveal`](Self::reveal), where it is text.
    #[must_use]
    pub fn reveal_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing() {
        let shown = format!("{:?} {:#?}", Secret::new("canary"), Some(Secret::new("canary")));
        assert!(!shown.contains("canary"), "{shown}");
    }
}
