//! Which sites' pages may open a WebSocket here (RFC 6455 section 10.2, RFC 6454).
//!
//! A browser lets any page connect to any host and sends the visitor's cookies along: without this check a page of
//! somebody else's could read what its visitor may read.

/// Whose pages may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Origins that may connect beside the server's own, as a browser writes them: `https://app.example.com`.
    pub allowed: Vec<String>,
}

impl Origins {
    /// Whether a request with these headers may connect. Programs that are no browsers send no `Origin`.
    #[must_use]
    pub fn may_connect(&self, origin: Option<&str>, host: &str) -> bool {
        let Some(origin) = origin else { return true };
        is_same(origin, host) || self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }
}

/// Whether the origin's host and port are those that the request was sent to. `null` (a sandboxed or local page) is nobody's.
fn is_same(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    // A browser leaves the scheme's own port out; a proxy or a program may not.
    let bare = |authority: &str| authority.strip_suffix(default_port).unwrap_or(authority).to_ascii_lowercase();
    !host.is_empty() && bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_pages_and_programs_may_connect_and_other_sites_may_not() {
        let origins = Origins::default();
        for (origin, host) in [
            (None, "hub.example.com"),
            (Some("https://hub.example.com"), "hub.example.com"),
            (Some("https://HUB.example.com"), "hub.example.com:443"),
            (Some("http://127.0.0.1:8080"), "127.0.0.1:8080"),
            (Some("http://[::1]:8080"), "[::1]:8080"),
        ] {
            assert!(origins.may_connect(origin, host), "{origin:?} {host}");
        }
        for (origin, host) in [
            ("https://evil.example.com", "hub.example.com"),
            ("https://hub.example.com.evil.com", "hub.example.com"),
            ("http://127.0.0.1:3000", "127.0.0.1:8080"),
            ("http://hub.example.com:443", "hub.example.com"),
            ("null", "null"),
            ("file://", ""),
            ("", ""),
        ] {
            assert!(!origins.may_connect(Some(origin), host), "{origin} {host}");
        }
    }

    #[test]
    fn an_origin_can_be_allowed_by_name() {
        let origins = Origins { allowed: vec!["https://app.example.com".into()] };
        assert!(origins.may_connect(Some("https://app.example.com"), "hub.example.com"));
        assert!(!origins.may_connect(Some("https://app.example.com:8443"), "hub.example.com"));
        assert!(!origins.may_connect(Some("http://app.example.com"), "hub.example.com"));
    }
}
