//! `SCHEME://[USER:PASSWORD@]HOST[:PORT][?NAME=VALUE&...]`: where an engine is, and who we are there.

use std::fmt;

use crate::LinkError;

/// The longest id of an instance: with a group's name behind it a client id stays below what brokers take.
const ID_LEN_MAX: usize = 64;

/// A broker's address. Its spelling for people shows no password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub scheme: &'static str,
    pub host: String,
    pub port: u16,
    pub user: Option<String>,
    pub password: Option<String>,
    /// What stands behind the `?`, each name once.
    pub options: Vec<(String, String)>,
}

impl Address {
    /// Reads what stands behind `SCHEME://`, with the options that the engine has.
    ///
    /// # Errors
    /// Says what is wrong, without the password.
    pub(crate) fn read(scheme: &'static str, port: u16, known: &[&str], rest: &str) -> Result<Self, LinkError> {
        let default_port = port;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let place = place.trim_end_matches('/');
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            // An IPv6 address.
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None => default_port,
            Some(port) => port.parse().map_err(|_| LinkError::Url(format!("`{port}` is no port")))?,
        };
        if host.is_empty() || host.contains('/') {
            return Err(LinkError::Url("it names no host".into()));
        }
        let (user, password) = match login {
            None => (None, None),
            Some(login) => {
                let (user, password) = login.split_once(':').map_or((login, None), |(user, pw)| (user, Some(pw)));
                (Some(decoded(user)?), password.map(decoded).transpose()?)
            }
        };
        let mut options: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((name, value)) if known.contains(&name) && options.iter().all(|(other, _)| other != name) => {
                    options.push((name.into(), decoded(value)?));
                }
                _ => {
                    let name = pair.split('=').next().unwrap_or_default();
                    let known = known.join("`, `");
                    return Err(LinkError::Url(format!(
                        "`{name}` is no option of this engine, or twice; it has `{known}`"
                    )));
                }
            }
        }
        Ok(Self { scheme, host: host.into(), port, user, password, options })
    }

    /// The value of an option.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Only what every broker takes in a client id.
pub(crate) fn checked_id(id: &str) -> Result<String, LinkError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > ID_LEN_MAX || !id.bytes().all(fits) {
        return Err(LinkError::Url(format!("an id is 1 to {ID_LEN_MAX} letters, digits, `-`, `_` and `.`")));
    }
    Ok(id.into())
}

/// `%40` is `@`, and so on.
pub(crate) fn decoded(text: &str) -> Result<String, LinkError> {
    let wrong = || LinkError::Url("a `%` is followed by two hexadecimal digits of UTF-8 text".into());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(wrong()) };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.scheme, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rest: &str) -> Result<Address, LinkError> {
        Address::read("mqtt", 1_883, &["id"], rest)
    }

    #[test]
    fn addresses_are_read_and_shown_without_the_password() {
        let address = read("us%40er:p%3Aw@broker:1884?id=node-1").unwrap();
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("us@er"), Some("p:w")));
        assert_eq!((address.host.as_str(), address.port, address.option("id")), ("broker", 1_884, Some("node-1")));
        assert_eq!(format!("{address} {address:?}"), "mqtt://broker:1884 mqtt://broker:1884");
        assert_eq!(read("localhost").unwrap().to_string(), "mqtt://localhost:1883");
        assert_eq!(read("[::1]:5/").unwrap().to_string(), "mqtt://[::1]:5");
        assert_eq!(read("a@b").unwrap().password, None);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", ":1883", "host:port", "host:99999", "host?x=1", "host?id", "host?id=a&id=b", "u%4@host", "a/b"]
        {
            let error = read(text).unwrap_err();
            assert!(matches!(error, LinkError::Url(_)), "{text}: {error}");
        }
    }
}
