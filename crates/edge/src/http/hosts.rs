//! Under which names this hub answers. A page of any site can have its own name lead to 127.0.0.1 and then ask here in the
//! name of who visits it (DNS rebinding); what gives it away is the name in `Host`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::problem::Problem;
use axum::http::StatusCode;

/// The names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Whether requests under other names are refused. Where a name leads can't be known, so it's for hubs that let everybody
    /// in because only this machine reaches them.
    pub is_checked: bool,
    /// Names that are good beside addresses and `localhost`.
    pub allowed: Vec<String>,
}

impl Hosts {
    /// Whether a request with this `Host` is answered.
    pub(super) fn check(&self, host: &str) -> Result<(), Problem> {
        if !self.is_checked || self.is_good(host) {
            return Ok(());
        }
        let detail = "this hub answers by its address or as localhost; `http.hosts` can allow further names";
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "host", detail))
    }

    fn is_good(&self, host: &str) -> bool {
        let name = without_port(host);
        let is_address = name.parse::<Ipv4Addr>().is_ok()
            || name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).is_some_and(|n| n.parse::<Ipv6Addr>().is_ok());
        let is_local = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
        is_address || is_local || self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_anybody_could_have_is_refused() {
        let hosts = Hosts { is_checked: true, allowed: vec!["hub.internal".into()] };
        for host in
            ["127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "[::1]", "localhost:8080", "a.localhost", "HUB.internal"]
        {
            assert!(hosts.check(host).is_ok(), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "", "[evil]"]
        {
            assert_eq!(hosts.check(host).unwrap_err().status.as_u16(), 421, "{host}");
        }
        assert!(Hosts::default().check("evil.example").is_ok());
    }
}
