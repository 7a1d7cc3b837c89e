//! `headwater send`: one message a line over the frame protocol, resumed where it stopped.
//!
//! Line n of a file is message n of its client id, and the log alone knows how far it has come: WELCOME says it on every
//! connection. So nothing is kept here between two runs, and whatever is killed, no line is lost or there twice.

mod connection;
mod lines;
mod progress;
mod report;
mod window;

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use headwater_edge::tls::Trust;
use uuid::Uuid;

use crate::client::{LoginArgs, TrustArgs};
use crate::exit;
use crate::retry::Retry;
use connection::{End, Link};
use lines::{Counted, Lines};
use progress::Progress;
use report::Report;
use window::Window;

/// The longest wait for a hub that doesn't answer, in seconds: a restart with a full scan of a large log, and then some.
const TIMEOUT_S: u64 = 300;
/// How many lines are on their way at once: more gained nothing in the benches.
const WINDOW_LINES: usize = 1_024;
/// The most that `--window` may ask for; each line costs memory at both ends.
const WINDOW_LINES_MAX: usize = 65_536;

/// What `headwater send` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  headwater send --id 6b1f2d3e-4a5b-4c6d-8e7f-0a1b2c3d4e5f app.log   line n is message n: run it again and it goes on
  tail -f app.log | headwater send -

A line ends with LF or CR LF, neither of which is sent; the last one needs no end. A line over the hub's limit is not
sent but reported, and its number is used up, so that the others keep theirs.
From a FILE, what the log has of this id is skipped. From stdin (-) the first line that comes follows what the log has;
with --resume, stdin repeats from its first line and what the log has is skipped.
Exit code 1: some lines were refused, or the hub could not be reached for --timeout.")]
pub struct Args {
    /// What to send; - is stdin
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The client id, a UUID: one sender's lines are numbered under it [default: a new one, which is printed]
    #[arg(long, value_name = "UUID")]
    id: Option<Uuid>,
    #[command(flatten)]
    login: LoginArgs,
    /// The hub's frames listener
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7007")]
    addr: String,
    #[command(flatten)]
    trust: TrustArgs,
    /// How many lines may be on their way at once
    #[arg(long, value_name = "N", default_value_t = WINDOW_LINES, value_parser = window_from_text)]
    window: usize,
    /// stdin repeats from its first line: skip what the log has
    #[arg(long)]
    resume: bool,
    /// How long to try to reach the hub without any progress
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT_S)]
    timeout: u64,
    /// The summary as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

fn window_from_text(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(lines) if (1..=WINDOW_LINES_MAX).contains(&lines) => Ok(lines),
        _ => Err(format!("1 to {WINDOW_LINES_MAX} lines")),
    }
}

/// Runs the command.
///
/// # Errors
/// When the file can't be read, the hub can't be reached in time or refuses the client, or lines were refused.
pub fn run(args: Args) -> anyhow::Result<()> {
    let token = token(&args.login)?;
    let source = open(&args.file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(send(args, token, source))
}

/// Where the lines come from, and what their numbers follow.
struct Source {
    reader: Box<dyn Read + Send>,
    is_stdin: bool,
    len: Option<u64>,
}

fn open(path: &Path) -> anyhow::Result<Source> {
    if path == Path::new("-") {
        if std::io::stdin().is_terminal() {
            eprintln!("sending what you type, a message a line; Ctrl-D ends");
        }
        return Ok(Source { reader: Box::new(std::io::stdin()), is_stdin: true, len: None });
    }
    let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
    let about = file.metadata().with_context(|| format!("can't read {}", path.display()))?;
    if about.is_dir() {
        return exit::usage(format!("{} is a directory", path.display()));
    }
    let len = about.is_file().then_some(about.len());
    Ok(Source { reader: Box::new(file), is_stdin: false, len })
}

/// What HELLO shows.
fn token(login: &LoginArgs) -> anyhow::Result<Bytes> {
    let token = login.login()?.map(|login| Bytes::from(login.field())).unwrap_or_default();
    if token.len() > headwater_edge::frames::wire::TOKEN_LEN_MAX {
        return exit::usage("what is to be shown to the hub is too long");
    }
    Ok(token)
}

async fn send(args: Args, token: Bytes, source: Source) -> anyhow::Result<()> {
    let id = args.id.unwrap_or_else(Uuid::new_v4);
    if args.id.is_none() {
        eprintln!("client id {id}; to resume: headwater send --id {id} {}", args.file.display());
    }
    let hello = connection::Hello { client: id, token };
    let mut retry = Retry::new(Duration::from_secs(args.timeout));
    let trust = args.trust.trust()?;
    let mut link = reach(&args.addr, trust.as_ref(), &hello, &mut retry).await?;
    let counted = if source.is_stdin && !args.resume { Counted::After(link.last_seq) } else { Counted::FromStart };
    let mut report = Report::new(id);
    let progress = Progress::start(source.len);
    let before = link.last_seq;
    let mut lines = Lines::read(source.reader, counted, before, link.payload_max);
    let mut window = Window::new(args.window, before);
    let done = loop {
        match link.run(&mut window, &mut lines, &mut report, &progress).await {
            End::Done => break check_whole(counted, before, &report),
            End::Failed(error) => break Err(error),
            End::Lost(why) => {
                report.reconnects += 1;
                progress.say(&format!("connection lost ({why}); reconnecting"));
            }
        }
        if link.made_progress {
            retry.begin_anew();
        }
        link = match reach(&args.addr, trust.as_ref(), &hello, &mut retry).await {
            Ok(link) => link,
            Err(error) => break Err(error),
        };
        if let Err(error) = window.resume_after(link.last_seq, &mut report) {
            break Err(error);
        }
    };
    progress.finish();
    report.print(args.json)?;
    done.with_context(|| format!("not all was sent (client id {id})"))?;
    match report.refused_count() {
        0 => Ok(()),
        1 => bail!("1 line was refused"),
        count => bail!("{count} lines were refused"),
    }
}

/// An input that is shorter than what the log has of it isn't the same input: nothing of it may count as stored.
fn check_whole(counted: Counted, before: u64, report: &Report) -> anyhow::Result<()> {
    match counted {
        Counted::FromStart if report.lines_before < before => bail!(
            "the hub has {before} messages of this client, but the input only {} lines: is it another file? Each needs \
             an id of its own",
            report.lines_before
        ),
        _ => Ok(()),
    }
}

/// Connects, however often it takes.
async fn reach(
    addr: &str,
    trust: Option<&Trust>,
    hello: &connection::Hello,
    retry: &mut Retry,
) -> anyhow::Result<Link> {
    loop {
        let why = match Link::open(addr, trust, hello).await {
            Ok(link) => return Ok(link),
            Err(connection::OpenError::Final(error)) => return Err(error),
            Err(connection::OpenError::Again(why)) => why,
        };
        if !retry.wait().await {
            bail!("can't reach {addr}: {why}");
        }
    }
}
