//! The lines of the input, numbered as they will be sent; read by a thread of its own, a bounded way ahead.

use std::io::{self, ErrorKind, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

/// How much is read at once, in bytes.
const READ_LEN: usize = 64 * 1_024;
/// How many reads the thread may be ahead: half a MiB, so that a slow hub costs no memory.
const READS_AHEAD: usize = 8;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, which is the message's.
    pub seq: u64,
    /// Its bytes without the line end; empty when it's too long.
    pub payload: Bytes,
    /// Whether it has more bytes than the hub takes.
    pub is_too_long: bool,
    /// Where in the input it ends, in bytes.
    pub end: u64,
}

/// What the numbers of the lines follow.
#[derive(Clone, Copy, Debug)]
pub enum Counted {
    /// The first line is number 1; those that the log has are skipped.
    FromStart,
    /// The first line is the next number after this one.
    After(u64),
}

/// What one read gave.
#[derive(Debug, Default)]
pub struct Batch {
    /// The lines that are to be sent.
    pub lines: Vec<Line>,
    /// How many were skipped, as the log has their numbers.
    pub skipped: u64,
    /// Those of the skipped ones that are too long: their numbers are used up, but they aren't in the log.
    pub skipped_too_long: Vec<u64>,
}

/// The lines that come.
pub struct Lines {
    batches: mpsc::Receiver<io::Result<Batch>>,
    is_ended: bool,
}

impl Lines {
    /// Begins to read.
    pub fn read(reader: Box<dyn Read + Send>, counted: Counted, last_seq: u64, payload_max: usize) -> Self {
        let (sender, batches) = mpsc::channel(READS_AHEAD);
        let before = match counted {
            Counted::FromStart => 0,
            Counted::After(seq) => seq,
        };
        let splitter = Splitter { before, skip_up_to: last_seq, payload_max, ..Splitter::default() };
        // Not joined: it may hang in a read of a terminal when there is nothing more to do.
        std::thread::spawn(move || pump(reader, splitter, &sender));
        Self { batches, is_ended: false }
    }

    /// The next lines; `None` at the end of the input. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<io::Result<Batch>> {
        let batch = self.batches.recv().await;
        self.is_ended = batch.is_none();
        batch
    }

    /// Whether the input has ended and all of it was given.
    pub const fn is_ended(&self) -> bool {
        self.is_ended
    }
}

fn pump(mut reader: Box<dyn Read + Send>, mut splitter: Splitter, sender: &mpsc::Sender<io::Result<Batch>>) {
    let mut bytes = vec![0; READ_LEN];
    loop {
        let len = match reader.read(&mut bytes) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                // Nobody there to hear it: then nobody needs to.
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        let batch = if len == 0 { splitter.finish() } else { splitter.split(&bytes[..len]) };
        if sender.blocking_send(Ok(batch)).is_err() || len == 0 {
            return;
        }
    }
}

/// Cuts the input into lines. Of a line over the limit no more is kept than shows that it is.
#[derive(Debug, Default)]
struct Splitter {
    payload_max: usize,
    skip_up_to: u64,
    /// The number of the line before this one.
    before: u64,
    /// The line that hasn't ended yet, up to one byte over the limit (which may be the CR of its end).
    kept: Vec<u8>,
    /// Its whole length, and its last byte.
    len: u64,
    last: u8,
    /// How much of the input lies behind.
    at: u64,
}

impl Splitter {
    fn split(&mut self, mut bytes: &[u8]) -> Batch {
        let mut batch = Batch::default();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.at += 1;
            let end_len = u64::from(self.len > 0 && self.last == b'\r');
            self.end_line(end_len, &mut batch);
        }
        self.keep(bytes);
        batch
    }

    /// The last line needs no end; and a CR without LF is a byte like any other.
    fn finish(&mut self) -> Batch {
        let mut batch = Batch::default();
        if self.len > 0 {
            self.end_line(0, &mut batch);
        }
        batch
    }

    fn keep(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        let room = (self.payload_max + 1).saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.last = *last;
        self.len += bytes.len() as u64;
        self.at += bytes.len() as u64;
    }

    fn end_line(&mut self, end_len: u64, batch: &mut Batch) {
        self.before += 1;
        let len = self.len - end_len;
        let is_too_long = len > self.payload_max as u64;
        if self.before <= self.skip_up_to {
            batch.skipped += 1;
            if is_too_long {
                batch.skipped_too_long.push(self.before);
            }
        } else {
            let payload = if is_too_long { &[][..] } else { &self.kept[..usize::try_from(len).unwrap_or(0)] };
            let payload = Bytes::copy_from_slice(payload);
            batch.lines.push(Line { seq: self.before, payload, is_too_long, end: self.at });
        }
        self.kept.clear();
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &[u8], piece: usize, skip_up_to: u64) -> (Vec<(u64, String, bool)>, u64, Vec<u64>) {
        let mut splitter = Splitter { payload_max: 4, skip_up_to, ..Splitter::default() };
        let mut batches: Vec<Batch> = text.chunks(piece).map(|piece| splitter.split(piece)).collect();
        batches.push(splitter.finish());
        let skipped = batches.iter().map(|batch| batch.skipped).sum();
        let too_long = batches.iter().flat_map(|batch| batch.skipped_too_long.clone()).collect();
        let lines = batches.into_iter().flat_map(|batch| batch.lines);
        let text = |payload: Bytes| String::from_utf8(payload.to_vec()).unwrap();
        (lines.map(|line| (line.seq, text(line.payload), line.is_too_long)).collect(), skipped, too_long)
    }

    #[test]
    fn lines_end_with_lf_or_cr_lf_or_the_end_however_they_are_read() {
        let text = b"abcd\n\r\nabcd\r\nabcde\n\nabcd\r\r\na\rb\nlong long\r\nz\r";
        let line = |seq, text: &str, is_too_long| (seq, text.to_owned(), is_too_long);
        let expected = vec![
            line(1, "abcd", false),
            line(2, "", false),
            line(3, "abcd", false),
            line(4, "", true),
            line(5, "", false),
            line(6, "", true),
            line(7, "a\rb", false),
            line(8, "", true),
            line(9, "z\r", false),
        ];
        for piece in 1..=text.len() {
            assert_eq!(split(text, piece, 0), (expected.clone(), 0, vec![]), "in pieces of {piece}");
        }
    }

    #[test]
    fn what_the_log_has_is_skipped_and_what_was_too_long_is_still_told() {
        let (lines, skipped, too_long) = split(b"a\ntoo long\nb\nc\n", 3, 3);
        assert_eq!(lines, [(4, "c".to_owned(), false)]);
        assert_eq!((skipped, too_long), (3, vec![2]));
    }

    #[test]
    fn a_line_without_end_is_held_only_up_to_the_limit() {
        let mut splitter = Splitter { payload_max: 4, ..Splitter::default() };
        for _ in 0..1_000 {
            splitter.split(&[b'x'; 1_000]);
        }
        assert!(splitter.kept.len() <= 5 && splitter.kept.capacity() < 64);
        assert!(splitter.finish().lines[0].is_too_long);
    }
}
