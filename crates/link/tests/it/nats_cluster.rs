//! Three NATS servers: what a quorum has acknowledged outlives the kill of its leader, whoever that is by then.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headwater_event::{Bus, Durability, Position};
use headwater_link::{Engine, LinkError, Options, open};

use super::given::{event, join, payload, soon};
use super::mosquitto::free_port;
use super::nats::program;

const NODES: usize = 3;

/// How often the leader is killed.
const KILLS: usize = 3;

/// How many events are acknowledged before, between and after the kills.
const SHARE: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_quorum_of_nats_acknowledged_outlives_the_kill_of_its_leader_again_and_again() {
    let mut cluster = Cluster::start();
    let engine = cluster.engine().await;
    let bus = engine.bus();
    assert_eq!(bus.abilities().durability, Durability::Quorum, "and no server says that it syncs");
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let (count, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    // What is appended before a group is there is not for it.
    let mut member = join(&bus, "g/#").await;
    let appending =
        tokio::spawn(append(Arc::clone(&bus), (Arc::clone(&acknowledged), Arc::clone(&count), Arc::clone(&stop))));
    let worked = Arc::new(Mutex::new(BTreeSet::new()));
    let working = tokio::spawn({
        let worked = Arc::clone(&worked);
        async move {
            loop {
                let deliveries = member.next(64).await.expect("deliveries");
                worked.lock().unwrap().extend(deliveries.iter().map(payload));
                // What isn't confirmed comes again.
                let _ = member
                    .settle(deliveries.iter().map(|d| (d.tag(), headwater_event::Settlement::Done)).collect())
                    .await;
            }
        }
    });
    let counted = Arc::clone(&count);
    let reached = |at| {
        let counted = Arc::clone(&counted);
        until(move || counted.load(Ordering::SeqCst) >= at)
    };
    reached(SHARE).await;
    let began = Instant::now();
    for _ in 0..KILLS {
        let leader = cluster.leader().await;
        tokio::task::block_in_place(|| cluster.kill(leader));
        println!("{:?}: n{leader} led, and is killed", began.elapsed());
        // Two are a quorum, once they have agreed who leads.
        reached(count.load(Ordering::SeqCst) + SHARE).await;
        println!("{:?}: it goes on without n{leader}", began.elapsed());
        tokio::task::block_in_place(|| cluster.start_again(leader));
        reached(count.load(Ordering::SeqCst) + SHARE).await;
    }
    stop.store(true, Ordering::SeqCst);
    soon(appending).await.unwrap();
    println!("{:?}: {} are acknowledged", began.elapsed(), count.load(Ordering::SeqCst));
    let acknowledged = acknowledged.lock().unwrap().clone();
    let mut tail = bus.tail(Position::new(bus.head().epoch, 0)).unwrap();
    let mut stored = Vec::new();
    loop {
        match soon(tail.next_now(&|_| true)).await {
            Ok(Some(batch)) => stored.extend(batch.events.iter().map(|recorded| recorded.event.payload.clone())),
            Ok(None) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let told: BTreeSet<_> = stored.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
    assert_eq!(acknowledged.difference(&told).count(), 0, "nothing that was acknowledged is lost");
    assert_eq!(told.len(), stored.len(), "and nothing is there twice");
    until(|| acknowledged.is_subset(&worked.lock().unwrap())).await;
    println!("{:?}: all are worked on", began.elapsed());
    working.abort();
}

type Books = (Arc<Mutex<BTreeSet<String>>>, Arc<AtomicUsize>, Arc<AtomicBool>);

async fn append(bus: Arc<dyn Bus>, (acknowledged, count, stop): Books) {
    let mut at = 0;
    while !stop.load(Ordering::SeqCst) {
        let batch: Vec<_> = (at..at + 10).map(|n| event("g/x", &n.to_string())).collect();
        at += 10;
        let payloads: Vec<_> = (at - 10..at).map(|n| n.to_string()).collect();
        // Sent again while a new leader is found, and known by its id.
        soon(bus.append(batch)).await.expect("durable in the end");
        acknowledged.lock().unwrap().extend(payloads);
        count.fetch_add(10, Ordering::SeqCst);
    }
}

async fn until(reached: impl Fn() -> bool) {
    let reached = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await; // sleep: counts have no bell
        }
    };
    tokio::time::timeout(Duration::from_secs(90), reached).await.expect("it goes on");
}

struct Cluster {
    folder: tempfile::TempDir,
    program: PathBuf,
    ports: Vec<(u16, u16)>,
    nodes: Vec<Child>,
}

impl Cluster {
    fn start() -> Self {
        let ports: Vec<_> = (0..NODES).map(|_| (free_port(), free_port())).collect();
        let mut cluster = Self { folder: tempfile::tempdir().unwrap(), program: program(), ports, nodes: Vec::new() };
        for node in 0..NODES {
            let child = cluster.spawn(node);
            cluster.nodes.push(child);
        }
        (0..NODES).for_each(|node| cluster.listens(node));
        cluster
    }

    fn spawn(&self, node: usize) -> Child {
        let conf = self.folder.path().join(format!("{node}.conf"));
        let routes: Vec<_> = self.ports.iter().map(|(_, route)| format!("nats://127.0.0.1:{route}")).collect();
        let (port, route) = self.ports[node];
        let text = format!(
            "server_name: n{node}\nlisten: 127.0.0.1:{port}\njetstream {{ store_dir: \"{}\" }}\n\
             cluster {{ name: c, listen: 127.0.0.1:{route}, routes: [{}] }}\n",
            self.folder.path().join(format!("store{node}")).display(),
            routes.join(", ")
        );
        std::fs::write(&conf, text).unwrap();
        let log =
            std::fs::File::options().create(true).append(true).open(self.folder.path().join(format!("{node}.log")));
        let mut server = Command::new(&self.program);
        server.arg("-c").arg(conf).stdout(Stdio::null()).stderr(log.unwrap());
        server.spawn().expect("a nats-server")
    }

    fn listens(&self, node: usize) {
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[node].0)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "it doesn't listen");
            std::thread::sleep(Duration::from_millis(5)); // sleep: another process begins to listen, and says so to nobody
        }
    }

    fn kill(&mut self, node: usize) {
        self.nodes[node].kill().unwrap();
        self.nodes[node].wait().unwrap();
    }

    fn start_again(&mut self, node: usize) {
        self.nodes[node] = self.spawn(node);
        self.listens(node);
    }

    async fn engine(&self) -> Engine {
        let url = format!("nats://127.0.0.1:{}?replicas=3&ack_wait=10", self.ports[0].0);
        let opened = async {
            loop {
                match open(&url, Options::new("test")).await {
                    Ok(engine) => return engine,
                    // They listen before they have found a leader.
                    Err(LinkError::Refused(_) | LinkError::Unreachable(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        soon(opened).await
    }

    /// The log's leader, when all nodes have all that it has: then one may go.
    async fn leader(&self) -> usize {
        let servers: Vec<_> = self.ports.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        let client = soon(async_nats::connect(servers)).await.expect("one of them is there");
        let context = async_nats::jetstream::new(client);
        let leader = async {
            loop {
                let stream = context.get_stream("HEADWATER").await;
                let told = stream.ok().and_then(|stream| stream.cached_info().cluster.clone());
                if let Some(told) = told
                    && let Some(leader) = &told.leader
                    && told.replicas.len() == NODES - 1
                    && told.replicas.iter().all(|peer| peer.current && !peer.offline)
                {
                    return leader.strip_prefix('n').unwrap().parse().unwrap();
                }
            }
        };
        soon(leader).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}
