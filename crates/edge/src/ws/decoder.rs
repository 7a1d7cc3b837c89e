//! A client's bytes into its messages, as they come and without trust (RFC 6455 section 5.4).

use std::borrow::Cow;

use super::close::{Closing, Fault, read_close};
use super::frame::{CLIENT_HEAD_LEN_MAX, Head, Opcode, read_head};
use super::mask::unmask;
use super::utf8::Utf8;

/// What a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A whole text.
    Text(Cow<'a, str>),
    /// A whole binary message.
    Binary(Cow<'a, [u8]>),
    /// Wants a pong with the same bytes (section 5.5.2).
    Ping(Cow<'a, [u8]>),
    /// Answers a ping.
    Pong,
    /// Closes; whatever follows is to be passed over (section 5.5.1).
    Close(Closing),
}

/// What one call of [`Decoder::next`] gives: how many bytes it used up, and what they completed.
pub type Step<'a> = Result<(usize, Option<Said<'a>>), Fault>;

/// One connection's place in its client's frames.
///
/// It costs 16 bytes while no message is unfinished. What comes whole is unmasked in the caller's read buffer and lent
/// from there; what comes in pieces is kept, and memory grows only by bytes that came, whatever length was declared.
#[derive(Debug)]
pub struct Decoder {
    message_len_max: usize,
    amid: Option<Box<Amid>>,
}

/// What is kept of a frame or a message that hasn't come whole.
#[derive(Debug, Default)]
struct Amid {
    /// The first bytes of a head.
    head: [u8; CLIENT_HEAD_LEN_MAX],
    head_len: u8,
    frame: Option<Frame>,
    /// Text or binary, from the first fragment to the last.
    message: Option<Opcode>,
    /// What has come of the message, unmasked.
    bytes: Vec<u8>,
    utf8: Utf8,
    /// What has come of a control frame, which may stand amid a message.
    control: Vec<u8>,
}

/// A frame whose payload is coming.
#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    opcode: Opcode,
    mask: [u8; 4],
    left: u64,
    /// Bytes that came, as far as the mask needs to know: modulo 4.
    turn: u8,
}

impl Decoder {
    /// A connection that has said nothing yet. `message_len_max` is in bytes, over all fragments.
    #[must_use]
    pub const fn new(message_len_max: usize) -> Self {
        Self { message_len_max, amid: None }
    }

    /// Reads on, up to the next thing that was said; call again with the rest until it gives `None`, when all is used up.
    ///
    /// # Errors
    /// At the first byte that breaks a rule. The connection is then to be failed; calling again makes no sense.
    pub fn next<'a>(&mut self, input: &'a mut [u8]) -> Step<'a> {
        if let Some(amid) = &mut self.amid {
            let step = amid.next(self.message_len_max, input)?;
            if !amid.is_amid() {
                self.amid = None;
            }
            return Ok(step);
        }
        let mut fresh = Amid::default();
        let step = fresh.next(self.message_len_max, input)?;
        if fresh.is_amid() {
            self.amid = Some(Box::new(fresh));
        }
        Ok(step)
    }

    /// Whether a frame or a message has begun that isn't whole: then time runs for the client.
    #[must_use]
    pub const fn is_amid(&self) -> bool {
        self.amid.is_some()
    }
}

