//! NATS JetStream keeps the contract of the bus, and says what its acknowledgements mean.
//!
//! Debian's server is too old: `scripts/get-nats` gets one that is new enough.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use headwater_event::contract::{self, Harness};
use headwater_event::{Bus, Clock, Durability, Health, Later, Time};
use headwater_link::{Engine, LinkError, Options, open};
use tokio::runtime::Runtime;

use super::given::{done, event, join, keeps_all_but, next, payload, soon};
use super::mosquitto::free_port;
use super::network::here;

const DECLARED: &[&str] = &[
    "an_id_is_known_after_a_crash",
    // It keeps no numbers of producers.
    "a_producer_that_is_not_known_has_no_number",
    "numbers_go_up_by_one_and_a_hole_fails_the_batch_whole",
    "a_known_number_adds_nothing",
    "each_producer_counts_for_itself",
    "numbers_are_checked_in_the_order_of_the_calls",
    "the_last_number_waits_for_what_was_appended_before",
    "numbers_survive_a_crash",
    "a_number_that_is_used_up_is_known_and_the_next_one_follows",
    "using_up_follows_the_same_order",
    "a_used_up_number_survives_a_crash",
    // A test can't say when the server frees.
    "a_tail_before_what_retention_kept_is_told_so",
    // It lists only the groups of this process.
    "groups_are_listed_after_a_crash",
    // The worker keeps the wait before a retry, in memory.
    "a_retry_comes_after_its_wait_and_not_before",
    "without_a_wait_the_groups_back_off_counts",
    "the_back_off_doubles_up_to_its_cap",
    "a_retry_survives_a_crash_with_its_attempt",
    "a_wait_goes_on_over_a_crash",
    // A test can't break the server's disk.
    "failed_storage_acknowledges_nothing_and_reads_go_on",
    "what_was_acknowledged_before_the_storage_failed_is_there_after_a_crash",
    "a_group_that_retention_overtook_is_told_once_and_goes_on",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_the_contract_of_the_bus_is_kept() {
    let make = || -> Later<'static, _> { Box::pin(async { Box::new(Linked::new().await) as Box<dyn Harness> }) };
    keeps_all_but(&make, DECLARED).await;
}

/// One duty alone, several times, as what breaks it happens by chance; `HEADWATER_DUTY=NAME HEADWATER_TIMES=30` look longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_one_duty_is_kept_again_and_again() {
    let make = || -> Later<'static, _> { Box::pin(async { Box::new(Linked::new().await) as Box<dyn Harness> }) };
    let wanted = std::env::var("HEADWATER_DUTY").unwrap_or_else(|_| "a_group_begins_where_it_was_told_to".to_owned());
    let times: usize = std::env::var("HEADWATER_TIMES").map_or(3, |times| times.parse().unwrap());
    let cases: Vec<_> = contract::cases().into_iter().filter(|case| case.name.contains(&wanted)).collect();
    assert!(!cases.is_empty(), "there is no duty {wanted}");
    for time in 1..=times {
        for case in &cases {
            let outcome = contract::run(*case, &make).await;
            assert!(!matches!(outcome, contract::Outcome::Broken(_)), "{} at time {time}: {outcome}", case.name);
        }
    }
}

#[tokio::test]
async fn over_nats_what_is_told_is_heard_and_kept_by_nobody_and_the_server_tells_how_far_a_group_is_behind() {
    let (server, clock) = (Nats::start("always"), Clock::system());
    let (one, other) = (link(server.url(), clock.clone()).await, link(server.url(), clock.clone()).await);
    super::talk::is_heard_and_kept_by_nobody(&one.bus(), &other.bus()).await;
    assert_eq!(other.bus().head().seq, 0, "no place in the log");
    let bus = one.bus();
    let mut member = join(&bus, "a/#").await;
    for n in 0..5 {
        soon(bus.append(vec![event("a/b", &n.to_string()), event("else", "x")])).await.unwrap();
    }
    let lag = async || {
        let group = bus.groups(None, 1).remove(0);
        soon(bus.lag(&group)).await.unwrap()
    };
    assert_eq!((lag().await.events, lag().await.is_exact), (5, true));
    let mut settled = 0;
    while settled < 5 {
        let deliveries = next(&mut member, 2).await;
        assert!(lag().await.since.is_some());
        settled += done(&mut member, &deliveries).await;
        assert_eq!(lag().await.events, 5 - settled as u64);
    }
    assert_eq!(lag().await.since, None);
}

