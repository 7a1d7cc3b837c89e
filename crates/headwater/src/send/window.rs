//! The lines that are on their way: sent or to be sent, and not answered for good. No I/O here.

use std::collections::VecDeque;

use anyhow::{Context, bail};
use headwater_edge::frames::wire::{Answer, Code};

use super::lines::Line;
use super::report::Report;

/// How many bytes of lines are held at once, in case the hub takes large ones.
const WINDOW_LEN_MAX: usize = 16 * 1_024 * 1_024;

/// The window over the lines.
pub struct Window {
    lines: VecDeque<Line>,
    lines_max: usize,
    bytes: usize,
    /// The highest number that is done with: everything up to it is stored or refused for good.
    done: u64,
    /// The next number that the hub will answer on this connection, and the next one to send on it.
    next_answer: u64,
    next_send: u64,
    /// Why the hub wants numbers again. Nothing is sent until all that is on its way has been answered.
    stalled: Option<Code>,
}

impl Window {
    /// An empty window after what the log has.
    pub fn new(lines_max: usize, last_seq: u64) -> Self {
        Self {
            lines: VecDeque::new(),
            lines_max,
            bytes: 0,
            done: last_seq,
            next_answer: last_seq + 1,
            next_send: last_seq + 1,
            stalled: None,
        }
    }

