//! How far it has come: a bar where a person looks on, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is written where nobody looks on: a million events give some ten lines.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// One part of the work.
pub struct Progress {
    what: &'static str,
    total: u64,
    first: Option<u64>,
    at: u64,
    begun: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins to tell.
    pub fn begin(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{msg} {bar:32} {percent:>3} %  {pos} of {len}, {per_sec}, {eta} left";
            // The template is a constant; a broken one would only cost the look.
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style).with_message(what)
        });
        let now = Instant::now();
        Self { what, total, first: None, at: 0, begun: now, told: now, bar }
    }

    /// So many are done.
    pub fn at(&mut self, at: u64) {
        // What was there before doesn't count as speed.
        self.first.get_or_insert(at);
        self.at = at;
        match &self.bar {
            Some(bar) => bar.set_position(at),
            None if self.told.elapsed() >= LINE_EVERY => {
                self.told = Instant::now();
                eprintln!("{}", self.line());
            }
            None => {}
        }
    }

    /// All are done.
    pub fn finish(self) {
        match &self.bar {
            Some(bar) => bar.finish_and_clear(),
            None => eprintln!("{}", self.line()),
        }
    }

    fn line(&self) -> String {
        line(self.what, self.at, self.total, self.at - self.first.unwrap_or(self.at), self.begun.elapsed())
    }
}

/// `what 5 of 10 (50.0 %), 5 a second, 1 s left`.
fn line(what: &str, at: u64, total: u64, done: u64, time: Duration) -> String {
    let percent = if total == 0 { 100.0 } else { at as f64 * 100.0 / total as f64 };
    let rate = done as f64 / time.as_secs_f64().max(0.001);
    let left = total.saturating_sub(at) as f64 / rate;
    let left = if left.is_finite() { format!(", {left:.0} s left") } else { String::new() };
    format!("{what} {at} of {total} ({percent:.1} %), {rate:.0} a second{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_part_and_time_left() {
        let half = line("copied", 500, 1_000, 250, Duration::from_secs(5));
        assert_eq!(half, "copied 500 of 1000 (50.0 %), 50 a second, 10 s left");
        assert_eq!(line("copied", 0, 0, 0, Duration::ZERO), "copied 0 of 0 (100.0 %), 0 a second");
    }
}
