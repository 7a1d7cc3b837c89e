//! Addresses of other programs' servers, which may carry a password.

/// The address with the password blotted out; for everything that people read.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may hold an `@` that should have been written `%40`: all before the last one is the login.
    let Some((login, host)) = rest[..end].rsplit_once('@') else { return url.to_owned() };
    let user = login.split(':').next().unwrap_or_default();
    let password = if login.contains(':') { ":***" } else { "" };
    format!("{scheme}://{user}{password}@{host}{}", &rest[end..])
}

/// Checks that the address begins with one of these schemes.
///
/// # Errors
/// A sentence that lists them.
pub fn begins_with(url: &str, schemes: &[&str]) -> Result<(), String> {
    let scheme = url.split(':').next().unwrap_or_default();
    if schemes.contains(&scheme) && url.contains(':') {
        return Ok(());
    }
    let forms: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}:...")).collect();
    Err(format!("{:?} is none of {}", without_password(url), forms.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("mqtt://localhost:1883", "mqtt://localhost:1883"),
            ("mqtt://me:secret@host:1883/?id=a", "mqtt://me:***@host:1883/?id=a"),
            ("postgres://me:se@cr:et@host/db", "postgres://me:***@host/db"),
            ("postgres://me@host/db", "postgres://me@host/db"),
            ("sqlite:folder", "sqlite:folder"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn only_known_schemes_are_taken() {
        assert!(begins_with("mqtt://host", &["mqtt"]).is_ok());
        assert!(begins_with("mqtt", &["mqtt"]).is_err());
        let error = begins_with("http://me:secret@host", &["mqtt", "nats"]).unwrap_err();
        assert_eq!(error, "\"http://me:***@host\" is none of mqtt:..., nats:...");
    }
}
