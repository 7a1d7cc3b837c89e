//! Random lives of watchers against the plainest model: who watches gets each wanted event once, in order, or is told
//! the gap. Proptest prints the case that fails, made small.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_event::*;
use headwater_hub::*;
use proptest::prelude::*;
use tokio::task::{JoinHandle, yield_now};

use crate::bus::{EPOCH, VecBus};
use crate::support::*;

const TOPICS: [&str; 4] = ["a/1", "a/2", "b/1", "c"];
const FILTERS: [&str; 5] = ["a/+", "#", "a/1", "+/1", "none"];
const WATCHERS: usize = 3;

#[derive(Clone, Debug)]
enum Deed {
    /// So many events of one topic, with payloads of so many bytes.
    Publish {
        topic: usize,
        count: usize,
        len: usize,
        sticky: bool,
    },
    /// A watcher's socket takes so many bytes more.
    Allow {
        watcher: usize,
        bytes: usize,
    },
    Stall {
        watcher: usize,
    },
    /// A frame of the edge's own goes in between.
    Own {
        watcher: usize,
    },
    /// The connection breaks and the client comes back with the last position that it has seen as a whole.
    Resume {
        watcher: usize,
    },
    /// Other tasks get so many turns.
    Wait {
        turns: usize,
    },
}

#[derive(Clone, Copy, Debug)]
struct Wish {
    filter: usize,
    sticky: bool,
    behind: WhenBehind,
}

fn deed() -> impl Strategy<Value = Deed> {
    let watcher = 0..WATCHERS;
    prop_oneof![
        4 => (0..TOPICS.len(), 1..6_usize, 0..60_usize, any::<bool>())
            .prop_map(|(topic, count, len, sticky)| Deed::Publish { topic, count, len, sticky }),
        4 => (watcher.clone(), 1..200_usize).prop_map(|(watcher, bytes)| Deed::Allow { watcher, bytes }),
        1 => watcher.clone().prop_map(|watcher| Deed::Stall { watcher }),
        1 => watcher.clone().prop_map(|watcher| Deed::Own { watcher }),
        1 => watcher.prop_map(|watcher| Deed::Resume { watcher }),
        4 => (0..12_usize).prop_map(|turns| Deed::Wait { turns }),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let behind = prop_oneof![Just(WhenBehind::CatchUp), Just(WhenBehind::Gap)];
    (0..FILTERS.len(), any::<bool>(), behind).prop_map(|(filter, sticky, behind)| Wish { filter, sticky, behind })
}

/// One watcher: its connections, one after the other, and what all of them were told.
struct Watcher {
    wish: Wish,
    outlet: Arc<Outlet>,
    socket: Socket,
    task: JoinHandle<Closed>,
    told: Told,
}

/// What a client has understood.
#[derive(Debug, Default)]
struct Told {
    /// Everything up to here was told; `None` while the states are being told.
    position: Option<Seq>,
    states: BTreeMap<String, Seq>,
    events: Vec<Seq>,
    gaps: Vec<(Seq, Seq)>,
    /// The watch began after this one.
    began: Seq,
    /// The client came back after the states: what had changed while they were told comes again then.
    is_back: bool,
}

impl Watcher {
    async fn connect(hub: &Arc<Hub>, wish: Wish, mut told: Told) -> Self {
        let socket = Socket::stalled();
        let outlet = hub.outlet(Principal::anonymous(), Box::new(socket.clone()), OutletSettings::default());
        let sticky = wish.sticky && told.position.is_none();
        let from = told.position.map_or(From::Now, |seq| From::After(Position::new(EPOCH, seq)));
        if told.position.is_none() {
            told = Told { began: hub.head().seq, ..Told::default() };
        }
        told.is_back = told.position.is_some();
        if !sticky && told.position.is_none() {
            told.position = Some(told.began);
        }
        let watch = Watch { from, sticky, behind: wish.behind, ..watch(FILTERS[wish.filter]) };
        outlet.watch(watch).await.unwrap();
        let task = drive(&outlet, &socket);
        Self { wish, outlet, socket, task, told }
    }

    /// Reads the whole frames that came; a rest without an end is what a broken connection leaves.
    fn read(&mut self) {
        let text = self.socket.text();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let words: Vec<_> = line.trim_end().split(' ').collect();
            let seq = |at: usize| words[at].rsplit(':').next().unwrap().parse::<Seq>().unwrap();
            match words[0] {
                "own" => {}
                "state" => {
                    assert_eq!(self.told.position, None, "a state after the states");
                    assert_eq!(self.told.states.insert(words[2].into(), seq(1)), None, "a state twice");
                }
                "states" => {
                    self.told.position = Some(seq(1));
                    self.told.began = seq(1);
                }
                "event" => {
                    let position = self.told.position.expect("an event before the states' end");
                    assert!(seq(1) > position, "{} came after {position}", seq(1));
                    assert!(is_wanted(self.wish.filter, words[2]), "not wanted: {line}");
                    self.told.position = Some(seq(1));
                    self.told.events.push(seq(1));
                }
                "gap" => {
                    let position = self.told.position.expect("a gap before the states' end");
                    assert!(seq(1) >= position, "a gap after {} came after {position}", seq(1));
                    self.told.position = Some(seq(2));
                    self.told.gaps.push((seq(1), seq(2)));
                }
                other => panic!("not a word of the protocol: {other:?} in {text:?}"),
            }
        }
        self.socket.forget();
    }

    /// All that it should have been told was told.
    fn check(&self, log: &[(Seq, String)]) {
        let told = &self.told;
        let in_gap = |seq: Seq| told.gaps.iter().any(|(after, up_to)| *after < seq && seq <= *up_to);
        for (seq, topic) in log.iter().filter(|(seq, _)| *seq > told.began) {
            let wanted = is_wanted(self.wish.filter, topic);
            let was_told = told.events.contains(seq);
            let is_in_state = told.states.get(topic).is_some_and(|state| state >= seq);
            assert!(!(was_told && is_in_state) || told.is_back, "{seq} of {topic} was told again: {told:?}");
            assert!(!(was_told && in_gap(*seq)), "{seq} is in a gap and was told: {told:?}");
            assert_eq!(was_told || is_in_state || in_gap(*seq), wanted || in_gap(*seq), "{seq} {topic}: {told:?}");
        }
        assert!(self.wish.behind == WhenBehind::Gap || told.gaps.is_empty(), "{told:?}");
    }
}

