//! A start whose engine or store says no, or isn't there: one sentence and exit code 2, or patience for as long as is set.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use headwater_service::StoreUrl;
use headwater_service::testing::Postgres;

use crate::http_client::get;
use crate::mosquitto::Mosquitto;
#[cfg(feature = "engines")]
use crate::nats_server::NatsServer;
use crate::program::{PATIENCE, Place};
#[cfg(feature = "engines")]
use crate::rabbit::{Rabbit, Redis};
use crate::relay::{Way, replacing};

/// Starts a hub with these settings, and waits for its end; whoever asks for nothing else must not wait for long.
fn start(args: &[&str]) -> Output {
    let place = Place::new();
    let data = place.data().display().to_string();
    let quiet = ["serve", "--http", "127.0.0.1:0", "--mqtt", "off", "--frames", "off", "--data", &data];
    place.run(&[&quiet[..], args].concat())
}

/// It ends with 2 and one sentence with these words in it, and no password.
fn refuses(args: &[&str], words: &str) {
    let output = start(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(said.starts_with("headwater: ") && said.lines().count() == 1, "{args:?}: {said}");
    assert!(said.contains(words), "{args:?}: {said}");
    assert!(!said.contains("s3cret") && !said.contains("wr0ng"), "{said}");
    assert!(output.stdout.is_empty(), "nothing was started");
}

fn nobody() -> SocketAddr {
    // Somebody else may take it at once, but hardly one that speaks what is asked for here.
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn at(scheme: &str, login: &str, addr: SocketAddr) -> String {
    format!("{scheme}://{login}{addr}")
}

#[test]
fn a_broker_that_is_not_there_ends_the_start() {
    refuses(&["--engine", &at("mqtt", "me:s3cret@", nobody())], "can't be reached: Connection refused");
    refuses(&["--engine", "mqtt://me:s3cret@nobody.invalid"], "the engine mqtt://nobody.invalid:1883 can't be reached");
}

#[test]
fn a_broker_that_says_no_ends_the_start_whatever_the_patience() {
    let broker = Mosquitto::with_files("allow_anonymous false\npassword_file FOLDER/users\n", |folder| {
        let mut passwd = Command::new("mosquitto_passwd");
        passwd.args(["-c", "-b"]).arg(folder.join("users")).args(["me", "s3cret"]);
        assert!(passwd.status().expect("mosquitto_passwd is installed (Debian: mosquitto)").success());
    });
    let url = at("mqtt", "me:wr0ng@", broker.addr());
    refuses(&["--engine", &url, "--start-wait", "1h"], "refuses us: not authorised");
    refuses(&["--engine", &broker.url()], "refuses us: not authorised");
}

#[test]
fn a_broker_that_is_too_old_ends_the_start() {
    let broker = Mosquitto::start();
    // What it says to a version that it has never heard of is what an old one says to 5.
    let url = at("mqtt", "", replacing(broker.addr(), Way::ToServer, b"MQTT\x05", b"MQTT\x09"));
    refuses(&["--engine", &url], "doesn't speak this version of MQTT");
}

#[cfg(feature = "engines")]
#[test]
fn a_nats_that_is_not_there_or_says_no_ends_the_start() {
    refuses(&["--engine", &at("nats", "me:s3cret@", nobody())], "can't be reached");
    refuses(&["--engine", "nats://me:s3cret@nobody.invalid"], "the engine nats://nobody.invalid:4222 can't be reached");
    let server = NatsServer::with("authorization { user: me, password: s3cret }\n");
    refuses(&["--engine", &at("nats", "me:wr0ng@", server.addr()), "--start-wait", "1h"], "password is wrong");
    refuses(&["--engine", &server.url()], "password is wrong");
    let open = NatsServer::start();
    let strange = format!("nats://{}?monitor={}", open.addr(), open.addr());
    refuses(&["--engine", &strange, "--start-wait", "1h"], "has no monitoring page");
}

#[cfg(feature = "engines")]
#[test]
fn a_nats_that_is_too_old_ends_the_start() {
    let debian = std::path::Path::new("/usr/sbin/nats-server");
    if !debian.exists() {
        return crate::program::skipped("nats-server of Debian");
    }
    let server = NatsServer::of(debian);
    refuses(&["--engine", &at("nats", "", server.addr()), "--start-wait", "1h"], "before 2.10.23");
}

#[cfg(feature = "engines")]
#[test]
fn a_rabbitmq_or_a_redis_that_is_not_there_says_no_or_is_too_old_ends_the_start() {
    let (rabbit, redis, locked) = (Rabbit::start(), Redis::start(), Redis::with(Some("s3cret")));
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, rabbit.port()));
    let state = SocketAddr::from((Ipv4Addr::LOCALHOST, redis.port()));
    let good = at("amqp", "", server);
    let version = rabbit.ask(&["version"]);
    assert!(version.trim().starts_with("3.10."), "the words below are for Debian 12's, not for {version}");
    let old_rabbit = replacing(server, Way::FromServer, b"versionS\0\0\0\x063.10.", b"versionS\0\0\0\x063.09.");
    let old_redis = replacing(state, Way::FromServer, b"version\r\n$6\r\n7", b"version\r\n$6\r\n6");
    for (engine, state, words) in [
        (at("amqp", "me:s3cret@", nobody()), redis.url(), "can't be reached: Connection refused"),
        (
            "amqp://me:s3cret@nobody.invalid".into(),
            redis.url(),
            "the engine amqp://nobody.invalid:5672 can't be reached",
        ),
        (at("amqp", "me:wr0ng@", server), redis.url(), "the user name or password is wrong"),
        (format!("{good}/nowhere"), redis.url(), "no such virtual host"),
        (at("amqp", "", old_rabbit), redis.url(), "is RabbitMQ 3.09.8, and 3.10 or later is needed"),
        (good.clone(), at("redis", "me:s3cret@", nobody()), "can't be reached: Connection refused"),
        (good.clone(), "redis://:s3cret@nobody.invalid".into(), "state redis://nobody.invalid:6379 can't be reached"),
        (good.clone(), format!("redis://:wr0ng@127.0.0.1:{}", locked.port()), "the user name or password is wrong"),
        (good.clone(), locked.url(), "the user name or password is wrong"),
        (good.clone(), at("redis", "", old_redis), "is Redis 6.0.15, and 7 or later is needed"),
    ] {
        refuses(&["--engine", &engine, "--state", &state], words);
    }
}