impl Amid {
    fn next<'a>(&mut self, message_len_max: usize, input: &'a mut [u8]) -> Step<'a> {
        let mut at = 0;
        loop {
            let Some(frame) = self.frame else {
                match self.read_head(&input[at..])? {
                    (used, None) => return Ok((at + used, None)),
                    (used, Some(head)) => {
                        at += used;
                        self.begin(head, message_len_max)?;
                    }
                }
                continue;
            };
            let came = frame.left.min((input.len() - at) as u64);
            // It fits: not more than the input's length.
            let end = at + usize::try_from(came).unwrap_or(usize::MAX);
            unmask(&mut input[at..end], frame.mask, usize::from(frame.turn));
            if came < frame.left {
                self.keep(frame, came, &input[at..end])?;
                return Ok((end, None));
            }
            self.frame = None;
            if frame.opcode.is_control() {
                return Ok((end, Some(self.control(frame.opcode, &input[at..end])?)));
            }
            if frame.fin {
                return Ok((end, Some(self.message(&input[at..end])?)));
            }
            self.add(&input[at..end])?;
            at = end;
        }
    }

    const fn is_amid(&self) -> bool {
        self.head_len > 0 || self.frame.is_some() || self.message.is_some()
    }

    /// The head of the next frame, and how many bytes of the input belonged to it.
    fn read_head(&mut self, input: &[u8]) -> Result<(usize, Option<Head>), Fault> {
        let had = usize::from(self.head_len);
        if had == 0
            && let Some((head, used)) = read_head(input)?
        {
            return Ok((used, Some(head)));
        }
        let came = input.len().min(CLIENT_HEAD_LEN_MAX - had);
        self.head[had..had + came].copy_from_slice(&input[..came]);
        if let Some((head, len)) = read_head(&self.head[..had + came])? {
            self.head_len = 0;
            return Ok((len - had, Some(head)));
        }
        // No head is longer than the buffer, so all of the input was taken.
        self.head_len += u8::try_from(came).unwrap_or(u8::MAX);
        Ok((came, None))
    }

    /// Checks a frame against the message that is under way (section 5.4) and against the limit, before a byte of it is kept.
    fn begin(&mut self, head: Head, message_len_max: usize) -> Result<(), Fault> {
        if !head.opcode.is_control() {
            match (head.opcode, self.message) {
                (Opcode::Continuation, None) => return Err(Fault::Protocol("nothing to continue (5.4)")),
                (Opcode::Continuation, Some(_)) => {}
                (_, Some(_)) => return Err(Fault::Protocol("a message is not yet finished (5.4)")),
                (opcode, None) => self.message = Some(opcode),
            }
            let room = message_len_max.saturating_sub(self.bytes.len()) as u64;
            if head.len > room {
                return Err(Fault::TooLarge { max: message_len_max });
            }
        }
        self.frame = Some(Frame { fin: head.fin, opcode: head.opcode, mask: head.mask, left: head.len, turn: 0 });
        Ok(())
    }

    /// Keeps the part of a payload that came, and what is still to come.
    fn keep(&mut self, frame: Frame, came: u64, bytes: &[u8]) -> Result<(), Fault> {
        let turn = u8::try_from((u64::from(frame.turn) + came) % 4).unwrap_or(0);
        self.frame = Some(Frame { left: frame.left - came, turn, ..frame });
        if frame.opcode.is_control() {
            self.control.extend_from_slice(bytes);
            return Ok(());
        }
        self.add(bytes)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.message == Some(Opcode::Text) {
            self.utf8.feed(bytes).map_err(|_| Fault::NotUtf8)?;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The message whose last piece this is.
    fn message<'a>(&mut self, last: &'a [u8]) -> Result<Said<'a>, Fault> {
        let is_text = self.message.take() == Some(Opcode::Text);
        if self.bytes.is_empty() {
            return Ok(if is_text {
                Said::Text(Cow::Borrowed(std::str::from_utf8(last).map_err(|_| Fault::NotUtf8)?))
            } else {
                Said::Binary(Cow::Borrowed(last))
            });
        }
        let mut whole = std::mem::take(&mut self.bytes);
        whole.extend_from_slice(last);
        if !is_text {
            return Ok(Said::Binary(Cow::Owned(whole)));
        }
        self.utf8 = Utf8::new();
        // What came before was checked as it came; checking the whole again costs less than keeping it as text piecewise.
        Ok(Said::Text(Cow::Owned(String::from_utf8(whole).map_err(|_| Fault::NotUtf8)?)))
    }

    /// The control frame whose last piece this is.
    fn control<'a>(&mut self, opcode: Opcode, last: &'a [u8]) -> Result<Said<'a>, Fault> {
        let payload = if self.control.is_empty() {
            Cow::Borrowed(last)
        } else {
            self.control.extend_from_slice(last);
            Cow::Owned(std::mem::take(&mut self.control))
        };
        Ok(match opcode {
            Opcode::Ping => Said::Ping(payload),
            Opcode::Close => Said::Close(read_close(&payload)?),
            _ => Said::Pong,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ws::testing::{client_frame, client_head};

    const MAX: usize = 1_000;

    /// Feeds the bytes in pieces of `step` and gives what was said, up to the first fault.
    fn hear(bytes: &[u8], step: usize) -> (Vec<Said<'static>>, Option<Fault>, Decoder) {
        let mut decoder = Decoder::new(MAX);
        let mut heard = Vec::new();
        for piece in bytes.chunks(step.max(1)) {
            let mut piece = piece.to_vec();
            let mut rest = &mut piece[..];
            loop {
                match decoder.next(rest) {
                    Err(fault) => return (heard, Some(fault), decoder),
                    Ok((used, None)) => {
                        assert_eq!(used, rest.len(), "all is used up when nothing was said");
                        break;
                    }
                    Ok((used, Some(said))) => {
                        heard.push(own(said));
                        rest = &mut rest[used..];
                    }
                }
            }
        }
        (heard, None, decoder)
    }

    fn own(said: Said<'_>) -> Said<'static> {
        match said {
            Said::Text(text) => Said::Text(Cow::Owned(text.into_owned())),
            Said::Binary(bytes) => Said::Binary(Cow::Owned(bytes.into_owned())),
            Said::Ping(bytes) => Said::Ping(Cow::Owned(bytes.into_owned())),
            Said::Pong => Said::Pong,
            Said::Close(closing) => Said::Close(closing),
        }
    }

    fn conversation() -> Vec<u8> {
        [
            client_frame(true, Opcode::Text, "héllo".as_bytes()),
            client_frame(false, Opcode::Text, b"\xe2\x82"),
            client_frame(true, Opcode::Ping, b"amid"),
            client_frame(false, Opcode::Continuation, b""),
            client_frame(true, Opcode::Continuation, b"\xac!"),
            client_frame(true, Opcode::Binary, &[7; 300]),
            client_frame(true, Opcode::Pong, b"unasked"),
            client_frame(true, Opcode::Text, b""),
            client_frame(true, Opcode::Close, b"\x03\xe8bye"),
        ]
        .concat()
    }

    #[test]
    fn messages_come_out_whole_whatever_the_pieces() {
        let bytes = conversation();
        let (whole, fault, decoder) = hear(&bytes, bytes.len());
        assert_eq!(fault, None);
        assert!(!decoder.is_amid());
        assert_eq!(whole[0], Said::Text("héllo".into()));
        assert_eq!(whole[1], Said::Ping(b"amid".as_slice().into()));
        assert_eq!(whole[2], Said::Text("€!".into()));
        assert_eq!(whole[3], Said::Binary(vec![7; 300].into()));
        assert_eq!(whole[4..], [Said::Pong, Said::Text("".into()), Said::Close(Closing { code: Some(1000) })]);
        for step in 1..bytes.len() {
            assert_eq!(hear(&bytes, step).0, whole, "in pieces of {step}");
        }
    }

    #[test]
    fn the_order_of_fragments_is_kept() {
        for bytes in [
            client_frame(true, Opcode::Continuation, b"x"),
            [client_frame(false, Opcode::Text, b"x"), client_frame(true, Opcode::Text, b"y")].concat(),
            [client_frame(false, Opcode::Binary, b"x"), client_frame(false, Opcode::Binary, b"y")].concat(),
        ] {
            let (heard, fault, _) = hear(&bytes, 1);
            assert!(heard.is_empty() && matches!(fault, Some(Fault::Protocol(text)) if text.contains("5.4")));
        }
    }

    #[test]
    fn a_wrong_byte_of_a_text_fails_before_the_frame_is_whole() {
        let mut decoder = Decoder::new(MAX);
        let mut bytes = client_frame(true, Opcode::Text, b"ok\xff and more to come");
        let cut = bytes.len() - 10;
        assert_eq!(decoder.next(&mut bytes[..cut]), Err(Fault::NotUtf8));
        let (_, fault, _) = hear(&client_frame(true, Opcode::Text, b"cut \xe2\x82"), 3);
        assert_eq!(fault, Some(Fault::NotUtf8));
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_head() {
        let (_, fault, decoder) = hear(&client_head(true, Opcode::Binary, MAX as u64 + 1), 1);
        assert_eq!(fault, Some(Fault::TooLarge { max: MAX }));
        assert!(decoder.amid.is_none_or(|amid| amid.bytes.capacity() == 0));
        let fragments =
            [client_frame(false, Opcode::Binary, &[0; MAX]), client_head(true, Opcode::Continuation, 1)].concat();
        assert_eq!(hear(&fragments, 100).1, Some(Fault::TooLarge { max: MAX }));
    }

    #[test]
    fn a_declared_length_costs_nothing_until_its_bytes_come() {
        let mut decoder = Decoder::new(usize::MAX);
        let mut head = client_head(true, Opcode::Binary, (1 << 62) + 7);
        let len = head.len();
        assert_eq!(decoder.next(&mut head), Ok((len, None)));
        assert_eq!(decoder.next(&mut [0; 100]), Ok((100, None)));
        assert!(decoder.amid.unwrap().bytes.capacity() < 1_000);
    }

    #[test]
    fn nothing_is_held_between_messages() {
        let (_, _, decoder) = hear(&conversation(), 7);
        assert!(decoder.amid.is_none());
        assert_eq!(size_of::<Decoder>(), 16, "bytes a connection");
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_the_same_in_any_pieces(
            bytes in prop::collection::vec(
                prop_oneof![Just(0x81_u8), Just(0x01), Just(0x80), Just(0x82), Just(0x89), Just(0x00), any::<u8>()],
                0..60,
            ),
            step in 1..20_usize,
        ) {
            let (heard, fault, _) = hear(&bytes, bytes.len());
            let (piecewise, piecewise_fault, _) = hear(&bytes, step);
            prop_assert_eq!(heard, piecewise);
            prop_assert_eq!(fault, piecewise_fault);
        }
    }
}
