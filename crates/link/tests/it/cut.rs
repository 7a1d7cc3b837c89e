//! The network between a process and its engine is cut under load, and healed: noticed in time, nothing told to be safe that
//! isn't, nothing lost, and all goes on by itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_event::{Bus, Health, Member, Publication, Settlement};
use headwater_link::Engine;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep_until, timeout};

use super::given::{event, join, link, payload, soon};
use super::mosquitto::Mosquitto;
use super::network::Network;

/// How long the network is gone: by then what TCP sends again it sends so seldom that a connection which nobody has given up
/// would go on too late.
const CUT: Duration = Duration::from_secs(27);
const CUT_LONG: Duration = Duration::from_secs(90);

/// What docs/engines.md says: how soon a cut is noticed, and how soon all goes on when it's over.
const NOTICED_MAX: Duration = Duration::from_secs(15);
const BACK_MAX: Duration = Duration::from_secs(20);

/// What this machine may be late by in noticing, as it has more to do.
const LATE: Duration = Duration::from_secs(5);

/// What had come in before the cut may be told a moment after it.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// How many append side by side, how much at once, and how often.
const PRODUCERS: usize = 4;
const BATCH: u64 = 10;
const PACE: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_cut_of_the_network_is_noticed_in_time_and_loses_nothing_that_was_acknowledged() {
    let Some(network) = tokio::task::block_in_place(Network::start) else { return };
    let broker = tokio::task::block_in_place(|| network.inside(Mosquitto::start));
    let mut cases = vec![Case::begin("MQTT", link(&broker.url(), "cut").await).await];
    #[cfg(feature = "engines")]
    let server = tokio::task::block_in_place(|| network.inside(|| super::nats::Nats::start("always")));
    #[cfg(feature = "engines")]
    cases.push(Case::begin("NATS", link(&format!("{}&ack_wait=10", server.url()), "cut").await).await);
    #[cfg(feature = "engines")]
    let servers = tokio::task::block_in_place(|| network.inside(super::amqp::Servers::start));
    #[cfg(feature = "engines")]
    cases.push(
        Case::begin("RabbitMQ", super::amqp::link(&servers, "cut", &headwater_event::Clock::system()).await).await,
    );
    for case in &cases {
        case.goes_on(Duration::from_secs(20)).await;
    }
    tokio::task::block_in_place(|| network.cut());
    let cut = Instant::now();
    for case in &cases {
        case.is_noticed(cut).await;
    }
    let length = if std::env::var_os("HEADWATER_LONG").is_some() { CUT_LONG } else { CUT };
    sleep_until(cut + length).await;
    for case in &cases {
        let acknowledged = case.books.acknowledged_since(cut + ON_ITS_WAY);
        assert_eq!(acknowledged, 0, "{}: acknowledged while nothing gets through", case.name);
        assert!(matches!(case.bus.health(), Health::Failing(_)), "{}: still", case.name);
    }
    tokio::task::block_in_place(|| network.heal());
    let healed = Instant::now();
    for case in &cases {
        case.is_back(healed).await;
    }
    for case in cases {
        case.ends(healed).await;
    }
}

/// What the producers and the worker of one engine write down.
#[derive(Default)]
struct Books {
    next: AtomicU64,
    is_over: AtomicBool,
    acknowledged: Mutex<Vec<(Instant, String)>>,
    refused: AtomicU64,
    worked: Mutex<Vec<String>>,
}

impl Books {
    fn acknowledged_since(&self, since: Instant) -> usize {
        self.acknowledged.lock().unwrap().iter().filter(|(at, _)| *at > since).count()
    }

    /// As a client: what isn't acknowledged is sent again, by the same ids.
    async fn produce(self: Arc<Self>, bus: Arc<dyn Bus>) {
        let mut pace = interval(PACE);
        while !self.is_over.load(Ordering::SeqCst) {
            pace.tick().await;
            let first = self.next.fetch_add(BATCH, Ordering::SeqCst);
            let batch: Vec<Publication> = (first..first + BATCH).map(|n| event("g/x", &n.to_string())).collect();
            while bus.append(batch.clone()).await.is_err() {
                self.refused.fetch_add(1, Ordering::SeqCst);
            }
            let now = Instant::now();
            self.acknowledged.lock().unwrap().extend((first..first + BATCH).map(|n| (now, n.to_string())));
        }
    }

