//! Which connections a person looks for.

use std::fmt;
use std::net::SocketAddr;

use super::Search;
use super::table::Entry;

/// A search, made ready to be asked of many.
pub(super) struct Sought<'a> {
    protocol: Option<&'a str>,
    text: &'a str,
    /// Writing an address costs more than all else, and most texts can't be the beginning of one.
    is_address: bool,
}

impl<'a> Sought<'a> {
    pub(super) fn new(search: Search<'a>) -> Self {
        let is_address = search.text.bytes().all(|byte| byte.is_ascii_hexdigit() || b".:[]".contains(&byte));
        Self { protocol: search.protocol, text: search.text, is_address }
    }

    pub(super) fn wants(&self, entry: &Entry) -> bool {
        if self.protocol.is_some_and(|protocol| protocol != entry.protocol) {
            return false;
        }
        self.text.is_empty()
            || entry.client.as_deref().is_some_and(|client| contains(client, self.text))
            || contains(entry.who.name(), self.text)
            || (self.is_address && begins(entry.peer(), self.text))
    }
}

/// Without regard to ASCII case.
fn contains(whole: &str, part: &str) -> bool {
    whole.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

/// Whether an address, as it is written, begins so; nothing is allocated for it.
fn begins(peer: SocketAddr, text: &str) -> bool {
    struct Rest<'t>(&'t [u8]);
    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, piece: &str) -> fmt::Result {
            let len = piece.len().min(self.0.len());
            if !piece.as_bytes()[..len].eq_ignore_ascii_case(&self.0[..len]) {
                return Err(fmt::Error);
            }
            self.0 = &self.0[len..];
            Ok(())
        }
    }
    let mut rest = Rest(text.as_bytes());
    fmt::write(&mut rest, format_args!("{peer}")).is_ok() && rest.0.is_empty()
}
