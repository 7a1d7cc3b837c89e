//! One reader of a group at a time: who takes the place over gets what the one before had out first and in its order, also
//! when that one is frozen or was killed; and a frozen one that wakes takes nothing away.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_event::{Bus, BusError, Delivery, GroupName, GroupOptions, Lag, Member, Settlement};
use headwater_link::{Engine, LinkError, Options, open};
use tokio::sync::mpsc;

use super::given::{done, event, next, payload, soon};
use super::headwater::Broker;
use super::mosquitto::Mosquitto;

/// How long a takeover may take.
pub const WITHIN: Duration = Duration::from_secs(5);

/// What the other process is told by.
const URL: &str = "HEADWATER_TEST_OTHER_URL";
const STATE: &str = "HEADWATER_TEST_OTHER_STATE";

/// How long the other process waits for what may not come.
const MAYBE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_mosquitto_a_place_is_taken_over_in_order_from_a_frozen_process_and_a_killed_one() {
    let broker = Mosquitto::start();
    let server = Server { url: broker.url(), state: None };
    is_taken_over(&server, Silence::Frozen).await;
    let third = is_taken_over(&server, Silence::Killed).await;
    assert_eq!(third, (31..=320).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_headwaters_own_broker_a_place_is_taken_over_in_order_from_a_frozen_process_and_a_killed_one() {
    let broker = Broker::start();
    let server = Server { url: broker.url(), state: None };
    is_taken_over(&server, Silence::Frozen).await;
    let third = is_taken_over(&server, Silence::Killed).await;
    assert_eq!(third, (31..=320).collect::<Vec<_>>());
}

/// Where an engine is.
pub struct Server {
    pub url: String,
    pub state: Option<String>,
}

impl Server {
    pub async fn link(&self, instance: &str) -> Engine {
        let opened = async {
            loop {
                match open(&self.url, Options { state: self.state.clone(), ..Options::new(instance) }).await {
                    Ok(engine) => return engine,
                    // It listens before it's ready.
                    Err(LinkError::Refused(_) | LinkError::Unreachable(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        soon(opened).await
    }
}

/// How the one before falls silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It does nothing for a while; its connection stays.
    Frozen,
    Killed,
}

pub fn group() -> GroupName {
    GroupName::new("service/w").unwrap()
}

pub async fn join_alone(bus: &Arc<dyn Bus>) -> Box<dyn Member> {
    let options = GroupOptions { alone: true, ..GroupOptions::new(vec!["g/#".parse().unwrap()]) };
    soon(bus.join(&group(), options)).await.expect("joined")
}

pub async fn append(bus: &Arc<dyn Bus>, numbers: std::ops::RangeInclusive<u32>) {
    let batch = numbers.map(|n| event("g/x", &n.to_string())).collect();
    soon(bus.append(batch)).await.expect("durable");
}

fn number(delivery: &Delivery) -> u32 {
    payload(delivery).parse().unwrap()
}

/// Takes deliveries up to this one.
pub async fn take(member: &mut Box<dyn Member>, last: u32) -> Vec<Delivery> {
    let mut took: Vec<Delivery> = Vec::new();
    while took.last().is_none_or(|delivery| number(delivery) != last) {
        took.extend(next(member, 64).await);
    }
    took
}

pub fn numbers(deliveries: &[Delivery]) -> Vec<u32> {
    deliveries.iter().map(number).collect()
}

async fn lag(bus: &Arc<dyn Bus>) -> Lag {
    let groups = bus.groups(None, 10);
    let stat = groups.iter().find(|stat| stat.name == group()).expect("it's listed by its name");
    soon(bus.lag(stat)).await.expect("told")
}

/// Its place is another's: it gets what was here already, and then hears so.
pub async fn is_over(member: &mut Box<dyn Member>) {
    let over = async {
        loop {
            if let Err(error) = member.next(64).await {
                return error;
            }
        }
    };
    assert_eq!(soon(over).await, BusError::Closed);
}

/// The duty of every engine. Gives what came to the third: whether it's brought what the one that woke has said was done is
/// the engine's affair.
pub async fn is_taken_over(server: &Server, silence: Silence) -> Vec<u32> {
    let mut before = Other::start(server);
    before.says("joined").await;
    let engine = server.link("successor").await;
    let bus = engine.bus();
    append(&bus, 1..=300).await;
    assert_eq!(before.asked("take 100").await, format!("took {:?}", (1..=100).collect::<Vec<u32>>()));
    assert_eq!(before.asked("settle 10").await, "settled Ok(10)");
    match silence {
        Silence::Frozen => before.signal("STOP"),
        Silence::Killed => before.signal("KILL"),
    }
    append(&bus, 301..=320).await;
    let began = Instant::now();
    let mut member = join_alone(&bus).await;
    let took = take(&mut member, 320).await;
    let after = began.elapsed();
    assert_eq!(numbers(&took), (11..=320).collect::<Vec<_>>(), "{silence:?}: in order, and nothing of before");
    println!("{silence:?}: taken over within {after:?}");
    assert!(after < WITHIN, "{silence:?}: {after:?}");
    assert_eq!(done(&mut member, &took[..20]).await, 20);
    assert_eq!(lag(&bus).await.events, 290, "what is out of this group by its name");
    if silence == Silence::Frozen {
        wakes(&mut before, &bus, &mut member).await;
    }
    // Who comes next gets all that nobody has settled.
    drop(member);
    let engine = server.link("third").await;
    let bus = engine.bus();
    let mut member = join_alone(&bus).await;
    let last = if silence == Silence::Frozen { 400 } else { 320 };
    let took = take(&mut member, last).await;
    let third = numbers(&took);
    assert!(third.is_sorted() && third[0] >= 31, "{silence:?}: {third:?}");
    let unsaid = third.iter().copied().filter(|number| *number > 100).collect::<Vec<_>>();
    assert_eq!(unsaid, (101..=last).collect::<Vec<_>>(), "{silence:?}");
    assert_eq!(done(&mut member, &took).await, took.len());
    assert_eq!(lag(&bus).await.events, 0);
    let stat = bus.groups(None, 10).remove(0);
    assert_eq!((stat.name, stat.members, stat.in_flight), (group(), 1, 0));
    ends(&bus, member).await;
    before.signal("KILL");
    third
}

/// A frozen one goes on: it settles what it had, asks for more, and leaves, as it finds that others have its place.
async fn wakes(before: &mut Other, bus: &Arc<dyn Bus>, member: &mut Box<dyn Member>) {
    before.signal("CONT");
    before.asked("settle 90").await;
    append(bus, 321..=360).await;
    before.asked("next").await;
    append(bus, 361..=400).await;
    assert_eq!(before.asked("leave").await, "left");
    let took = take(member, 400).await;
    assert_eq!(numbers(&took), (321..=400).collect::<Vec<_>>(), "all that is new comes here");
}

/// The group ends, and one of the same name begins anew.
async fn ends(bus: &Arc<dyn Bus>, mut member: Box<dyn Member>) {
    soon(bus.end_group(&group())).await.expect("ended");
    is_over(&mut member).await;
    drop(member);
    append(bus, 500..=500).await;
    let mut member = join_alone(bus).await;
    append(bus, 501..=501).await;
    let took = take(&mut member, 501).await;
    assert_eq!(numbers(&took), [501], "one that begins now");
    assert_eq!(done(&mut member, &took).await, 1);
    soon(bus.end_group(&group())).await.expect("ended");
}

/// A process that is alone in the group, and does as it's told.
struct Other {
    child: Child,
    tell: ChildStdin,
    heard: mpsc::Receiver<String>,
}

impl Other {
    fn start(server: &Server) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "alone::the_other_process", "--nocapture"]).env(URL, &server.url);
        if let Some(state) = &server.state {
            command.env(STATE, state);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (say, heard) = mpsc::channel(16);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some((_, word)) = line.split_once("> ") {
                    let _ = say.blocking_send(word.to_owned());
                }
            }
        });
        Self { child, tell, heard }
    }

    async fn says(&mut self, word: &str) {
        assert_eq!(soon(self.heard.recv()).await.as_deref(), Some(word));
    }

    async fn asked(&mut self, what: &str) -> String {
        writeln!(self.tell, "{what}").unwrap();
        soon(self.heard.recv()).await.expect("it lives")
    }

    fn signal(&self, name: &str) {
        let told = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(told.unwrap().success());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What [`Other`] starts: alone it does nothing.
#[test]
fn the_other_process() {
    let Ok(url) = std::env::var(URL) else { return };
    let server = Server { url, state: std::env::var(STATE).ok() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let engine = runtime.block_on(server.link("other"));
    let mut member = Some(runtime.block_on(join_alone(&engine.bus())));
    println!("> joined");
    let mut took = Vec::new();
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let word = runtime.block_on(does(&line, &mut member, &mut took));
        println!("> {word}");
    }
}

async fn does(line: &str, place: &mut Option<Box<dyn Member>>, took: &mut Vec<Delivery>) -> String {
    let Some(member) = place else { return "left".to_owned() };
    let (what, count) = line.split_once(' ').unwrap_or((line, "0"));
    let count: usize = count.parse().unwrap();
    match what {
        "take" => {
            while took.len() < count {
                took.extend(next(member, count - took.len()).await);
            }
            format!("took {:?}", numbers(took))
        }
        "settle" => {
            let settled = took.drain(..count).map(|delivery| (delivery.tag(), Settlement::Done)).collect();
            format!("settled {:?}", member.settle(settled).await)
        }
        "leave" => {
            *place = None;
            "left".to_owned()
        }
        _ => match tokio::time::timeout(MAYBE, member.next(64)).await {
            Ok(Ok(deliveries)) => format!("took {:?}", numbers(&deliveries)),
            Ok(Err(error)) => format!("{error:?}"),
            Err(_) => "took nothing".to_owned(),
        },
    }
}
