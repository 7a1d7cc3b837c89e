//! Orders end to end: placed over HTTP, reserved by the inventory, decided by the order service, and seen to be decided by the
//! client that placed them. Each client places its next order when the one before is decided.

mod customer;
mod notices;

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use mio::{Events, Poll, Token};
use serde_json::json;

use self::customer::{Customer, Next};
use self::notices::Notices;
use super::options::{TellArgs, address, duration};
use super::report::{self, Spent};
use super::tally::Latencies;

/// How long the server may answer nothing.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How many of each product there are to be sold: more than any run sells.
const STOCK: i64 = 1_000_000_000;

/// How a client hears that its order is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// By the completion notice, over one WebSocket for all clients
    Websocket,
    /// By asking for the status again and again
    Poll,
}

/// What `bench shop` takes.
#[derive(clap::Args, Debug)]
pub struct ShopArgs {
    /// The shop's front
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    addr: SocketAddr,
    /// Below which path `inventory` and `order` are
    #[arg(long, value_name = "PATH", default_value = "/shop")]
    root: String,
    /// How many clients, each on a connection of its own
    #[arg(long, value_name = "N", default_value_t = 64)]
    clients: usize,
    /// How a client hears that its order is decided
    #[arg(long, value_enum, default_value = "websocket")]
    notice: Way,
    /// How long to wait between two questions
    #[arg(long, value_name = "TIME", default_value = "2ms", value_parser = duration)]
    poll_every: Duration,
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// How long to order before that, unmeasured
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    warmup: Duration,
    /// Leave the stock as it is, in place of filling it up first (another shop has no such route)
    #[arg(long)]
    keep_stock: bool,
    #[command(flatten)]
    tell: TellArgs,
}

/// Runs the load.
///
/// # Errors
/// When the shop can't be reached, refuses an order, or breaks off.
pub fn run(args: &ShopArgs) -> anyhow::Result<()> {
    if !args.keep_stock {
        (1..=2).try_for_each(|product| fill_up(args.addr, product))?;
    }
    let mut run = Run::open(args)?;
    run.until(args.warmup)?;
    run.forget();
    let mut spent = Spent::begin(args.tell.server_pid)?;
    let begun = Instant::now();
    run.until(args.duration)?;
    let took = begun.elapsed().as_secs_f64();
    spent.end(args.tell.server_pid)?;
    tell(args, &run.counts, took, &spent)
}

fn tell(args: &ShopArgs, counts: &Counts, took: f64, spent: &Spent) -> anyhow::Result<()> {
    let per_second = counts.decided() as f64 / took;
    let object = json!({
        "clients": args.clients,
        "seconds": took,
        "orders": counts.decided(),
        "per_second": per_second,
        "successful": counts.successful,
        "unsuccessful": counts.unsuccessful,
        "acknowledged_ms": counts.acknowledged.json(),
        "decided_ms": counts.completed.json(),
        "cost": spent.json(),
    });
    let lines = [
        format!("{} clients: {} orders in {took:.1} s, {per_second:.0} a second", args.clients, counts.decided()),
        format!("{} successful, {} unsuccessful", counts.successful, counts.unsuccessful),
        format!("until acknowledged  {}", counts.acknowledged.line()),
        format!("until decided       {}", counts.completed.line()),
        spent.line(counts.decided()),
    ];
    Ok(report::print(args.tell.json, &object, &lines)?)
}

/// Sees to it that there is enough to be sold.
fn fill_up(addr: SocketAddr, product: i64) -> anyhow::Result<()> {
    let body = json!({ "inventoryId": product, "balance": STOCK }).to_string();
    let mut stream = std::net::TcpStream::connect(addr).with_context(|| format!("can't reach {addr}"))?;
    let len = body.len();
    write!(
        stream,
        "POST /shop/api/stock HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {len}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(
        answer.starts_with("HTTP/1.1 202"),
        "the stock can't be filled up: {}",
        answer.lines().next().unwrap_or("")
    );
    Ok(())
}

/// What the clients saw.
struct Counts {
    successful: u64,
    unsuccessful: u64,
    acknowledged: Latencies,
    completed: Latencies,
}

