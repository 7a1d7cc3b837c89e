//! Users and rules as an operator meets them: the files, the commands, and a hub that takes a change while it runs.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::program::{Hub, headwater, run, stderr, stdout};
use crate::pub_sub::Sub;

/// Passwords of these tests: a hub must never show them.
pub const ADA: &str = "canary-of-ada-7f3c";
const EVE: &str = "canary-of-eve-91ab";
const KEY: &str = "Y2FuYXJ5LWtleS1vZi10aGlydHktdHdvLWJ5dGVzISE";

const RULES: &str = "
[roles.anonymous]
subscribe = ['public/#']

[roles.own]
publish = ['{user}/#', 'intake/{client}']
subscribe = ['{user}/#']
deny_subscribe = ['{user}/private/#']
";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/rules.toml"), RULES).unwrap();
    fs::write(folder.path().join("ada.secret"), format!("{ADA}\n")).unwrap();
    fs::write(folder.path().join("eve.secret"), EVE).unwrap();
    folder
}

fn user(folder: &TempDir, args: &[&str], stdin: &str) -> Output {
    let mut command = headwater(folder, &[&["user", "--data", "data"], args].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whoever is refused for its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

/// A hub with `ada` and `eve` (own) and `root` (admin).
pub fn guarded(more: &[&str]) -> Hub {
    let folder = folder();
    for (args, stdin) in [
        (&["add", "ada", "--role", "own"][..], ADA),
        (&["add", "eve", "--role", "own", "--password-file", "eve.secret"], ""),
        (&["add", "root", "--role", "admin"], ADA),
    ] {
        let added = user(&folder, args, stdin);
        assert!(added.status.success(), "{}", stderr(&added));
    }
    Hub::start_in(folder, "127.0.0.1:0", more)
}

const AS_ADA: [&str; 4] = ["--user", "ada", "--password-file", "ada.secret"];

fn publish(hub: &Hub, args: &[&str]) -> Output {
    hub.run(&[&["pub", "--addr", &hub.addr()], args].concat())
}

/// What a raw request is answered.
fn ask(hub: &Hub, request: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(hub.http).unwrap();
    let head =
        format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

/// Waits until the hub has said something.
fn until_said(hub: &Hub, what: &str) {
    let since = Instant::now();
    while !hub.said().contains(what) {
        assert!(since.elapsed() < Duration::from_secs(20), "never said {what:?}:\n{}", hub.said());
        std::thread::yield_now();
    }
}

#[test]
fn users_are_added_changed_listed_and_removed() {
    let folder = folder();
    let added = user(&folder, &["add", "ada", "--role", "own", "--certificate", "ada.example"], ADA);
    assert!(added.status.success(), "{}", stderr(&added));
    assert_eq!(user(&folder, &["add", "ada"], EVE).status.code(), Some(2), "she is there already");
    let path = folder.path().join("data/users.toml");
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.contains("$argon2id$v=19$") && !written.contains(ADA), "{written}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let listed = stdout(&user(&folder, &["list"], ""));
    assert!(
        listed.starts_with("ada ") && listed.contains("own") && listed.contains("certificate ada.example"),
        "{listed}"
    );
    assert!(user(&folder, &["passwd", "ada"], EVE).status.success());
    let changed = fs::read_to_string(&path).unwrap();
    assert_ne!(changed, written);
    let set = user(&folder, &["set", "ada", "--role", "admin", "--role", "ghost", "--disable"], "");
    assert!(set.status.success() && stderr(&set).contains("\"ghost\""), "{}", stderr(&set));
    let listed: serde_json::Value = serde_json::from_slice(&user(&folder, &["list", "--json"], "").stdout).unwrap();
    assert_eq!(listed["roles"], serde_json::json!(["admin", "ghost"]));
    assert_eq!((&listed["disabled"], &listed["password"]), (&true.into(), &true.into()));
    assert!(user(&folder, &["remove", "ada"], "").status.success());
    assert_eq!(stdout(&user(&folder, &["list"], "")), "");
    assert_eq!(user(&folder, &["remove", "ada"], "").status.code(), Some(2));
}

#[test]
fn what_cannot_be_a_user_is_refused() {
    let folder = folder();
    for (args, stdin, said) in [
        (&["add", "a/b"][..], ADA, "can't be a user's name"),
        (&["add", "anonymous"], ADA, "the hub uses this word"),
        (&["add", "ada"], "short\n", "at least 8"),
        (&["add", "ada"], "", "at least 8"),
        (&["passwd", "ada"], ADA, "there is no user"),
        (&["add", "ada", "--password", "on-the-command-line"], "", "unexpected argument"),
    ] {
        let refused = user(&folder, args, stdin);
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        assert!(stderr(&refused).contains(said), "{args:?}: {}", stderr(&refused));
    }
    assert!(!folder.path().join("data/users.toml").exists(), "refused means that nothing happened");
}

/// Class 21 and 22: a file that isn't wholly good must not open anything, nor leave somebody out in silence.
#[test]
fn class_22_a_hub_does_not_start_with_files_that_are_wrong_and_says_where() {
    let folder = folder();
    let at = |name: &str| folder.path().join("data").join(name);
    let start = || {
        let args = ["serve", "--data", "data", "--http", "127.0.0.1:0", "--frames", "off", "--mqtt", "off"];
        run(&folder, &args)
    };
    let refused = |said: &str| {
        for (what, output) in [("serve", start()), ("check", run(&folder, &["check", "--data", "data"]))] {
            assert_eq!(output.status.code(), Some(2), "{what}: {}", stderr(&output));
            assert!(stderr(&output).contains(said), "{what}: {}", stderr(&output));
        }
    };
    fs::write(at("rules.toml"), "[roles.a]\nsubscribe = ['a/{username}']\n").unwrap();
    refused("data/rules.toml line 2: \"a/{username}\": ");
    refused("did you mean \"a/{user}\"?");
    fs::write(at("rules.toml"), RULES).unwrap();
    fs::write(at("users.toml"), format!("[users.ada]\npassword = '{ADA}'\n")).unwrap();
    refused("chmod 600");
    fs::set_permissions(at("users.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    refused("data/users.toml line 2: a password is kept as");
    fs::write(at("users.toml"), "[users.ada]\nroles = ['x']\n[users.ada]\n").unwrap();
    refused("data/users.toml line 3: this is no TOML");
    fs::write(at("users.toml"), "[users.a]\ncertificates = ['x']\n[users.b]\ncertificates = ['x']\n").unwrap();
    refused("it can't tell them apart");
    fs::remove_file(at("users.toml")).unwrap();
    let check = |more: &[&str]| run(&folder, &[&["check", "--data", "data"], more].concat());
    let missing = check(&["--set", "access.rules_file=elsewhere.toml"]);
    assert!(missing.status.code() == Some(2) && stderr(&missing).contains("elsewhere.toml"), "{}", stderr(&missing));
    fs::write(folder.path().join("keys.json"), format!("{{\"keys\":[{{\"kty\":\"oct\",\"k\":\"{KEY}\"}}]}}")).unwrap();
    let keys = check(&["--set", "access.token_keys_file=keys.json"]);
    let said = stderr(&keys);
    assert!(
        keys.status.code() == Some(2) && said.contains("access.token_issuer") && said.contains("a shared key"),
        "{said}"
    );
    let good = check(&[]);
    assert!(good.status.success() && stderr(&good).contains("0 users, 2 roles with 5 patterns"), "{}", stderr(&good));
}

#[test]
fn class_22_an_empty_file_of_rules_lets_nobody_do_anything() {
    let folder = folder();
    fs::write(folder.path().join("data/rules.toml"), "").unwrap();
    let hub = Hub::start_in(folder, "127.0.0.1:0", &[]);
    assert!(hub.said().contains("nobody may publish or watch"), "{}", hub.said());
    let refused = publish(&hub, &["a", "x"]);
    assert!(refused.status.code() == Some(1) && stderr(&refused).contains("403"), "{}", stderr(&refused));
    assert!(ask(&hub, "GET /v1/events?filter=%23", "").starts_with("HTTP/1.1 403 "));
}

#[test]
fn the_commands_show_who_they_are() {
    let hub = guarded(&[]);
    let refused = publish(&hub, &["ada/1", "x"]);
    assert!(refused.status.code() == Some(1) && stderr(&refused).contains("401"), "{}", stderr(&refused));
    let published = publish(&hub, &[&["ada/1", "x"], &AS_ADA[..]].concat());
    assert!(published.status.success(), "{}", stderr(&published));
    let other = publish(&hub, &[&["eve/1", "x"], &AS_ADA[..]].concat());
    assert!(other.status.code() == Some(1) && stderr(&other).contains("403"), "{}", stderr(&other));
    let wrong = publish(&hub, &["ada/1", "x", "--user", "ada", "--password-file", "eve.secret"]);
    assert!(wrong.status.code() == Some(1) && stderr(&wrong).contains("401"), "{}", stderr(&wrong));
    let seen = Sub::start(&hub, &[&["ada/1", "--from", "start", "--count", "1"], &AS_ADA[..]].concat()).end();
    assert_eq!((seen.0, seen.1.as_str()), (Some(0), "x\n"), "{}", seen.2);

    fs::write(hub.path("lines"), "one\ntwo\n").unwrap();
    let send = |more: &[&str]| {
        hub.run(&[&["send", "lines", "--timeout", "2", "--addr", &hub.frames.to_string()], more].concat())
    };
    let sent = send(&AS_ADA);
    assert!(sent.status.success(), "{}", stderr(&sent));
    for more in [&[][..], &["--user", "ada", "--password-file", "eve.secret"]] {
        let refused = send(more);
        assert!(refused.status.code() == Some(1) && stderr(&refused).contains("not allowed"), "{}", stderr(&refused));
    }
}

#[test]
fn a_revoked_right_ends_what_runs_within_a_second_of_the_signal() {
    let hub = guarded(&[]);
    let mut watcher = Sub::start(&hub, &[&["ada/1"], &AS_ADA[..]].concat());
    let publish_one = |payload| publish(&hub, &[&["ada/1", payload, "--sticky"], &AS_ADA[..]].concat());
    assert!(publish_one("before").status.success());
    assert_eq!(watcher.line(), "before\n");
    assert!(user(&hub.folder, &["set", "ada", "--disable"], "").status.success());
    let began = Instant::now();
    hub.signal("-HUP");
    let (code, rest, said) = watcher.end();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((code, rest.as_str()), (Some(1), ""), "{said}");
    let refused = publish_one("after");
    assert!(refused.status.code() == Some(1) && stderr(&refused).contains("401"), "{}", stderr(&refused));
    until_said(&hub, "1 connections ended by it");
}

#[test]
fn a_reload_by_http_needs_the_role_and_leaves_the_old_where_the_new_is_wrong() {
    let hub = guarded(&[]);
    let reload = |headers: &str| ask(&hub, "POST /v1/admin/reload", headers);
    assert!(reload("").starts_with("HTTP/1.1 401 "), "{}", reload(""));
    assert!(reload(&basic("ada", ADA)).starts_with("HTTP/1.1 403 "));
    let root = basic("root", ADA);
    let good = reload(&root);
    assert!(good.starts_with("HTTP/1.1 200 ") && good.contains("\"users\":3"), "{good}");

    fs::write(hub.path("data/rules.toml"), "[roles.own]\npublish = ['#/a']\n").unwrap();
    let wrong = reload(&root);
    assert!(wrong.starts_with("HTTP/1.1 422 ") && wrong.contains("rules.toml line 2"), "{wrong}");
    until_said(&hub, "users and rules stay as they were");
    let published = publish(&hub, &[&["ada/1", "x"], &AS_ADA[..]].concat());
    assert!(published.status.success(), "the old rules hold: {}", stderr(&published));

    fs::write(hub.path("data/rules.toml"), "").unwrap();
    assert!(reload(&root).contains("\"patterns\":0"));
    assert_eq!(publish(&hub, &[&["ada/1", "x"], &AS_ADA[..]].concat()).status.code(), Some(1));
    let read = || stdout(&hub.run(&["log", "export", "--data", "data", "--filter", "$audit/#"]));
    let (mut trail, since) = (read(), Instant::now());
    while !trail.contains("$audit/refused") && since.elapsed() < Duration::from_secs(20) {
        // A refusal isn't waited for by whoever is refused.
        trail = read();
    }
    for entry in [
        "\\\"what\\\":\\\"reload\\\",\\\"user\\\":\\\"root\\\"",
        "reload failed",
        "\\\"what\\\":\\\"login\\\"",
        "$audit/refused",
    ] {
        assert!(trail.contains(entry), "{entry} is not on record:\n{trail}");
    }
}

/// On a machine to try things out everybody may everything, and a wrong password is wrong all the same. A page of another
/// site, whose name leads here, is not everybody.
#[test]
fn a_hub_to_try_out_is_open_to_this_machine_alone() {
    let hub = Hub::start(&[]);
    assert!(ask(&hub, "POST /v1/events/a", "").starts_with("HTTP/1.1 200 "));
    assert!(ask(&hub, "POST /v1/events/a", &basic("ada", ADA)).starts_with("HTTP/1.1 401 "));
    assert!(ask(&hub, "POST /v1/admin/reload", "").starts_with("HTTP/1.1 200 "), "everybody administers");
    let mut stream = TcpStream::connect(hub.http).unwrap();
    let head = "POST /v1/events/a HTTP/1.1\r\nHost: rebound.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
}

/// Class 27: a password, a token, a key are shown nowhere, at the most talkative.
#[test]
fn class_27_no_secret_is_shown_anywhere() {
    let keys = format!("{{\"keys\":[{{\"kty\":\"oct\",\"kid\":\"k\",\"k\":\"{KEY}\"}}]}}");
    let folder = folder();
    fs::write(folder.path().join("keys.json"), keys).unwrap();
    fs::set_permissions(folder.path().join("keys.json"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(user(&folder, &["add", "ada", "--role", "own", "--role", "admin"], ADA).status.success());
    let settings = [
        ("access.token_keys_file", "keys.json"),
        ("access.token_issuer", "https://issuer"),
        ("access.token_audience", "hub"),
        ("logging.level", "trace"),
    ]
    .map(|(name, value)| format!("--set={name}={value}"));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let hub = Hub::start_in(folder, "127.0.0.1:0", &settings);
    const TOKEN: &str = "canary-token.canary-claims.canary-signature";
    fs::write(hub.path("token"), TOKEN).unwrap();

    let mut seen = String::new();
    let login = basic("ada", ADA);
    for headers in [
        login.clone(),
        basic("ada", EVE),
        basic(EVE, ADA),
        format!("Authorization: Bearer {TOKEN}\r\n"),
        format!("Authorization: Nonsense {TOKEN}\r\n"),
        format!("Sec-WebSocket-Protocol: headwater.token.{TOKEN}\r\n"),
        format!("Cookie: headwater-session={TOKEN}\r\n"),
    ] {
        for request in
            ["POST /v1/events/ada/1", "GET /v1/events?filter=ada/%23", "GET /v1/live?filter=x", "POST /v1/admin/reload"]
        {
            // The answer to what may go on would not end.
            seen += &ask(&hub, request, &headers);
        }
    }
    for args in [
        &["pub", "ada/1", "x", "--user", "ada", "--password-file", "ada.secret"][..],
        &["pub", "ada/1", "x", "--user", "ada", "--password-file", "eve.secret"],
        &["pub", "ada/1", "x", "--token-file", "token"],
    ] {
        let output = hub.run(&[args, &["--addr", &hub.addr()]].concat());
        seen += &(stdout(&output) + &stderr(&output));
    }
    fs::write(hub.path("lines"), "one\n").unwrap();
    for more in [&AS_ADA[..], &["--token-file", "token"], &["--user", "ada", "--password-file", "eve.secret"]] {
        let addr = hub.frames.to_string();
        let output = hub.run(&[&["send", "lines", "--timeout", "1", "--addr", &addr], more].concat());
        seen += &(stdout(&output) + &stderr(&output));
    }
    for page in
        ["/metrics", "/", "/docs", "/openapi.json", "/readyz", "/healthz", "/intake/", "/v1/sticky?filter=ada/%23"]
    {
        seen += &ask(&hub, &format!("GET {page}"), &login);
    }
    for args in [
        &["check", "--data", "data", "--origin"][..],
        &["user", "list", "--json", "--data", "data"],
        &["log", "export", "--data", "data"],
        &["log", "export", "--data", "data", "--filter", "$audit/#"],
    ] {
        let output = hub.run(&[args, if args[0] == "check" { &settings } else { &[] }].concat());
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        seen += &(stdout(&output) + &stderr(&output));
    }
    hub.signal("-HUP");
    until_said(&hub, "in force now");
    seen += &hub.said();
    assert!(seen.contains(r#"\"what\":\"login\""#) && seen.len() > 10_000, "too little was looked at");
    let hash = fs::read_to_string(hub.path("data/users.toml")).unwrap();
    let hash = hash.split('"').find(|part| part.starts_with("$argon2id")).unwrap().to_owned();
    let encoded = [STANDARD.encode(format!("ada:{ADA}")), STANDARD.encode(TOKEN)];
    for secret in [ADA, EVE, TOKEN, "canary-signature", KEY, "canary-key", &hash, &encoded[0], &encoded[1]] {
        if let Some(at) = seen.find(secret) {
            let from = seen[..at].rfind('\n').unwrap_or(0);
            panic!("a secret is shown: {}", &seen[from..(at + secret.len() + 80).min(seen.len())]);
        }
    }
    assert!(is_closed(&hub.path("data/users.toml")));
}

fn is_closed(path: &Path) -> bool {
    fs::metadata(path).unwrap().permissions().mode() & 0o077 == 0
}
