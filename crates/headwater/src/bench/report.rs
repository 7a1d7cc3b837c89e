//! Telling what was measured: lines for a person, or one JSON object.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::load::Progress;
use super::process::{self, Usage};
use super::tally::Tally;

/// What was used between two looks, by the server and by the generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    pub server: Option<(Usage, Usage)>,
    pub own: (Usage, Usage),
}

impl Spent {
    /// Looks for the first time.
    ///
    /// # Errors
    /// When there is no such server process.
    pub fn begin(server_pid: Option<u32>) -> anyhow::Result<Self> {
        let server = server_pid.map(process::usage).transpose()?;
        let own = process::own();
        Ok(Self { server: server.map(|usage| (usage, usage)), own: (own, own) })
    }

    /// Looks again.
    ///
    /// # Errors
    /// When the server process is gone.
    pub fn end(&mut self, server_pid: Option<u32>) -> anyhow::Result<()> {
        if let (Some((_, end)), Some(pid)) = (&mut self.server, server_pid) {
            *end = process::usage(pid)?;
        }
        self.own.1 = process::own();
        Ok(())
    }

    /// CPU seconds of the server, where it is watched.
    pub fn server_cpu(&self) -> Option<f64> {
        self.server.map(|(begin, end)| (end.cpu.saturating_sub(begin.cpu)).as_secs_f64())
    }

    pub fn own_cpu(&self) -> f64 {
        self.own.1.cpu.saturating_sub(self.own.0.cpu).as_secs_f64()
    }

    pub fn json(&self) -> Value {
        json!({
            "generator_cpu_s": self.own_cpu(),
            "server_cpu_s": self.server_cpu(),
            "server_rss_begin": self.server.map(|(begin, _)| begin.rss),
            "server_rss_end": self.server.map(|(_, end)| end.rss),
            "server_rss_max": self.server.map(|(_, end)| end.rss_max),
        })
    }

    /// A line for a person; `count` events share the cost.
    pub fn line(&self, count: u64) -> String {
        let each = |cpu: f64| cpu * 1e6 / count.max(1) as f64;
        let own = format!("generator {:.2} s of CPU", self.own_cpu());
        match (self.server_cpu(), self.server) {
            (Some(cpu), Some((begin, end))) => format!(
                "server {cpu:.2} s of CPU ({:.2} µs each), RSS {:.1} -> {:.1} MiB (most {:.1}); {own}",
                each(cpu),
                mib(begin.rss),
                mib(end.rss),
                mib(end.rss_max)
            ),
            _ => own,
        }
    }
}

pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The numbers of one phase.
pub fn tally(tally: &Tally, seconds: f64) -> Value {
    json!({
        "seconds": seconds,
        "offered": tally.offered,
        "accepted": tally.accepted,
        "refused": tally.refused,
        "unsent": tally.unsent,
        "unanswered": tally.unanswered,
        "per_second": tally.accepted as f64 / seconds.max(1e-9),
        "latency_ms": tally.latencies.json(),
        "refusal_ms": (tally.refused > 0).then(|| tally.refusals.json()),
    })
}

/// Prints the lines, or the object.
///
/// # Errors
/// When stdout can't be written.
pub fn print(as_json: bool, object: &Value, lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json { writeln!(out, "{object}") } else { lines.iter().try_for_each(|line| writeln!(out, "{line}")) }
}

/// Runs `work` while a line on stderr tells how far it is, where somebody looks; `tick` runs ten times a second.
pub fn with_progress<T>(
    progress: &Progress,
    total: Duration,
    mut tick: impl FnMut() + Send,
    work: impl FnOnce() -> T,
) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let bar = bar(total);
            let mut begun = None;
            while !over.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_millis(100));
                tick();
                if progress.begun.load(Ordering::Relaxed) {
                    let begun = begun.get_or_insert_with(std::time::Instant::now);
                    let elapsed = begun.elapsed();
                    let (accepted, refused) =
                        (progress.accepted.load(Ordering::Relaxed), progress.refused.load(Ordering::Relaxed));
                    bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
                    bar.set_message(format!(
                        "{accepted} accepted, {refused} refused, {:.0}/s",
                        accepted as f64 / elapsed.as_secs_f64()
                    ));
                }
            }
            bar.finish_and_clear();
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        result
    })
}

fn bar(total: Duration) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(total.as_millis()).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{wide_bar} {msg} (about {eta} to go)");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
