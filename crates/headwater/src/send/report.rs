//! What became of the lines, for the one who sent them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use headwater_edge::frames::wire::Code;
use uuid::Uuid;

/// How many refused lines are named; of the others only the number is told.
const REFUSED_NAMED_MAX: usize = 1_000;

/// The account of one run.
pub struct Report {
    id: Uuid,
    /// Lines that this run made durable.
    pub stored: u64,
    /// Lines whose numbers were used before this run; without the refused ones they are in the log.
    pub lines_before: u64,
    refused_before: u64,
    /// How often the connection was lost.
    pub reconnects: u64,
    refused: Vec<(u64, Code)>,
    refused_unnamed: u64,
    begun: Instant,
}

impl Report {
    /// An empty account.
    pub fn new(id: Uuid) -> Self {
        let begun = Instant::now();
        Self {
            id,
            stored: 0,
            lines_before: 0,
            refused_before: 0,
            reconnects: 0,
            refused: Vec::new(),
            refused_unnamed: 0,
            begun,
        }
    }

    /// Notes a line that isn't in the log and never will be.
    pub fn refuse(&mut self, line: u64, code: Code) {
        if self.refused.len() < REFUSED_NAMED_MAX {
            self.refused.push((line, code));
        } else {
            self.refused_unnamed += 1;
        }
    }

    /// Notes a line that an earlier run could not store either.
    pub fn refuse_before(&mut self, line: u64, code: Code) {
        self.refused_before += 1;
        self.refuse(line, code);
    }

    /// How many lines were refused for good.
    pub fn refused_count(&self) -> u64 {
        self.refused.len() as u64 + self.refused_unnamed
    }

    /// Tells it: for a person on stderr, for a program on stdout.
    ///
    /// # Errors
    /// When stdout can't be written.
    pub fn print(&self, json: bool) -> std::io::Result<()> {
        for (line, code) in &self.refused {
            eprintln!("line {line}: {}", code.sentence());
        }
        if self.refused_unnamed > 0 {
            eprintln!("and {} more lines", self.refused_unnamed);
        }
        eprintln!("{}", self.sentence());
        if json {
            writeln!(std::io::stdout(), "{}", self.json())?;
        }
        Ok(())
    }

    fn skipped(&self) -> u64 {
        self.lines_before - self.refused_before
    }

    fn sentence(&self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = self.stored as f64 / seconds.max(0.001);
        let mut text = format!("{} lines stored in {seconds:.1} s ({rate:.0} a second)", self.stored);
        // Writing to a String can't fail.
        if self.lines_before > 0 {
            let _ = write!(text, ", {} were there before", self.skipped());
        }
        if self.refused_count() > 0 {
            let _ = write!(text, ", {} refused", self.refused_count());
        }
        if self.reconnects > 0 {
            let _ = write!(text, ", {} reconnects", self.reconnects);
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let refused: Vec<_> = self
            .refused
            .iter()
            .map(|(line, code)| serde_json::json!({"line": line, "code": code.byte(), "reason": code.sentence()}))
            .collect();
        serde_json::json!({
            "id": self.id.to_string(),
            "stored": self.stored,
            "skipped": self.skipped(),
            "refused": self.refused_count(),
            "refused_lines": refused,
            "reconnects": self.reconnects,
            "seconds": self.begun.elapsed().as_secs_f64(),
        })
    }
}
