//! TLS as the one who runs it sees it, with clients that share no code with it: curl and openssl.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::program::{headwater, run, stderr, stdout};

/// Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A hub with TLS; killed when it's dropped.
struct Hub {
    folder: TempDir,
    child: Child,
    listening: Vec<(String, SocketAddr)>,
}

impl Hub {
    fn start(folder: TempDir, args: &[&str]) -> Self {
        let said = fs::File::create(folder.path().join("said")).unwrap();
        let all = [
            &["serve", "--data", "data", "--http", "127.0.0.1:0", "--frames", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"][..],
            &["--ready-file", "ready"][..],
            args,
        ];
        let mut child = headwater(&folder, &all.concat()).stdout(Stdio::null()).stderr(said).spawn().unwrap();
        let begun = Instant::now();
        let lines = loop {
            if let Ok(lines) = fs::read_to_string(folder.path().join("ready")) {
                break lines;
            }
            let said = || fs::read_to_string(folder.path().join("said")).unwrap();
            assert!(child.try_wait().unwrap().is_none() && begun.elapsed() < PATIENCE, "{}", said());
            std::thread::yield_now();
        };
        let line = |line: &str| {
            let mut words = line.split(' ').skip(1);
            (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap())
        };
        Self { listening: lines.lines().map(line).collect(), folder, child }
    }

    fn auto() -> Self {
        Self::start(tempfile::tempdir().unwrap(), &["--tls", "auto"])
    }

    fn addr(&self, protocol: &str) -> String {
        let found = self.listening.iter().find(|(name, _)| name == protocol);
        found.unwrap_or_else(|| panic!("no {protocol} in {:?}", self.listening)).1.to_string()
    }

    fn names(&self) -> Vec<&str> {
        self.listening.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.path("said")).unwrap()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn wait_until_it_says(&self, word: &str, times: usize) {
        let begun = Instant::now();
        while self.said().matches(word).count() < times {
            assert!(begun.elapsed() < PATIENCE, "{word:?} is missing in:\n{}", self.said());
            std::thread::yield_now();
        }
    }

    /// A GET by curl that believes this file; the body.
    fn curl(&self, ca: &str, path: &str, more: &[&str]) -> Output {
        let url = format!("https://{}{path}", self.addr("https"));
        let fixed = ["-sS", "--max-time", "30", "--cacert", ca];
        Command::new("curl").args(fixed).args(more).arg(url).output().expect("curl")
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority in a folder, which makes a server's certificate and clients' ones.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn in_folder(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own: openssl takes a certificate whose issuer bears its own name for self-signed.
        params.distinguished_name.push(DnType::CommonName, name);
        fs::write(folder.join(name), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key) }
    }

    /// Writes `NAME.crt` and `NAME.key`.
    fn write(&self, folder: &Path, name: &str, names: &[&str]) {
        let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        for (ending, text, mode) in [("key", key.serialize_pem(), 0o600), ("crt", cert.pem(), 0o644)] {
            let path = folder.join(format!("{name}.{ending}"));
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

#[test]
fn tls_auto_serves_every_listener_and_curl_believes_its_certificate() {
    let hub = Hub::auto();
    assert_eq!(hub.names(), ["https", "mqtts", "frames-tls"]);
    let ca = hub.path("data/tls-auto.crt");
    let key = fs::metadata(hub.path("data/tls-auto.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let asked = hub.curl(&ca, "/v1/events/a/b", &["--data", "by curl"]);
    assert!(asked.status.success() && stdout(&asked).contains("\"seq\":1"), "{asked:?}");
    // The fingerprint that it tells is the one that openssl finds.
    let openssl = Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in", &ca]).output();
    let print = stdout(&openssl.expect("openssl")).trim().split('=').nth(1).unwrap().to_owned();
    assert!(hub.said().contains(&print), "{print} is missing in {}", hub.said());
    assert!(!hub.said().contains("PRIVATE"));
    // Nobody is believed who isn't named.
    let stranger = Command::new("curl").args(["-sS", &format!("https://{}/healthz", hub.addr("https"))]).output();
    assert_eq!(stranger.unwrap().status.code(), Some(60));
}

#[test]
fn the_commands_speak_tls() {
    let hub = Hub::auto();
    let ca = hub.path("data/tls-auto.crt");
    let addr = hub.addr("https");
    let published = run(&hub.folder, &["pub", "a", "one", "--addr", &addr, "--ca", &ca]);
    assert!(published.status.success(), "{}", stderr(&published));
    let url = format!("https://{addr}");
    let watched = run(&hub.folder, &["sub", "a", "--from", "start", "--count", "1", "--addr", &url, "--ca", &ca]);
    assert_eq!(stdout(&watched), "one\n", "{}", stderr(&watched));
    let blind = run(&hub.folder, &["pub", "a", "b", "--addr", &url]);
    assert_eq!((blind.status.code(), stderr(&blind).contains("--ca")), (Some(2), true), "{}", stderr(&blind));
    // Somebody else's certificate, and none at all.
    Authority::in_folder(hub.folder.path(), "other.pem");
    for args in [["pub", "a", "b", "--addr", &url, "--ca", "other.pem"].as_slice(), &["pub", "a", "b", "--addr", &addr]]
    {
        let refused = run(&hub.folder, args);
        assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    }
    let frames = hub.addr("frames-tls");
    let refused = run(&hub.folder, &["send", "said", "--addr", &frames, "--ca", "other.pem"]);
    assert!(stderr(&refused).contains("no TLS with"), "{}", stderr(&refused));
}

#[test]
fn ten_thousand_messages_come_through_frames_and_the_program_ends_in_good_order() {
    let mut hub = Hub::auto();
    let (ca, frames) = (hub.path("data/tls-auto.crt"), hub.addr("frames-tls"));
    let lines: String = (1..=10_000).map(|number| format!("line {number}\n")).collect();
    fs::write(hub.path("lines"), &lines).unwrap();
    let sent = run(&hub.folder, &["send", "lines", "--addr", &frames, "--ca", &ca, "--json"]);
    assert!(sent.status.success(), "{}", stderr(&sent));
    // Two watchers while it ends: they are told to go, and neither holds it up.
    let live = |name: &str| {
        let url = format!("https://{}/v1/live?filter=%23&sticky=false", hub.addr("https"));
        let out = fs::File::create(hub.path(name)).unwrap();
        let mut curl = Command::new("curl");
        curl.args(["-sSN", "--cacert", &ca, &url]).stdout(out).stderr(Stdio::null()).spawn().expect("curl")
    };
    let mut watchers = [live("first"), live("second")];
    for name in ["first", "second"] {
        while !fs::read_to_string(hub.path(name)).unwrap().contains("retry:") {
            std::thread::yield_now();
        }
    }
    hub.signal("-TERM");
    let begun = Instant::now();
    assert_eq!(hub.child.wait().unwrap().code(), Some(0), "{}", hub.said());
    assert!(begun.elapsed() < Duration::from_secs(9), "it waited for its watchers");
    for watcher in &mut watchers {
        // 0: the answer's end came in good order, with TLS's own last word.
        assert_eq!(watcher.wait().unwrap().code(), Some(0));
    }
    let exported = run(&hub.folder, &["log", "export", "--data", "data"]);
    let payloads: Vec<String> = stdout(&exported)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["payload"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(payloads.len(), 10_000);
    assert!(payloads.iter().zip(lines.lines()).all(|(payload, line)| payload == line));
}

#[test]
fn certificates_are_read_anew_and_broken_ones_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_path_buf();
    Authority::in_folder(&place, "first.pem").write(&place, "server", &["127.0.0.1"]);
    let hub = Hub::start(folder, &["--tls", "server.crt,server.key"]);
    let health = |ca: &str| hub.curl(&hub.path(ca), "/healthz", &[]).status.success();
    assert!(health("first.pem"));
    // A connection that is there from the beginning to the end.
    let url = format!("https://{}/v1/live?filter=a", hub.addr("https"));
    let mut curl = Command::new("curl");
    let fixed = ["-sSN", "--cacert", &hub.path("first.pem"), &url];
    let mut watcher = curl.args(fixed).stdout(Stdio::piped()).spawn().expect("curl");
    let mut lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("retry:"));

    let second = Authority::in_folder(&place, "second.pem");
    second.write(&place, "next", &["127.0.0.1"]);
    // A key without its certificate, as half of a renewal would leave it.
    fs::copy(place.join("next.key"), place.join("server.key")).unwrap();
    hub.signal("-HUP");
    hub.wait_until_it_says("doesn't belong to the certificate", 1);
    assert!(health("first.pem"));
    // The other half; nobody asks for it this time.
    fs::rename(place.join("next.crt"), place.join("server.crt")).unwrap();
    hub.wait_until_it_says("read anew", 1);
    assert!(health("second.pem") && !health("first.pem"));
    // A key that everybody may read.
    fs::set_permissions(place.join("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    hub.signal("-HUP");
    hub.wait_until_it_says("everybody on this machine may use", 1);
    assert!(health("second.pem"));
    let published = hub.curl(&hub.path("second.pem"), "/v1/events/a", &["--data", "still there"]);
    assert!(published.status.success());
    assert!(lines.any(|line| line.unwrap().contains("still there")), "the watcher lost its connection");
    let _ = watcher.kill();
    let _ = watcher.wait();
}

#[test]
fn mosquittos_own_clients_publish_and_subscribe_through_tls() {
    let hub = Hub::auto();
    let ca = hub.path("data/tls-auto.crt");
    let port = hub.addr("mqtts").rsplit(':').next().unwrap().to_owned();
    let common = ["-h", "127.0.0.1", "-p", &port, "--cafile", &ca, "-t", "a/b", "-q", "1"];
    let mut publish = Command::new("mosquitto_pub");
    match publish.args(common).args(["-r", "-m", "hello"]).output() {
        Err(_) if std::env::var_os("HEADWATER_NO_SKIP").is_none() => return println!("skipped: no mosquitto_pub"),
        published => assert!(published.as_ref().is_ok_and(|output| output.status.success()), "{published:?}"),
    }
    let heard = Command::new("mosquitto_sub").args(common).args(["-C", "1", "-W", "30"]).output().unwrap();
    assert_eq!(stdout(&heard), "hello\n", "{}", stderr(&heard));
}

#[test]
fn client_certificates_are_asked_for_by_setting() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_path_buf();
    let ours = Authority::in_folder(&place, "ours.pem");
    ours.write(&place, "server", &["127.0.0.1"]);
    ours.write(&place, "robot", &["robot-7.fleet"]);
    Authority::in_folder(&place, "theirs.pem").write(&place, "stranger", &["robot-7.fleet"]);
    let ask = ["--set", "tls.client_ca=ours.pem", "--set", "tls.client_cert=required"];
    let hub = Hub::start(folder, &[&["--tls", "server.crt,server.key"], &ask[..]].concat());
    let ca = hub.path("ours.pem");
    let health = |name: &str| {
        let (cert, key) = (hub.path(&format!("{name}.crt")), hub.path(&format!("{name}.key")));
        hub.curl(&ca, "/healthz", &["--cert", &cert, "--key", &key]).status.success()
    };
    assert!(health("robot"));
    assert!(!health("stranger"));
    assert!(!hub.curl(&ca, "/healthz", &[]).status.success());
    let publish = |more: &[&str]| {
        let fixed = ["pub", "a", "b", "--addr", &hub.addr("https"), "--ca", &ca];
        run(&hub.folder, &[&fixed[..], more].concat()).status.code()
    };
    assert_eq!(publish(&["--cert", "robot.crt,robot.key"]), Some(0));
    assert_eq!(publish(&["--cert", "stranger.crt,stranger.key"]), Some(1));
    assert_eq!(publish(&[]), Some(1));
}

#[test]
fn openssl_gets_1_2_and_1_3_and_nothing_older() {
    let hub = Hub::auto();
    let shake = |version: &str| {
        let mut openssl = Command::new("openssl");
        // Level 0 lets this openssl itself go as low as it can.
        openssl.args(["s_client", "-connect", &hub.addr("https"), version, "-cipher", "DEFAULT@SECLEVEL=0"]);
        let output = openssl.stdin(Stdio::null()).output().expect("openssl");
        output.status.success()
    };
    assert!(shake("-tls1_2") && shake("-tls1_3"));
    assert!(!shake("-tls1") && !shake("-tls1_1"));
}

#[test]
fn an_address_for_tls_stands_beside_the_plain_one() {
    let args = ["--tls", "auto", "--set", "http.tls_addr=127.0.0.1:0", "--set", "mqtt.tls_addr=127.0.0.1:0"];
    let args = [&args[..], &["--set", "tls.listeners=http"]].concat();
    let hub = Hub::start(tempfile::tempdir().unwrap(), &args);
    assert_eq!(hub.names(), ["http", "https", "mqtt", "mqtts", "frames"]);
    let plain = Command::new("curl").args(["-sS", &format!("http://{}/healthz", hub.addr("http"))]).output().unwrap();
    assert!(plain.status.success());
    assert!(hub.curl(&hub.path("data/tls-auto.crt"), "/healthz", &[]).status.success());
    let metrics = stdout(&hub.curl(&hub.path("data/tls-auto.crt"), "/metrics", &[]));
    assert!(metrics.contains("headwater_connections_accepted_total{listener=\"https\"} 2"), "{metrics}");
}

#[test]
fn settings_that_would_let_somebody_in_by_mistake_are_refused_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    Authority::in_folder(place, "ca.pem").write(place, "server", &["127.0.0.1"]);
    fs::write(place.join("empty"), "").unwrap();
    fs::set_permissions(place.join("empty"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::copy(place.join("server.key"), place.join("open.key")).unwrap();
    fs::set_permissions(place.join("open.key"), fs::Permissions::from_mode(0o604)).unwrap();
    let with = |tls: &str, more: &[&str]| {
        let fixed =
            ["serve", "--data", "data", "--http", "127.0.0.1:0", "--frames", "off", "--mqtt", "off", "--tls", tls];
        let sets: Vec<&str> = more.iter().flat_map(|pair| ["--set", pair]).collect();
        let output = run(&folder, &[&fixed[..], &sets].concat());
        assert_eq!(output.status.code(), Some(2), "{tls} {more:?}: {}", stderr(&output));
        stderr(&output)
    };
    for (tls, more, word) in [
        ("server.crt", &[][..], "tls.key"),
        ("none.crt,server.key", &[], "none.crt"),
        ("server.crt,none.key", &[], "none.key"),
        ("server.crt,open.key", &[], "chmod o="),
        ("empty,server.key", &[], "holds no certificate"),
        ("server.crt,empty", &[], "no private key"),
        ("off", &["http.tls_addr=127.0.0.1:0"], "tls.cert"),
        ("off", &["tls.client_ca=ca.pem", "tls.client_cert=required"], "tls.cert"),
        ("server.crt,server.key", &["tls.client_ca=ca.pem"], "tls.client_cert"),
        ("server.crt,server.key", &["tls.client_cert=required"], "tls.client_ca"),
        ("server.crt,server.key", &["tls.client_ca=empty", "tls.client_cert=required"], "holds no certificate"),
        ("auto", &["tls.listeners=http,frame"], "did you mean \"frames\""),
    ] {
        let said = with(tls, more);
        assert!(said.contains(word), "{word:?} is missing in {said}");
    }
}

#[test]
fn a_handshake_that_hangs_costs_little_and_holds_up_nobody() {
    const COUNT: usize = 400;
    let hub = Hub::auto();
    let rss = || {
        let status = fs::read_to_string(format!("/proc/{}/status", hub.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1_024
    };
    let ca = hub.path("data/tls-auto.crt");
    // Code and buffers that the first handshake brings in are not what this is about.
    assert!(hub.curl(&ca, "/healthz", &[]).status.success());
    let before = rss();
    // A record that declares its largest size, and most of what a handshake may have, but never its end.
    let mut bytes = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0x3F, 0xFC];
    bytes.extend([0; 8_000]);
    let addr = hub.addr("https");
    let hanging: Vec<_> = (0..COUNT)
        .map(|_| {
            let mut socket = std::net::TcpStream::connect(&addr).unwrap();
            socket.write_all(&bytes).unwrap();
            socket
        })
        .collect();
    // By the time that a newcomer has been served, they have been read: they came before it.
    for _ in 0..3 {
        assert!(hub.curl(&ca, "/healthz", &[]).status.success());
    }
    let grown = rss().saturating_sub(before) / COUNT;
    println!("{grown} bytes for each half-open handshake");
    assert!(grown <= 16 * 1_024, "{grown} bytes for each half-open handshake");
    drop(hanging);
}