    /// Whether more lines may come.
    pub fn has_room(&self) -> bool {
        self.lines.len() < self.lines_max && self.bytes < WINDOW_LEN_MAX
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether the hub owes an answer.
    pub const fn awaits_answers(&self) -> bool {
        self.next_answer < self.next_send
    }

    /// Puts a line behind the others.
    pub fn push(&mut self, line: Line) {
        self.bytes += line.payload.len();
        self.lines.push_back(line);
    }

    /// The next line to send, once.
    pub fn next_to_send(&mut self) -> Option<&Line> {
        if self.stalled.is_some() || self.next_send >= self.next_answer + self.lines_max as u64 {
            return None;
        }
        let at = usize::try_from(self.next_send - self.done - 1).ok()?;
        let line = self.lines.get(at)?;
        self.next_send += 1;
        Some(line)
    }

    /// Takes the hub's answer to the oldest message that has none. Gives the line's end in the input when it's done with.
    ///
    /// # Errors
    /// When it answers another number, or says what can't be.
    pub fn answer(&mut self, answer: Answer, report: &mut Report) -> anyhow::Result<Option<u64>> {
        let (Answer::Ack { seq, .. } | Answer::Nack { seq, .. }) = answer;
        if seq != self.next_answer || !self.awaits_answers() {
            bail!("the hub answered message {seq}, where {} came next", self.next_answer);
        }
        self.next_answer += 1;
        match answer {
            Answer::Nack { code, .. } if !code.is_final() => {
                self.stalled.get_or_insert(code);
                Ok(None)
            }
            _ if self.stalled.is_some() || seq != self.done + 1 => {
                bail!("the hub took message {seq}, though it had refused one before it")
            }
            Answer::Ack { .. } => {
                report.stored += 1;
                Ok(Some(self.pop_done()))
            }
            Answer::Nack { code, .. } => {
                report.refuse(seq, code);
                Ok(Some(self.pop_done()))
            }
        }
    }

    /// Why lines have to be sent again, once all that was on its way is answered; then they may be.
    pub fn take_stall(&mut self) -> Option<Code> {
        if self.awaits_answers() {
            return None;
        }
        let code = self.stalled.take()?;
        self.send_again();
        Some(code)
    }

    /// A new connection, whose WELCOME says what is durable.
    ///
    /// # Errors
    /// When the log has less than it acknowledged, or more than was sent.
    pub fn resume_after(&mut self, last_seq: u64, report: &mut Report) -> anyhow::Result<()> {
        if last_seq < self.done {
            bail!(
                "the hub has {last_seq} messages of this client, but {} were answered: its log was replaced or lost; \
                 nothing more was sent",
                self.done
            );
        }
        let held = self.done + self.lines.len() as u64;
        if last_seq > held {
            bail!(
                "the hub has {last_seq} messages of this client, but only {held} were sent: somebody else sends with \
                 this id"
            );
        }
        while self.done < last_seq {
            let line = self.lines.front().context("a line that is on its way is held")?;
            if line.is_too_long {
                report.refuse(line.seq, Code::TooLong);
            } else {
                report.stored += 1;
            }
            self.pop_done();
        }
        self.stalled = None;
        self.send_again();
        Ok(())
    }

    fn pop_done(&mut self) -> u64 {
        let Some(line) = self.lines.pop_front() else { return 0 };
        self.bytes -= line.payload.len();
        self.done = line.seq;
        line.end
    }

    fn send_again(&mut self) {
        self.next_answer = self.done + 1;
        self.next_send = self.done + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use uuid::Uuid;

    fn window(lines: u64) -> (Window, Report) {
        let mut window = Window::new(10, 0);
        for seq in 1..=lines {
            window.push(Line { seq, payload: Bytes::from_static(b"x"), is_too_long: seq == 2, end: seq * 2 });
        }
        (window, Report::new(Uuid::nil()))
    }

    fn send_all(window: &mut Window) -> Vec<u64> {
        std::iter::from_fn(|| window.next_to_send().map(|line| line.seq)).collect()
    }

    fn ack(seq: u64) -> Answer {
        Answer::Ack { seq, log_seq: seq }
    }

    #[test]
    fn after_overload_everything_from_the_refused_number_is_sent_again() {
        let (mut window, mut report) = window(4);
        assert_eq!(send_all(&mut window), [1, 2, 3, 4]);
        window.answer(ack(1), &mut report).unwrap();
        window.answer(Answer::Nack { seq: 2, code: Code::Overloaded }, &mut report).unwrap();
        window.answer(Answer::Nack { seq: 3, code: Code::OutOfOrder }, &mut report).unwrap();
        assert_eq!((window.take_stall(), window.next_to_send().is_none()), (None, true));
        window.answer(Answer::Nack { seq: 4, code: Code::OutOfOrder }, &mut report).unwrap();
        assert_eq!(window.take_stall(), Some(Code::Overloaded));
        assert_eq!(send_all(&mut window), [2, 3, 4]);
    }

    #[test]
    fn a_number_that_is_refused_for_good_is_never_sent_again() {
        let (mut window, mut report) = window(3);
        send_all(&mut window);
        window.answer(ack(1), &mut report).unwrap();
        assert_eq!(window.answer(Answer::Nack { seq: 2, code: Code::TooLong }, &mut report).unwrap(), Some(4));
        window.resume_after(2, &mut report).unwrap();
        assert_eq!(send_all(&mut window), [3]);
        assert_eq!((report.stored, report.refused_count()), (1, 1));
    }

    #[test]
    fn a_new_connection_goes_on_after_what_is_durable_and_a_lost_refusal_is_not_a_success() {
        let (mut window, mut report) = window(4);
        send_all(&mut window);
        window.resume_after(3, &mut report).unwrap();
        assert_eq!(send_all(&mut window), [4]);
        assert_eq!((report.stored, report.refused_count()), (2, 1));
    }

    #[test]
    fn a_log_that_forgot_or_has_more_than_was_sent_is_an_error() {
        let (mut window, mut report) = window(2);
        send_all(&mut window);
        window.answer(ack(1), &mut report).unwrap();
        assert!(window.resume_after(0, &mut report).is_err());
        assert!(window.resume_after(3, &mut report).is_err());
    }

    #[test]
    fn an_answer_to_another_number_is_an_error() {
        let (mut window, mut report) = window(2);
        assert!(window.answer(ack(1), &mut report).is_err(), "nothing was sent yet");
        send_all(&mut window);
        assert!(window.answer(ack(2), &mut report).is_err());
    }
}