fn is_wanted(at: usize, topic: &str) -> bool {
    filter(FILTERS[at]).matches(topic)
}

async fn live(wishes: Vec<Wish>, deeds: Vec<Deed>) {
    let fanout = FanoutSettings { ring_bytes_max: 250, shards: 2, ..FanoutSettings::default() };
    let hub = Hub::start(VecBus::new(), Settings { fanout, ..Settings::default() });
    let mut log = Vec::new();
    let mut watchers = Vec::new();
    publish(&hub, vec![sticky("a/1", "old"), sticky("c", "old")]).await;
    log.extend([(1, "a/1".to_owned()), (2, "c".to_owned())]);
    for wish in wishes {
        watchers.push(Watcher::connect(&hub, wish, Told::default()).await);
    }
    for deed in deeds {
        match deed {
            Deed::Publish { topic, count, len, sticky } => {
                let one = || Publication { sticky, ..publication(TOPICS[topic], vec![b'x'; len]) };
                let receipts = publish(&hub, (0..count).map(|_| one()).collect()).await;
                log.extend(receipts.iter().map(|receipt| (receipt.position.seq, TOPICS[topic].to_owned())));
            }
            Deed::Allow { watcher, bytes } => watchers[watcher].socket.allow(bytes),
            Deed::Stall { watcher } => watchers[watcher].socket.stall(),
            Deed::Own { watcher } => watchers[watcher].outlet.send("own\n".into()).unwrap(),
            Deed::Resume { watcher } => {
                let mut old = watchers.swap_remove(watcher);
                old.task.abort();
                old.read();
                let new = Watcher::connect(&hub, old.wish, old.told).await;
                watchers.push(new);
            }
            Deed::Wait { turns } => {
                for _ in 0..turns {
                    yield_now().await;
                }
            }
        }
    }
    for mut watcher in watchers {
        watcher.socket.allow(usize::MAX);
        settle(&watcher.socket).await;
        watcher.read();
        watcher.check(&log);
        watcher.task.abort();
    }
}

/// Waits until nothing more comes: the tasks of a single thread have all had many turns in which nothing was written.
async fn settle(socket: &Socket) {
    let mut before = usize::MAX;
    loop {
        for _ in 0..200 {
            yield_now().await;
        }
        let now = socket.text().len();
        if now == before {
            break;
        }
        before = now;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::with_cases(300) })]
    #[test]
    fn each_watcher_gets_each_event_once_and_in_order(
        wishes in prop::collection::vec(wish(), WATCHERS),
        deeds in prop::collection::vec(deed(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(live(wishes, deeds));
    }
}
