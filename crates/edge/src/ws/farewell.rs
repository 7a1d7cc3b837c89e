//! How a connection ends, from either side.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::sleep;

use super::close::{self, CloseCode, Closing};
use super::connection::{Connection, Phase, SCRATCH, Turn, Unfinished};
use super::frame::{Opcode, write_frame};

/// How long the last frame may take to be written, and the client to end the connection after it.
const FAREWELL: Duration = Duration::from_secs(2);

impl Connection {
    /// Closes from this side (RFC 6455 section 7.1.2).
    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        self.end_with(&close::close_payload(code, reason));
    }

    /// Answers a close with its own code (section 5.5.1).
    pub(super) fn close_back(&mut self, closing: &Closing) {
        let payload = closing.code.map(|code| close::close_payload(code, "")).unwrap_or_default();
        self.end_with(&payload);
    }

    /// This client has to go: it is told why, if it reads.
    pub(super) fn say_sent_away(&self, why: &str) {
        let mut frame = Vec::new();
        write_frame(Opcode::Close, &close::close_payload(close::POLICY, why), &mut frame);
        self.outlet.last_words(&frame);
    }

    fn end_with(&mut self, payload: &[u8]) {
        let mut frame = Vec::new();
        write_frame(Opcode::Close, payload, &mut frame);
        // Without room the client doesn't read, and can't be told.
        let _ = self.outlet.send(frame.into());
        self.outlet.close();
        self.phase = Phase::Closing;
        let deadline = Some(Box::pin(sleep(FAREWELL)));
        self.open = Some(Box::new(Unfinished { deadline, ..Unfinished::default() }));
    }

    /// All is written: from here on it's for the client to end the connection.
    pub(super) fn end_writing(&mut self) {
        self.socket.end_writing();
        if self.phase == Phase::Open {
            // The outlet was closed by others, as when the program ends: time begins to run here.
            let deadline = Some(Box::pin(sleep(FAREWELL)));
            self.open = Some(Box::new(Unfinished { deadline, ..Unfinished::default() }));
        }
        self.phase = Phase::Lingering;
    }

    /// Reads and passes over what still comes, until the client ends the connection.
    pub(super) fn linger(&mut self, cx: &mut Context<'_>) -> Turn {
        match SCRATCH.with_borrow_mut(|scratch| self.socket.poll_pass_over(cx, scratch)) {
            Poll::Pending => Turn::Wait,
            Poll::Ready(true) => Turn::Again,
            Poll::Ready(false) => Turn::Over,
        }
    }
}