impl Counts {
    fn new() -> Self {
        Self { successful: 0, unsuccessful: 0, acknowledged: Latencies::new(), completed: Latencies::new() }
    }

    const fn decided(&self) -> u64 {
        self.successful + self.unsuccessful
    }
}

/// A load under way.
struct Run {
    poll: Poll,
    customers: Vec<Customer>,
    notices: Option<Notices>,
    /// Who waits for which order, where notices are waited for.
    waiting: HashMap<String, usize>,
    /// Who asks again, and when; in the order of the times.
    asking: VecDeque<(Instant, usize)>,
    poll_every: Duration,
    counts: Counts,
    last: Instant,
}

impl Run {
    fn open(args: &ShopArgs) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut customers = Vec::with_capacity(args.clients);
        for token in 0..args.clients {
            let mut customer = Customer::open(args.addr, &args.root)?;
            customer.register(poll.registry(), Token(token))?;
            customers.push(customer);
        }
        let notices = match args.notice {
            Way::Poll => None,
            Way::Websocket => Some(Notices::open(args.addr, poll.registry(), Token(args.clients))?),
        };
        let (waiting, asking) = (HashMap::new(), VecDeque::new());
        let (counts, last) = (Counts::new(), Instant::now());
        Ok(Self { poll, customers, notices, waiting, asking, poll_every: args.poll_every, counts, last })
    }

    fn forget(&mut self) {
        self.counts = Counts::new();
    }

    /// Orders for this long. Orders under way at its end are still under way.
    fn until(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        let mut events = Events::with_capacity(256);
        for customer in &mut self.customers {
            customer.begin()?;
        }
        while Instant::now() < end {
            let wait =
                self.asking.front().map_or(Duration::from_millis(20), |(at, _)| at.duration_since(Instant::now()));
            self.poll.poll(&mut events, Some(wait)).or_else(|error| match error.kind() {
                std::io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            })?;
            for event in &events {
                match event.token() {
                    Token(at) if at < self.customers.len() => self.serve(at)?,
                    _ => self.hear()?,
                }
            }
            self.ask_again()?;
            if self.last.elapsed() > SILENCE_MAX {
                bail!("the shop has decided nothing for {} s", SILENCE_MAX.as_secs());
            }
        }
        Ok(())
    }

    /// Something came for a customer.
    fn serve(&mut self, at: usize) -> anyhow::Result<()> {
        let customer = &mut self.customers[at];
        let Some(next) = customer.read()? else { return Ok(()) };
        match next {
            Next::Acknowledged { order, took } => {
                self.counts.acknowledged.record(nanos(took));
                let Some(notices) = &mut self.notices else { return customer.ask() };
                match notices.came_already(&order) {
                    Some(successful) => self.decided(at, successful)?,
                    None => drop(self.waiting.insert(order, at)),
                }
            }
            Next::Unknown => self.asking.push_back((Instant::now() + self.poll_every, at)),
            Next::Decided { successful } => self.decided(at, successful)?,
        }
        Ok(())
    }

    fn decided(&mut self, at: usize, successful: bool) -> anyhow::Result<()> {
        self.last = Instant::now();
        let customer = &mut self.customers[at];
        self.counts.completed.record(nanos(customer.placed.elapsed()));
        if successful {
            self.counts.successful += 1
        } else {
            self.counts.unsuccessful += 1
        }
        customer.place()
    }

    /// Notices came.
    fn hear(&mut self) -> anyhow::Result<()> {
        let Some(notices) = &mut self.notices else { return Ok(()) };
        for (order, successful) in notices.read()? {
            match self.waiting.remove(&order) {
                Some(at) => self.decided(at, successful)?,
                // Before its acknowledgement was read, or of somebody else.
                None => {
                    if let Some(notices) = &mut self.notices {
                        notices.keep(order, successful);
                    }
                }
            }
        }
        Ok(())
    }

    fn ask_again(&mut self) -> anyhow::Result<()> {
        while let Some((due, at)) = self.asking.front().copied() {
            if due > Instant::now() {
                break;
            }
            self.asking.pop_front();
            self.customers[at].ask()?;
        }
        Ok(())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
