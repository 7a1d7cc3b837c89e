//! The page at `/` and the routes that it lives on, from outside.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::access::{ADA, guarded};
use crate::program::Hub;

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Answer {
    head: String,
    body: String,
}

/// Asks once and gives the whole answer.
fn ask(addr: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut socket = TcpStream::connect(addr).unwrap();
    let length = body.len();
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {addr}\r\n") };
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer { head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn get(addr: SocketAddr, path: &str) -> Answer {
    ask(addr, "GET", path, "", "")
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.head, self.body))
    }

    fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(have, _)| *have == name).map(|(_, value)| value).collect()
    }
}

#[test]
fn the_page_asks_no_other_host_and_has_nothing_inline() {
    let hub = Hub::start(&[]);
    let page = get(hub.http, "/");
    assert_eq!(page.status(), 200);
    let policies = page.headers("content-security-policy");
    assert_eq!(policies.len(), 1, "{}", page.head);
    assert!(policies[0].contains("default-src 'self'") && !policies[0].contains("unsafe"), "{policies:?}");
    assert_eq!(page.headers("x-content-type-options"), ["nosniff"]);
    for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
        assert!(!page.body.contains(inline), "{inline}");
    }
    assert!(page.body.matches("<script").count() == page.body.matches("<script src=").count() + 1, "one module");
    // All that the page names is there.
    let named = page.body.split('"').filter(|part| part.starts_with("/console/"));
    assert!(named.clone().count() >= 6);
    for path in named {
        assert_eq!(get(hub.http, path).status(), 200, "{path}");
    }
}

#[test]
fn the_overview_knows_where_the_hub_listens_and_what_was_published() {
    let hub = Hub::start(&[]);
    assert!(hub.run(&["pub", "a", "b", "--addr", &hub.addr()]).status.success());
    let now = get(hub.http, "/v1/admin/overview").json();
    assert_eq!((&now["totals"]["events"], &now["failing"]), (&1.into(), &Value::Null), "{now}");
    assert!(now["log"]["head"].as_str().unwrap().ends_with(":1"), "{now}");
    let addrs: Vec<_> = now["listeners"].as_array().unwrap().iter().map(|one| one["addr"].as_str().unwrap()).collect();
    assert_eq!(addrs, [hub.http.to_string(), hub.frames.to_string()]);
    assert_eq!(now["apps"][0]["name"], "intake");
}

#[test]
fn a_connection_is_found_and_ended() {
    let hub = Hub::start(&[]);
    let mut watcher = TcpStream::connect(hub.http).unwrap();
    write!(watcher, "GET /v1/live?filter=clinic/%2B HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let peer = watcher.local_addr().unwrap();
    // The head of the answer: from here on it is there.
    let mut first = [0; 16];
    watcher.read_exact(&mut first).unwrap();
    let found = get(hub.http, &format!("/v1/admin/connections?search={peer}")).json();
    let id = found["connections"][0]["id"].as_str().unwrap();
    let one = format!("/v1/admin/connections/{id}");
    assert_eq!(get(hub.http, &one).json()["filters"][0]["filter"], "clinic/+");
    assert_eq!(ask(hub.http, "DELETE", &one, "", "").status(), 204);
    let mut rest = Vec::new();
    watcher.read_to_end(&mut rest).unwrap();
    // Its socket is closed a moment before it's off the list.
    let begun = Instant::now();
    while ask(hub.http, "DELETE", &one, "", "").status() != 404 {
        assert!(begun.elapsed() < PATIENCE, "it stays on the list");
    }
}

/// Class 31 of the faults of our field, and the name of another site that leads here.
#[test]
fn another_sites_page_can_change_nothing_and_see_nothing() {
    let hub = Hub::start(&[]);
    let one = "/v1/admin/connections/1-1";
    let body = "{\"user\":\"ada\",\"password\":\"x\"}";
    for headers in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        for (method, path, body) in
            [("DELETE", one, ""), ("POST", "/v1/admin/dead-letters/discard", "{\"group\":\"g\",\"seqs\":[1]}")]
        {
            let refused = ask(hub.http, method, path, headers, body);
            assert_eq!((refused.status(), &refused.json()["name"]), (403, &"origin".into()), "{headers}{path}");
        }
    }
    for headers in ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(ask(hub.http, "POST", "/v1/admin/login", headers, body).status(), 403, "{headers}");
    }
    let rebound = ask(hub.http, "GET", "/v1/admin/overview", "Host: evil.example\r\n", "");
    assert_eq!((rebound.status(), &rebound.json()["name"]), (421, &"host".into()));
    assert_eq!(ask(hub.http, "GET", "/v1/admin/overview", "Host: localhost:1\r\n", "").status(), 200);
    // No page of another site may read an answer either.
    assert!(get(hub.http, "/v1/admin/overview").headers("access-control-allow-origin").is_empty());
}

