//! The page at `/`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::program::Hub;

/// Asks for one page and gives the whole answer, head and all.
fn get(addr: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(addr).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_overview_shows_the_addresses_and_asks_no_other_host() {
    let hub = Hub::start(&[]);
    let page = get(hub.http, "/");
    for part in [hub.http.to_string(), hub.frames.to_string(), "href=\"/intake/\"".to_owned()] {
        assert!(page.contains(&part), "{part} is missing in {page}");
    }
    let policies = page.lines().filter(|line| line.to_ascii_lowercase().starts_with("content-security-policy:"));
    let policies: Vec<_> = policies.collect();
    assert_eq!(policies.len(), 1, "{page}");
    assert!(policies[0].contains("default-src 'self'") && !policies[0].contains("unsafe"), "{policies:?}");
    // All that the page names is there.
    for path in ["/console/console.css", "/console/console.js", "/console/icon.svg"] {
        assert!(page.contains(path), "{path}");
        assert!(get(hub.http, path).starts_with("HTTP/1.1 200 "), "{path}");
    }
}

#[test]
fn the_overview_knows_what_was_published() {
    let hub = Hub::start(&[]);
    assert!(hub.run(&["pub", "a", "b", "--addr", &hub.addr()]).status.success());
    let answer = get(hub.http, "/console/now");
    let now: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&now["published"], &now["failing"]), (&1.into(), &serde_json::Value::Null), "{now}");
    assert!(now["head"].as_str().unwrap().ends_with(":1"), "{now}");
}