    async fn work(self: Arc<Self>, mut member: Box<dyn Member>) {
        while let Ok(deliveries) = member.next(64).await {
            self.worked.lock().unwrap().extend(deliveries.iter().map(payload));
            // What isn't confirmed may come again.
            let _ = member.settle(deliveries.iter().map(|delivery| (delivery.tag(), Settlement::Done)).collect()).await;
        }
    }
}

/// One engine under load.
struct Case {
    name: &'static str,
    engine: Engine,
    bus: Arc<dyn Bus>,
    books: Arc<Books>,
    producers: Vec<JoinHandle<()>>,
}

impl Case {
    async fn begin(name: &'static str, engine: Engine) -> Self {
        let (bus, books) = (engine.bus(), Arc::new(Books::default()));
        tokio::spawn(Arc::clone(&books).work(join(&bus, "g/#").await));
        let producers =
            (0..PRODUCERS).map(|_| tokio::spawn(Arc::clone(&books).produce(Arc::clone(&bus)))).collect::<Vec<_>>();
        Self { name, engine, bus, books, producers }
    }

    /// Waits until events are acknowledged and worked on that were neither before.
    async fn goes_on(&self, time: Duration) {
        let (acknowledged, worked) =
            (self.books.acknowledged.lock().unwrap().len(), self.books.worked.lock().unwrap().len());
        let goes_on = self.until(|books| {
            books.acknowledged.lock().unwrap().len() >= acknowledged + 500
                && books.worked.lock().unwrap().len() >= worked + 500
        });
        timeout(time, goes_on).await.unwrap_or_else(|_| panic!("{}: nothing goes on", self.name));
    }

    async fn until(&self, is_so: impl Fn(&Books) -> bool) {
        while !is_so(&self.books) {
            tokio::time::sleep(Duration::from_millis(5)).await; // sleep: what is waited for has no bell
        }
    }

    async fn is_noticed(&self, cut: Instant) {
        let noticed = self.until(|_| matches!(self.bus.health(), Health::Failing(_)));
        let in_time = timeout((cut + NOTICED_MAX + LATE).duration_since(Instant::now()), noticed).await;
        assert!(in_time.is_ok(), "{}: not noticed in time", self.name);
        println!("{}: noticed after {:?}: {:?}", self.name, cut.elapsed(), self.bus.health());
    }

    async fn is_back(&self, healed: Instant) {
        let until = healed + BACK_MAX;
        let good = timeout(until.duration_since(Instant::now()), self.until(|_| self.bus.health() == Health::Good));
        assert!(good.await.is_ok(), "{}: {:?} after the cut", self.name, self.bus.health());
        println!("{}: good after {:?}", self.name, healed.elapsed());
        self.goes_on(until.duration_since(Instant::now())).await;
        println!("{}: goes on after {:?}", self.name, healed.elapsed());
    }

    async fn ends(self, healed: Instant) {
        self.books.is_over.store(true, Ordering::SeqCst);
        for producer in self.producers {
            soon(producer).await.unwrap();
        }
        let acknowledged: BTreeSet<_> =
            self.books.acknowledged.lock().unwrap().iter().map(|(_, text)| text.clone()).collect();
        let worked = || self.books.worked.lock().unwrap().clone();
        let all = async {
            while !worked().into_iter().collect::<BTreeSet<_>>().is_superset(&acknowledged) {
                tokio::time::sleep(Duration::from_millis(50)).await; // sleep: what is waited for has no bell
            }
        };
        timeout(Duration::from_secs(40), all).await.unwrap_or_else(|_| {
            let worked: BTreeSet<_> = worked().into_iter().collect();
            let lost: Vec<_> = acknowledged.difference(&worked).take(10).collect();
            panic!("{}: acknowledged, and never brought: {lost:?}", self.name)
        });
        let all = worked();
        let once: BTreeSet<_> = all.iter().collect();
        println!(
            "{}: {:?} after it, {} acknowledged, {} refused, {} brought",
            self.name,
            healed.elapsed(),
            acknowledged.len(),
            self.books.refused.load(Ordering::SeqCst),
            all.len()
        );
        assert_eq!(all.len(), once.len(), "{}: a worker that lives is brought nothing twice", self.name);
        self.engine.close().await;
    }
}