/// Class 27 of the faults of our field: what a client says is text wherever it is shown. `scripts/drive-console` looks at
/// the page itself.
#[test]
fn what_a_client_says_comes_as_json_that_no_browser_takes_for_a_page() {
    let hub = Hub::start(&[]);
    let evil = "<img src=x onerror=alert(1)>";
    assert!(hub.run(&["pub", evil, evil, "--sticky", "--addr", &hub.addr()]).status.success());
    let written = "%3Cimg%20src=x%20onerror=alert(1)%3E";
    for path in [
        "/v1/admin/topics".to_owned(),
        format!("/v1/admin/topic?topic={written}"),
        format!("/v1/admin/why?topic={written}"),
    ] {
        let answer = get(hub.http, &path);
        assert!(answer.json().to_string().contains(evil), "{path}: {}", answer.body);
        assert_eq!(answer.headers("content-type"), ["application/json"], "{path}");
        assert_eq!(answer.headers("x-content-type-options"), ["nosniff"], "{path}");
    }
    let refused = get(hub.http, &format!("/v1/admin/topics?{written}=1"));
    assert_eq!((refused.status(), refused.headers("content-type")), (400, vec!["application/problem+json"]));
}

#[test]
fn nobody_sees_a_thing_without_a_role_where_there_are_settings() {
    let hub = Hub::start(&["--set", "access.anonymous=none"]);
    assert_eq!(get(hub.http, "/").status(), 200, "the page itself says nothing");
    assert_eq!(get(hub.http, "/v1/admin/me").json()["rights"], Value::Null);
    let refused = get(hub.http, "/v1/admin/overview");
    assert_eq!((refused.status(), &refused.json()["name"]), (401, &"not_authenticated".into()));
    let wrong = ask(hub.http, "POST", "/v1/admin/login", "", "{\"user\":\"ada\",\"password\":\"canary\"}");
    assert_eq!(wrong.status(), 401);
    assert!(wrong.headers("set-cookie").is_empty() && !wrong.body.contains("canary"));
    let broken =
        ask(hub.http, "POST", "/v1/admin/login", "", "{\"user\":\"ada\",\"password\":\"canary\",\"x\":\"canary\"}");
    assert!(broken.status() == 400 && !broken.body.contains("canary"), "{}", broken.body);
}

#[test]
fn a_browser_logs_in_and_its_cookie_is_good_for_pages_of_ours_alone() {
    let hub = guarded(&["--set", "access.anonymous=none"]);
    let own = format!("Origin: http://{}\r\n", hub.http);
    let login = |user: &str, password: &str| {
        let body = serde_json::json!({ "user": user, "password": password }).to_string();
        ask(hub.http, "POST", "/v1/admin/login", &own, &body)
    };
    let wrong = login("root", "not the password");
    assert_eq!(wrong.status(), 401);
    assert!(wrong.headers("set-cookie").is_empty());
    let good = login("root", ADA);
    assert_eq!((good.status(), &good.json()["rights"]), (200, &"admin".into()), "{}", good.body);
    let line = good.headers("set-cookie")[0].to_owned();
    for part in ["httponly", "samesite=strict", "path=/"] {
        assert!(line.contains(part), "{line}");
    }
    let cookie = format!("Cookie: {}\r\n", line.split(';').next().unwrap());
    assert_eq!(ask(hub.http, "GET", "/v1/admin/overview", &cookie, "").status(), 200);
    assert_eq!(ask(hub.http, "GET", "/v1/admin/me", &cookie, "").json()["user"], "root");
    // What changes something needs a page of ours beside it: to be ended here is nobody, but that is said later.
    let one = "/v1/admin/connections/1-1";
    for (headers, status) in [
        (cookie.clone(), 403),
        (format!("{cookie}Origin: http://evil.example\r\n"), 403),
        (format!("{cookie}{own}Sec-Fetch-Site: cross-site\r\n"), 403),
        (format!("{cookie}{own}"), 404),
    ] {
        assert_eq!(ask(hub.http, "DELETE", one, &headers, "").status(), status, "{headers}");
    }
    // Somebody without a role has a login, and sees nothing.
    let eve = login("ada", ADA);
    assert_eq!((eve.status(), &eve.json()["rights"]), (200, &Value::Null));
    let line = eve.headers("set-cookie")[0].to_owned();
    let hers = format!("Cookie: {}\r\n", line.split(';').next().unwrap());
    assert_eq!(ask(hub.http, "GET", "/v1/admin/overview", &hers, "").status(), 403);
    // Out.
    assert_eq!(ask(hub.http, "POST", "/v1/admin/logout", &format!("{cookie}{own}"), "").status(), 200);
    assert_eq!(ask(hub.http, "GET", "/v1/admin/overview", &cookie, "").status(), 401);
    assert!(!hub.said().contains(ADA), "a password is nowhere");
}

#[test]
fn the_files_of_others_are_as_they_came_and_each_is_listed() {
    let vendor = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor");
    let listed = std::fs::read_to_string(vendor.join("SHA256SUMS")).unwrap();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    let folders = std::fs::read_dir(&vendor).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
    let mut found: Vec<String> =
        files.map(|file| file.path().strip_prefix(&vendor).unwrap().display().to_string()).collect();
    found.sort_unstable();
    assert_eq!(names, found);
    match std::process::Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(&vendor)
        .output()
    {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => assert!(std::env::var_os("HEADWATER_NO_SKIP").is_none(), "skipped: no sha256sum"),
    }
}