/// A server with a database of its own: where it is, and what stands behind the host.
fn database(server: &Postgres) -> (SocketAddr, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let StoreUrl::Postgres { config } = runtime.block_on(server.database()) else { unreachable!() };
    let (addr, name) = config.rsplit_once('@').unwrap().1.split_once('/').unwrap();
    (addr.parse().unwrap(), name.to_owned())
}

#[test]
fn a_postgresql_that_is_not_there_says_no_or_is_too_old_ends_the_start() {
    let Some(server) = Postgres::start() else { return };
    let (addr, name) = database(&server);
    let old = replacing(addr, Way::FromServer, b"\0\0\0\x06150", b"\0\0\0\x06110");
    for (url, words) in [
        (format!("postgres://me:s3cret@{}/x", nobody()), "can't be reached: Connection refused"),
        (
            "postgres://me:s3cret@nobody.invalid/x".to_owned(),
            "the store postgres://me@nobody.invalid/x can't be reached",
        ),
        (format!("postgres://nobody:s3cret@{addr}/{name}"), "refuses us: role \"nobody\" does not exist"),
        (format!("postgres://test@{addr}/nowhere"), "refuses us: database \"nowhere\" does not exist"),
        (format!("postgres://test@{addr}/{name}?sslmode=require"), "TLS"),
        (format!("postgres://test@{old}/{name}"), "it is PostgreSQL 11, and 12 or later is needed"),
    ] {
        refuses(&["--store", &url], words);
    }
    server.ask_for_password("s3cret");
    for (login, words) in [
        ("test:wr0ng", "refuses us: password authentication failed for user \"test\""),
        ("test", "refuses us: invalid configuration: password missing"),
    ] {
        refuses(&["--store", &format!("postgres://{login}@{addr}/{name}"), "--start-wait", "1h"], words);
    }
    let place = Place::new().arg("--store").arg(&format!("postgres://test:s3cret@{addr}/{name}"));
    assert!(place.start().stop().success(), "the right one is let in");
}