#[tokio::test]
async fn nats_is_asked_what_its_acknowledgements_mean() {
    let server = Nats::start("always");
    let engine = open(&server.url(), Options::new("test")).await.expect("it syncs always, and says so");
    assert_eq!(engine.bus().abilities().durability, Durability::Synced);
    let silent = format!("nats://127.0.0.1:{}", server.port);
    let error = open(&silent, Options::new("test")).await.err().expect("less than a quorum");
    assert!(matches!(error, LinkError::NotDurable(_)), "{error}");
    let written = Options { require: Some(Durability::Written), ..Options::new("test") };
    assert!(open(&silent, written).await.is_ok());
    let lazy = Nats::start("2m");
    assert!(matches!(open(&lazy.url(), Options::new("test")).await, Err(LinkError::NotDurable(_))));
}

#[tokio::test]
async fn an_old_nats_is_refused_and_one_that_is_not_there_is_named() {
    let url = format!("nats://me:s3cret@127.0.0.1:{}", free_port());
    let error = open(&url, Options::new("test")).await.err().expect("nobody is there");
    assert!(matches!(error, LinkError::Unreachable(_)) && !error.to_string().contains("s3cret"), "{error}");
    let debian = Path::new("/usr/sbin/nats-server");
    if debian.exists() {
        let old = Nats::of(debian, "2m");
        let error = open(&old.url(), Options::new("test")).await.err().expect("refused");
        assert!(matches!(&error, LinkError::Refused(why) if why.contains("2.10.23")), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_password_of_nats_is_told_as_one() {
    let server = Nats::with(&program(), "always", "authorization { user: me, password: right }");
    let url = |password: &str| server.url().replace("nats://", &format!("nats://me:{password}@"));
    let error = open(&url("wr0ng"), Options::new("test")).await.err().expect("refused");
    assert!(matches!(error, LinkError::Refused(_)), "{error:?}");
    let sentence = error.to_string();
    assert!(sentence.contains("password is wrong") && !sentence.contains("wr0ng"), "{sentence}");
    assert!(open(&url("right"), Options::new("test")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_nats_loses_nothing_that_it_acknowledged() {
    let mut server = Nats::start("always");
    let engine = open(&server.url(), Options::new("test")).await.unwrap();
    let bus = engine.bus();
    let mut member = join(&bus, "g/#").await;
    soon(bus.append((0..50).map(|at| event("g/x", &at.to_string())).collect())).await.unwrap();
    tokio::task::block_in_place(|| server.kill());
    let waiting = bus.append(vec![event("g/x", "50")]);
    tokio::task::block_in_place(|| server.start_again());
    soon(waiting).await.expect("sent again");
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 51 {
        let deliveries = next(&mut member, 16).await;
        seen.extend(deliveries.iter().map(|delivery| payload(delivery).parse::<u32>().unwrap()));
        done(&mut member, &deliveries).await;
    }
    assert_eq!(seen, (0..=50).collect());
    let good = async {
        while bus.health() != Health::Good {
            tokio::task::yield_now().await;
        }
    };
    soon(good).await;
}

/// What the server is told in that order it brings in that order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_leaving_process_had_is_given_back_in_the_order_of_the_log() {
    let server = Nats::start("always");
    let engine = opened(&server.url()).await;
    let mut leaving = join(&engine.bus(), "g/#").await;
    soon(engine.bus().append((0..60).map(|at| event("g/x", &at.to_string())).collect())).await.unwrap();
    let mut had = 0;
    while had < 60 {
        had += next(&mut leaving, 60 - had).await.len();
    }
    drop((leaving, engine));
    // Without us, who would bring them into order.
    let client = async_nats::connect(format!("127.0.0.1:{}", server.port)).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("HEADWATER").await.unwrap();
    let group = stream.get_consumer::<async_nats::jetstream::consumer::pull::Config>("service%2Fw").await.unwrap();
    let mut messages = group.messages().await.unwrap();
    let mut came = Vec::new();
    while came.len() < 60 {
        let message = soon(messages.next()).await.unwrap().unwrap();
        let info = message.info().unwrap();
        assert_eq!(info.delivered, 2, "once, and to nobody who has left");
        came.push(info.stream_sequence);
    }
    // The server puts one behind the others for each request of somebody who has left.
    let behind = came.windows(2).filter(|pair| pair[0] > pair[1]).count();
    came.sort_unstable();
    assert_eq!((came, behind <= 2), ((1..=60).collect(), true), "{behind} behind later ones");
}

async fn opened(url: &str) -> Engine {
    open(url, Options::new("test")).await.unwrap()
}

/// A server on free ports.
pub struct Nats {
    folder: tempfile::TempDir,
    program: std::path::PathBuf,
    sync: String,
    more: String,
    host: Ipv4Addr,
    pub port: u16,
    pub monitor: u16,
    child: Child,
}

impl Nats {
    pub fn start(sync: &str) -> Self {
        Self::of(&program(), sync)
    }

    fn of(program: &Path, sync: &str) -> Self {
        Self::with(program, sync, "")
    }

    /// With more settings.
    fn with(program: &Path, sync: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..5 {
            let (port, monitor) = (free_port(), free_port());
            if let Some(child) = spawn(program, folder.path(), sync, more, (port, monitor)) {
                return Self {
                    folder,
                    program: program.into(),
                    sync: sync.into(),
                    more: more.into(),
                    host: here(),
                    port,
                    monitor,
                    child,
                };
            }
        }
        panic!("{} doesn't start", program.display());
    }

    pub fn url(&self) -> String {
        format!("nats://{0}:{1}?monitor={0}:{2}", self.host, self.port, self.monitor)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn stop(&mut self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(told.unwrap().success());
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        let child = spawn(&self.program, self.folder.path(), &self.sync, &self.more, (self.port, self.monitor));
        self.child = child.expect("it starts again");
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that is new enough.
pub fn program() -> std::path::PathBuf {
    let given = std::env::var_os("HEADWATER_NATS_SERVER").map(std::path::PathBuf::from);
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/engines/bin/nats-server");
    let program = given.unwrap_or_else(usual);
    assert!(program.exists(), "{} is not there: scripts/get-nats gets it", program.display());
    program
}

fn spawn(program: &Path, folder: &Path, sync: &str, more: &str, (port, monitor): (u16, u16)) -> Option<Child> {
    let conf = folder.join("nats.conf");
    let host = here();
    // Servers before 2.10 don't know it.
    let sync = if program.starts_with("/usr/sbin") { String::new() } else { format!("sync_interval: {sync}") };
    let text = format!(
        "listen: {host}:{port}\nhttp: {host}:{monitor}\njetstream {{\n store_dir: \"{}\"\n {sync}\n}}\n{more}\n",
        folder.join("store").display()
    );
    std::fs::write(&conf, text).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut child =
        Command::new(program).arg("-c").arg(&conf).stdout(Stdio::null()).stderr(log).spawn().expect("a nats-server");
    let began = Instant::now();
    while TcpStream::connect((host, port)).is_err() || TcpStream::connect((host, monitor)).is_err() {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it doesn't listen");
        std::thread::sleep(Duration::from_millis(5)); // sleep: another process begins to listen, and says so to nobody
    }
    Some(child)
}

struct Linked {
    server: Nats,
    engine: Option<Engine>,
    /// The engine's connection lives here, and dies with it.
    process: Option<Runtime>,
    clock: Clock,
}

impl Linked {
    async fn new() -> Self {
        let (server, clock) = (Nats::start("always"), Clock::manual(Time(1_800_000_000_000_000)));
        let mut linked = Self { server, engine: None, process: None, clock };
        linked.begin().await;
        linked
    }

    async fn begin(&mut self) {
        let process = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // What a dead process had comes again soon enough for the contract.
        let (url, clock) = (format!("{}&ack_wait=5", self.server.url()), self.clock.clone());
        self.engine = Some(process.spawn(link(url, clock)).await.unwrap());
        self.process = Some(process);
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.process.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

async fn link(url: String, clock: Clock) -> Engine {
    let opened = async {
        loop {
            match open(&url, Options { clock: clock.clone(), ..Options::new("test") }).await {
                Ok(engine) => return engine,
                // It listens before its JetStream is ready.
                Err(LinkError::Refused(_) | LinkError::Unreachable(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    soon(opened).await
}

impl Harness for Linked {
    fn bus(&self) -> Arc<dyn Bus> {
        self.engine.as_ref().unwrap().bus()
    }

    fn crash(&mut self) -> Later<'_, ()> {
        Box::pin(async {
            // The connection first, and what it would still have sent: this process has no chance to give anything back.
            self.process.take().into_iter().for_each(Runtime::shutdown_background);
            drop(self.engine.take());
            // In good order: it confirms settlements before it writes them, so that after a kill the last ones come again.
            tokio::task::block_in_place(|| self.server.stop());
            tokio::task::block_in_place(|| self.server.start_again());
            self.begin().await;
        })
    }

    fn pass(&mut self, time: Duration) -> Later<'_, ()> {
        self.clock.advance(time);
        Box::pin(std::future::ready(()))
    }

    fn span(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn too_large(&self) -> Option<usize> {
        Some(2_000_000)
    }

    fn close(&mut self) -> Later<'_, bool> {
        Box::pin(async {
            self.engine.as_ref().unwrap().close().await;
            true
        })
    }
}
