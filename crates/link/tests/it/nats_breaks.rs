//! NATS JetStream: connections that break again and again lose nothing, and leave nothing behind on the server.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use headwater_event::Settlement;
use headwater_link::{Options, open};

use super::given::{event, join, next, payload, soon};
use super::nats::Nats;
use super::wire::Wire;

/// How many events each round has.
const EACH: usize = 100;

/// How many subscriptions may be there more than at the beginning: of requests that are on their way.
const UNDER_WAY_MAX: u64 = 16;

/// What is on the server: connections, consumers and subscriptions.
#[derive(Clone, Copy, Debug)]
struct There {
    connections: u64,
    consumers: u64,
    subscriptions: u64,
}

impl There {
    fn ask(server: &Nats) -> Self {
        let varz = page(server, "/varz");
        Self {
            connections: number(&varz, "connections"),
            consumers: number(&page(server, "/jsz"), "consumers"),
            subscriptions: number(&varz, "subscriptions"),
        }
    }

    fn is_no_more_than(self, before: Self) -> bool {
        self.connections == before.connections
            && self.consumers == before.consumers
            && self.subscriptions <= before.subscriptions + UNDER_WAY_MAX
    }
}

/// A page of the server's monitoring.
fn page(server: &Nats, path: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.monitor)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// The number that the page tells by this name at first.
fn number(page: &str, name: &str) -> u64 {
    let (_, rest) = page.split_once(&format!("\"{name}\": ")).expect("it is told");
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_nats_that_break_again_and_again_lose_nothing_and_leave_nothing_behind() {
    let rounds = if std::env::var_os("HEADWATER_LONG").is_some() { 1_000 } else { 20 };
    let server = Nats::start("always");
    let wire = Wire::to(server.port).await;
    let url = server.url().replacen(&server.port.to_string(), &wire.addr.port().to_string(), 1);
    let engine = open(&format!("{url}&ack_wait=2"), Options::new("breaks")).await.unwrap();
    let bus = engine.bus();
    let mut member = join(&bus, "g/#").await;
    let mut seen = BTreeSet::new();
    let mut at_first = None;
    for round in 0..rounds {
        let appended = bus.append((0..EACH).map(|at| event("g/x", &(round * EACH + at).to_string())).collect());
        if at_first.is_some() {
            wire.cut();
        }
        soon(appended).await.expect("sent again");
        while seen.len() < (round + 1) * EACH {
            let deliveries = next(&mut member, EACH).await;
            seen.extend(deliveries.iter().map(|delivery| payload(delivery).parse::<usize>().unwrap()));
            let done = deliveries.iter().map(|delivery| (delivery.tag(), Settlement::Done)).collect();
            // What the server hasn't heard comes again.
            let _ = soon(member.settle(done)).await;
        }
        at_first.get_or_insert_with(|| tokio::task::block_in_place(|| There::ask(&server)));
    }
    let at_first = at_first.expect("one round at the least");
    let all_gone = async {
        while !tokio::task::block_in_place(|| There::ask(&server)).is_no_more_than(at_first) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), all_gone).await;
    assert!(waited.is_ok(), "{at_first:?} at first, {:?} now", There::ask(&server));
    assert_eq!(bus.head().seq, (rounds * EACH) as u64, "each is there once");
    engine.close().await;
}
