//! What a client shows to say who it is.

use std::net::IpAddr;

use headwater_event::Text;

use super::secret::Secret;

/// The user name that says "the password is a token", for protocols that have no other place for one.
pub const BEARER: &str = "bearer";

/// What a connection shows before its first operation. Every edge hands these to [`Hub::authenticate`](crate::Hub::authenticate),
/// also when there is nothing to show.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// What is shown.
    pub proof: Proof,
    /// The client id, where the protocol has one. It proves nothing, but rules may name it.
    pub client_id: Option<Text>,
    /// Where the connection comes from: attempts are counted by it.
    pub peer: IpAddr,
}

/// What is shown.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Nothing.
    None,
    /// A name and what only its owner knows.
    Password {
        /// Who it claims to be.
        user: Text,
        /// What shows it.
        password: Secret,
    },
    /// A signed token that says who it is.
    Token(Secret),
    /// A client certificate that was verified: the names in it (subject alternative names), each as it stands there.
    Certificate {
        /// The names.
        names: Vec<Text>,
    },
}

impl Credentials {
    /// Nothing is shown.
    #[must_use]
    pub const fn none(peer: IpAddr) -> Self {
        Self { proof: Proof::None, client_id: None, peer }
    }
}

impl Proof {
    /// What a protocol with a user name and a password shows (MQTT's CONNECT, HTTP's Basic).
    ///
    /// A password alone, or with the user name [`BEARER`], is a token. A name alone proves nothing and is refused as a
    /// wrong password is.
    #[must_use]
    pub fn from_login(user: Option<Text>, password: Option<Secret>) -> Self {
        match (user, password) {
            (None, None) => Self::None,
            (None, Some(token)) => Self::Token(token),
            (Some(user), Some(token)) if user.as_str() == BEARER => Self::Token(token),
            (Some(user), password) => {
                Self::Password { user, password: password.unwrap_or_else(|| Secret::new(Vec::new())) }
            }
        }
    }

    /// What a protocol with one field shows (the frames' HELLO): nothing, `USER:PASSWORD`, or a token, which has no colon.
    #[must_use]
    pub fn from_field(field: Secret) -> Self {
        let bytes = field.reveal();
        if bytes.is_empty() {
            return Self::None;
        }
        let Some(colon) = bytes.iter().position(|byte| *byte == b':') else { return Self::Token(field) };
        // A name that is no text is nobody's.
        let user = std::str::from_utf8(&bytes[..colon]).map_or_else(|_| Text::default(), Text::from);
        Self::Password { user, password: Secret::new(&bytes[colon + 1..]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(proof: &Proof) -> String {
        let secret = |secret: &Secret| secret.reveal_text().unwrap().to_owned();
        match proof {
            Proof::None => "none".into(),
            Proof::Password { user, password } => format!("{user} with {}", secret(password)),
            Proof::Token(token) => format!("token {}", secret(token)),
            Proof::Certificate { names } => format!("{names:?}"),
        }
    }

    #[test]
    fn a_name_and_a_password_say_what_they_are() {
        let login = |user: Option<&str>, password: Option<&str>| {
            said(&Proof::from_login(user.map(Text::from), password.map(Secret::new)))
        };
        assert_eq!(login(None, None), "none");
        assert_eq!(login(None, Some("ey")), "token ey");
        assert_eq!(login(Some("bearer"), Some("ey")), "token ey");
        assert_eq!(login(Some("ada"), Some("x")), "ada with x");
        assert_eq!(login(Some("ada"), None), "ada with ");
    }

    #[test]
    fn one_field_holds_either() {
        let field = |text: &str| said(&Proof::from_field(Secret::new(text)));
        assert_eq!(field(""), "none");
        assert_eq!(field("ey.ey.xx"), "token ey.ey.xx");
        assert_eq!(field("ada:x:y"), "ada with x:y");
        assert_eq!(said(&Proof::from_field(Secret::new(*b"\xff:x"))), " with x");
    }
}
