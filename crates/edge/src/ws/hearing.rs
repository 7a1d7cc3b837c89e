//! What a connection does with what its client says.

use tokio::time::sleep;

use super::connection::{Connection, Phase};
use super::decoder::Said;
use super::frame::{Opcode, write_frame};
use super::reply;
use super::request::{self, Asked, Reference, Request, malformed};

impl Connection {
    /// Hears as much as may be heard now; gives how many bytes that was.
    pub(super) fn hear(&mut self, input: &mut [u8]) -> usize {
        let (mut at, mut is_message_done) = (0, false);
        while self.phase == Phase::Open && !self.must_wait() {
            match self.decoder.next(&mut input[at..]) {
                Ok((used, None)) => {
                    at += used;
                    break;
                }
                Ok((used, Some(said))) => {
                    at += used;
                    is_message_done |= matches!(said, Said::Text(_) | Said::Binary(_));
                    self.take(said);
                }
                Err(fault) => self.close(fault.code(), &fault.to_string()),
            }
        }
        if self.phase == Phase::Open {
            self.set_deadline(is_message_done);
        }
        at
    }

    /// Time runs for a client that is amid a message, unless it's the hub that makes it wait.
    fn set_deadline(&mut self, is_message_done: bool) {
        if !self.decoder.is_amid() || self.must_wait() {
            if let Some(open) = &mut self.open {
                open.deadline = None;
            }
            return;
        }
        let time_max = self.settings.message_time_max;
        let open = self.unfinished();
        if is_message_done || open.deadline.is_none() {
            open.deadline = Some(Box::pin(sleep(time_max)));
        }
    }

    fn take(&mut self, said: Said<'_>) {
        match said {
            Said::Text(text) => self.take_request(request::read(&text)),
            Said::Binary(_) => self.refuse(None, &malformed("a frame is JSON in a text message, not a binary one")),
            Said::Ping(bytes) => self.pong(&bytes),
            Said::Pong => {}
            Said::Close(closing) => self.close_back(&closing),
        }
    }

    fn take_request(&mut self, asked: Asked) {
        let reference = asked.reference;
        match asked.request {
            Ok(Request::Subscribe(subscribe)) => {
                let max = self.settings.subscriptions_max;
                match self.watches.begin(&self.outlet, reference, subscribe, max) {
                    Ok(beginning) => self.unfinished().beginning = Some(beginning),
                    Err(why) => self.say(why),
                }
            }
            Ok(Request::Unsubscribe(filter)) => {
                let answer = self.watches.end(&self.outlet, reference.as_ref(), &filter);
                self.say(answer);
            }
            Ok(Request::Publish(publish)) => {
                let open = self.open.get_or_insert_default();
                open.answers.publish(&self.hub, &self.outlet, reference, *publish);
            }
            Ok(Request::Ping) => self.say(reply::pong(reference.as_ref())),
            Err(refusal) => self.refuse(reference.as_ref(), &refusal),
        }
    }

    fn refuse(&mut self, reference: Option<&Reference>, refusal: &headwater_event::Refusal) {
        let mut out = Vec::new();
        reply::refused(reference, refusal, &mut out);
        self.say(out.into());
    }

    fn pong(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        write_frame(Opcode::Pong, bytes, &mut out);
        self.say(out.into());
    }
}