/// Starts a hub with patience, waits until it says that it waits, and does this; then the hub is there.
fn is_waited_for(args: &[&str], who: &str, then: impl FnOnce() + Send) {
    let place = args.iter().fold(Place::new().arg("--start-wait").arg("10min"), |place, arg| place.arg(arg));
    let said = place.dir.join("said");
    let hub = thread::scope(|scope| {
        scope.spawn(|| {
            waits(|| std::fs::read_to_string(&said).unwrap_or_default());
            then();
        });
        place.start()
    });
    assert_eq!(get(hub.http, "/readyz").status, 200);
    let said = hub.said();
    assert_eq!(said.matches("it's tried again for up to 600 s (start_wait)").count(), 1, "said once: {said}");
    assert!(said.contains(who), "{said}");
    assert!(hub.stop().success());
}

fn waits(said: impl Fn() -> String) {
    let begun = Instant::now();
    while !said().contains("it's tried again") {
        assert!(begun.elapsed() < PATIENCE, "it never says that it waits");
        thread::yield_now();
    }
}

#[test]
fn a_broker_that_is_not_there_yet_is_waited_for() {
    let mut broker = Mosquitto::start();
    broker.kill();
    let url = broker.url();
    is_waited_for(&["--engine", &url], &format!("the engine {url} can't be reached"), || broker.start_again());
}

#[cfg(feature = "engines")]
#[test]
fn a_redis_that_is_not_there_yet_is_waited_for() {
    let (rabbit, mut redis) = (Rabbit::start(), Redis::start());
    redis.kill();
    let (engine, state) = (format!("amqp://127.0.0.1:{}", rabbit.port()), redis.url());
    let who = format!("the engine's state {state} can't be reached");
    is_waited_for(&["--engine", &engine, "--state", &state], &who, || redis.start_again());
}

#[test]
fn a_postgresql_that_is_not_there_yet_is_waited_for() {
    let Some(server) = Postgres::start() else { return };
    let (addr, name) = database(&server);
    server.stop();
    let url = format!("postgres://test@{addr}/{name}");
    is_waited_for(&["--store", &url], &format!("the store {url} can't be reached"), || server.restart());
}

#[test]
fn patience_ends_as_it_was_set() {
    let begun = Instant::now();
    let output = start(&["--engine", &at("mqtt", "me:s3cret@", nobody()), "--start-wait", "300ms"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("can't be reached") && said.contains("it was waited for 0.3 s"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_start_that_waits_can_be_told_to_end() {
    let place = Place::new();
    let said = place.dir.join("said");
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_headwater"));
    waiting.args(["serve", "--http", "127.0.0.1:0", "--mqtt", "off", "--frames", "off", "--start-wait", "1h"]);
    waiting.args(["--engine", &at("mqtt", "", nobody()), "--data"]).arg(place.data());
    waiting.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&said).unwrap());
    let mut waiting: Child = waiting.spawn().unwrap();
    waits(|| std::fs::read_to_string(&said).unwrap());
    assert!(Command::new("kill").args(["-TERM", &waiting.id().to_string()]).status().unwrap().success());
    assert_eq!(waiting.wait().unwrap().code(), Some(0), "{}", std::fs::read_to_string(&said).unwrap());
}
