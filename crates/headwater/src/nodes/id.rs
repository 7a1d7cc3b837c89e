//! What a node is called: the same after every restart in its place, and no level of a topic more.

use rustix::system::uname;

use crate::config::Role;

/// The word for a name that the program makes.
pub const AUTO: &str = "auto";

/// The longest name: a host's name may have 64 bytes, and a list of roles as many.
const LEN_MAX: usize = 128;

/// Whether this can be a node's name.
///
/// # Errors
/// A sentence that says what a name is.
pub fn check_id(id: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > LEN_MAX || !id.bytes().all(is_plain) {
        return Err(format!("a node's name is 1 to {LEN_MAX} letters, digits, `-`, `_` and `.`"));
    }
    Ok(())
}

/// The name of a process that was given none: its host, its roles, and what tells its place there from others'.
pub fn made_of(roles: &[Role], place: &str) -> String {
    let host = uname().nodename().to_string_lossy().into_owned();
    let host = host.split('.').next().unwrap_or_default();
    let roles = Role::show(roles).replace(',', ".");
    let plain = |text: &str, max: usize| -> String {
        let kept =
            text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' });
        kept.take(max).collect()
    };
    let (host, place) = (plain(if host.is_empty() { "host" } else { host }, 48), plain(place, 12));
    format!("{host}-{}-{place}", plain(&roles, LEN_MAX - host.len() - place.len() - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_name_is_one_that_could_be_given() {
        for (roles, place) in [(&Role::ALL[..], "3fa9c2d1"), (&Role::ALL[1..], "ü/+#x"), (&[], "1")] {
            let id = made_of(roles, place);
            assert_eq!(check_id(&id), Ok(()), "{id}");
        }
        assert!(made_of(&[Role::Front, Role::Order], "1").ends_with("-front.order-1"));
    }

    #[test]
    fn a_name_is_one_level_of_a_topic() {
        for id in ["", "a/b", "+", "#", "a b", "ü", "{user}", "$x", &"x".repeat(LEN_MAX + 1)] {
            assert!(check_id(id).is_err(), "{id}");
        }
        assert_eq!(check_id("web-1.eu_2"), Ok(()));
    }
}
