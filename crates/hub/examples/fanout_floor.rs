//! What a delivery costs in the hub beside a bare loop of `send()`, and what an idle watcher holds in memory.
//!
//! `cargo run --release -p headwater-hub --example fanout_floor -- [WATCHERS] [ROUNDS]`: loopback TCP connections, one
//! event of 256 bytes at a time to all of them, hub and bare loop in turns in the same process on the same sockets.

use std::io::{ErrorKind, IoSlice, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use headwater_event::{Event, EventId, Filter, Headers, Position, Principal, Publication, Recorded, Time, Topic};
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_hub::{Encode, From, Hub, OutletSettings, Settings, Sink, Watch, WhenBehind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

const PAYLOAD: [u8; 256] = [b'x'; 256];

/// The payload as it is: the frame of the bare loop.
struct Plain;

impl Encode for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn event(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        out.extend_from_slice(&recorded.event.payload);
    }

    fn passing(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        self.event(filter, recorded, out);
    }

    fn gap(&self, _: &Filter, _: Position, _: Position, _: &mut Vec<u8>) {}

    fn beat(&self, _: &mut Vec<u8>) {}
}

struct Socket(Arc<TcpStream>);

impl Sink for Socket {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> Result<usize> {
        // One slice is the common case, and `send` costs less than `writev`.
        match slices {
            [one] => (&*self.0).write(one),
            many => (&*self.0).write_vectored(many),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<usize>().ok());
    let (wanted, rounds) = (args.next().unwrap_or(9_000), args.next().unwrap_or(40));
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let most = limit.maximum.map_or(wanted, |max| usize::try_from(max / 2).unwrap_or(wanted).saturating_sub(100));
    let count = wanted.min(most);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(count, rounds))
}

async fn measure(count: usize, rounds: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let hub = Hub::start(Arc::new(EventLog::open(OpenOptions::new(folder.path()))?), Settings::default());
    let (senders, mut receivers) = connections(count)?;
    let watch = Watch {
        filter: "a".parse()?,
        from: From::Now,
        sticky: false,
        encoder: Arc::new(Plain),
        behind: WhenBehind::CatchUp,
        again: Vec::new(),
        is_only_states: false,
        is_only_again: false,
    };
    let rss_before = rss_bytes()?;
    let mut outlets = Vec::with_capacity(count);
    for sender in &senders {
        let sink = Box::new(Socket(Arc::clone(sender)));
        let outlet = hub.outlet(Principal::anonymous(), sink, OutletSettings::default());
        outlet.watch(watch.clone()).await?;
        outlets.push(outlet);
    }
    let idle = (rss_bytes()?.saturating_sub(rss_before)) / count as u64;

    let (mut bare, mut ours, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds + 5 {
        let (began, cpu) = (Instant::now(), cpu());
        for sender in &senders {
            (&**sender).write_all(&PAYLOAD)?;
        }
        let (bare_cpu, bare_time) = (cpu_since(cpu), began.elapsed());
        drain(&mut receivers, PAYLOAD.len())?;
        let (ours_cpu, ours_time) = deliver(&hub, count).await?;
        drain(&mut receivers, PAYLOAD.len())?;
        // The first rounds fill caches and socket buffers.
        if round >= 5 {
            bare.push(bare_cpu);
            ours.push(ours_cpu);
            last.push((ours_time, bare_time));
        }
    }
    let per = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_nanos() as f64 / count as f64 / 1_000.0
    };
    let (bare, ours) = (per(&mut bare), per(&mut ours));
    last.sort_unstable();
    println!("watchers {count}, rounds {rounds}, 256 bytes, one event at a time, medians");
    println!("cpu per delivery: bare send() {bare:.2} us, hub {ours:.2} us, ratio {:.2}", ours / bare);
    println!("all watchers reached after: hub {:?}, bare loop {:?}", last[last.len() / 2].0, last[last.len() / 2].1);
    println!("memory per idle watcher: {idle} bytes (outlet, sink and place, without socket and task)");
    Ok(())
}

/// Publishes one event and waits until every watcher's socket has it.
async fn deliver(hub: &Hub, count: usize) -> anyhow::Result<(Duration, Duration)> {
    let deliveries = &hub.metrics().deliveries;
    let goal = deliveries.load(Ordering::Relaxed) + count as u64;
    let event = Event {
        id: EventId::generate(),
        topic: Topic::new("a")?,
        headers: Headers::none(),
        payload: PAYLOAD.to_vec().into(),
        at: Time(0),
    };
    let (began, cpu) = (Instant::now(), cpu());
    hub.publish(&Principal::anonymous(), vec![Publication { event, sticky: false }])?.await?;
    while deliveries.load(Ordering::Relaxed) < goal {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(20), "deliveries are missing");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok((cpu_since(cpu), began.elapsed()))
}

type Connections = (Vec<Arc<TcpStream>>, Vec<TcpStream>);

fn connections(count: usize) -> Result<Connections> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let receiver = TcpStream::connect(address)?;
        let (sender, _) = listener.accept()?;
        sender.set_nodelay(true)?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        senders.push(Arc::new(sender));
        receivers.push(receiver);
    }
    Ok((senders, receivers))
}

/// Reads so many bytes from each; not part of what is measured.
fn drain(receivers: &mut [TcpStream], len: usize) -> Result<()> {
    let mut buffer = [0; 1_024];
    for receiver in receivers {
        let mut missing = len;
        while missing > 0 {
            match receiver.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => missing -= read.min(missing),
                Err(error) if error.kind() == ErrorKind::WouldBlock => wait_readable(receiver)?,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn wait_readable(receiver: &TcpStream) -> Result<()> {
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(receiver.as_fd(), rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut fds, None)?;
    Ok(())
}

/// The processor time of all threads of this process so far.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn cpu_since(before: Duration) -> Duration {
    cpu().saturating_sub(before)
}

fn rss_bytes() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(pages * rustix::param::page_size() as u64)
}
