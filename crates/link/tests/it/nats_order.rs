//! NATS JetStream: what is appended stands in the log in the order of the calls, whatever becomes of the connection meanwhile.

use futures_util::future::join_all;
use headwater_event::{Bus, Position};
use headwater_link::{Options, open};

use super::given::{event, soon};
use super::nats::Nats;
use super::wire::Wire;

const BATCHES: usize = 150;
const EACH: usize = 40;

/// The payloads of the whole log.
async fn log(bus: &dyn Bus) -> Vec<usize> {
    let mut tail = bus.tail(Position::new(bus.head().epoch, 0)).unwrap();
    let mut found = Vec::new();
    while let Some(batch) = soon(tail.next_now(&|_| true)).await.unwrap() {
        let number = |payload: &[u8]| std::str::from_utf8(payload).unwrap().parse::<usize>().unwrap();
        found.extend(batch.events.iter().map(|recorded| number(&recorded.event.payload)));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_appends_keep_their_order_over_cut_connections_and_a_killed_server() {
    let mut server = Nats::start("always");
    let wire = Wire::to(server.port).await;
    let url = server.url().replacen(&server.port.to_string(), &wire.addr.port().to_string(), 1);
    let engine = open(&url, Options::new("order")).await.unwrap();
    let bus = engine.bus();
    let batch = |at: usize| (at * EACH..(at + 1) * EACH).map(|n| event("a/b", &n.to_string())).collect();
    // All of them are called for at once, so there's always something on its way.
    let appends: Vec<_> = (0..BATCHES).map(|at| bus.append(batch(at))).collect();
    let appending = tokio::spawn(join_all(appends));
    for fault in 1..=8 {
        while bus.head().seq < (fault * BATCHES * EACH / 10) as u64 {
            assert!(!appending.is_finished(), "all is appended before the last fault");
            tokio::task::yield_now().await;
        }
        if fault % 4 == 0 {
            tokio::task::block_in_place(|| {
                server.kill();
                server.start_again();
            });
        }
        wire.cut();
    }
    for receipts in soon(appending).await.unwrap() {
        assert_eq!(receipts.expect("durable in the end").len, EACH);
    }
    assert_eq!(log(&*bus).await, (0..BATCHES * EACH).collect::<Vec<_>>(), "each once, and in its order");
}
