//! What a session does with what its client says.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use headwater_event::{Later, Publication, Refusal, json};
use headwater_hub::{Watch, WatchError};

use super::engine::{self, Fault};
use super::namespaces::{Deed, Emit, Said, Wish};
use super::packet::{self, Kind, Packet};
use super::session::{End, Joined, Partial, Session};
use crate::ws::{Opcode, write_frame, write_frame_with};

/// How many watches one client may have in one namespace.
const WATCHES_MAX: usize = 1_024;

/// What must be waited for.
pub(super) enum Heard {
    /// Nothing.
    Done,
    /// Until this is over, nothing more is heard.
    Wait(Later<'static, ()>),
    /// An answer, in the order of the questions.
    Answer(Later<'static, ()>),
}

impl Session {
    /// Hears a packet.
    ///
    /// # Errors
    /// For what no client says; the session is then to be ended.
    pub(super) fn hear(self: &Arc<Self>, packet: engine::Packet<'_>) -> Result<Heard, Fault> {
        match packet {
            engine::Packet::Close => self.end(End::Client),
            engine::Packet::Ping(_) => return Err(Fault("a ping from a client")),
            engine::Packet::Pong => self.pong(),
            engine::Packet::Upgrade | engine::Packet::Noop => {}
            engine::Packet::Text(text) if self.shared.settings.is_engine_echo => self.echo(text),
            engine::Packet::Binary(bytes) if self.shared.settings.is_engine_echo => {
                let mut frame = Vec::new();
                write_frame(Opcode::Binary, &bytes, &mut frame);
                self.say(frame.into());
            }
            engine::Packet::Text(text) => return self.hear_text(text),
            engine::Packet::Binary(bytes) => return self.hear_binary(bytes),
        }
        Ok(Heard::Done)
    }

    fn echo(&self, text: &str) {
        let mut frame = Vec::new();
        write_frame_with(Opcode::Text, &mut frame, |out| {
            out.push(b'4');
            out.extend_from_slice(text.as_bytes());
        });
        self.say(frame.into());
    }

    fn hear_text(self: &Arc<Self>, text: &str) -> Result<Heard, Fault> {
        if self.lock().partial.is_some() {
            return Err(Fault("text in place of an attachment"));
        }
        let packet = packet::read(text, self.shared.settings.attachments_max)?;
        if packet.is_whole() {
            return self.take(packet);
        }
        self.lock().partial = Some(Box::new(Partial { packet, len: text.len() }));
        Ok(Heard::Done)
    }

    fn hear_binary(self: &Arc<Self>, bytes: Bytes) -> Result<Heard, Fault> {
        let mut state = self.lock();
        let Some(partial) = &mut state.partial else { return Err(Fault("an attachment of nothing")) };
        partial.len += bytes.len();
        if partial.len > self.shared.settings.payload_max {
            return Err(Fault("too large a packet"));
        }
        partial.packet.binary.push(bytes);
        if !partial.packet.is_whole() {
            return Ok(Heard::Done);
        }
        let Some(partial) = state.partial.take() else { return Ok(Heard::Done) };
        drop(state);
        self.take(partial.packet)
    }

    /// A whole packet.
    fn take(self: &Arc<Self>, packet: Packet) -> Result<Heard, Fault> {
        let Some(at) = self.shared.namespaces.find(&packet.namespace) else {
            if let Kind::Connect(_) = packet.kind {
                self.refuse(&packet.namespace, "Invalid namespace", None);
                return Ok(Heard::Done);
            }
            return Err(Fault("a packet for a namespace that the client isn't in"));
        };
        let is_in = self.lock().joined.iter().any(|joined| joined.at == at);
        if let Kind::Connect(auth) = packet.kind {
            if is_in {
                return Err(Fault("entered twice"));
            }
            return Ok(Heard::Wait(Box::pin(Arc::clone(self).connect(at, auth))));
        }
        if !is_in {
            return Err(Fault("a packet for a namespace that the client isn't in"));
        }
        let namespace = &self.shared.namespaces.at(at).namespace;
        match &packet.kind {
            Kind::Connect(_) => {}
            Kind::Disconnect => self.leave(at),
            Kind::Ack(arguments) => {
                namespace.on_ack(packet.id.unwrap_or_default(), arguments);
            }
            Kind::Event(name, arguments) => {
                let deeds = namespace.on(&Said { name, arguments, packet: &packet });
                return Ok(self.act(at, packet.id, deeds));
            }
        }
        Ok(Heard::Done)
    }

    fn leave(&self, at: usize) {
        let mut state = self.lock();
        let Some(place) = state.joined.iter().position(|joined| joined.at == at) else { return };
        let joined = state.joined.remove(place);
        drop(state);
        if let Some(outlet) = self.outlet.get() {
            joined.watches.iter().for_each(|(_, id)| outlet.unwatch(*id));
        }
    }

    fn act(self: &Arc<Self>, at: usize, id: Option<u64>, deeds: Vec<Deed>) -> Heard {
        let mut heard = Heard::Done;
        for deed in deeds {
            let next = match deed {
                Deed::Emit(emit) => {
                    self.say(self.emit(at, &emit));
                    continue;
                }
                Deed::Ack(arguments, binary) => {
                    self.acknowledge(at, id, &arguments, &binary);
                    continue;
                }
                Deed::Refuse(refusal) => {
                    self.acknowledge(at, id, &refused(&refusal), &[]);
                    continue;
                }
                Deed::Unwatch(filter) => {
                    self.unwatch(at, id, &filter);
                    continue;
                }
                Deed::Publish(publication) => match self.publish(at, id, *publication) {
                    Some(answer) => Heard::Answer(answer),
                    None => continue,
                },
                Deed::Watch(wish) => Heard::Wait(Box::pin(Arc::clone(self).watch(at, id, wish))),
            };
            heard = heard.then(next);
        }
        heard
    }

    /// The frames of an event for this client.
    pub(super) fn emit(&self, at: usize, emit: &Emit) -> Bytes {
        let mut out = Vec::new();
        packet::write(b'2', self.shared.namespaces.name(at), emit.id, &emit.binary, &mut out, |out| {
            out.push(b'[');
            out.extend_from_slice(emit.arguments.as_bytes());
            out.push(b']');
        });
        out.into()
    }

    fn acknowledge(&self, at: usize, id: Option<u64>, arguments: &str, binary: &[Bytes]) {
        if id.is_some() {
            self.say(self.ack(at, id, arguments, binary));
        }
    }

    fn ack(&self, at: usize, id: Option<u64>, arguments: &str, binary: &[Bytes]) -> Bytes {
        let mut out = Vec::new();
        packet::write(b'3', self.shared.namespaces.name(at), id, binary, &mut out, |out| {
            out.push(b'[');
            out.extend_from_slice(arguments.as_bytes());
            out.push(b']');
        });
        out.into()
    }

    /// A refusal to let somebody in.
    pub(super) fn refuse(&self, namespace: &str, message: &str, refusal: Option<&Refusal>) {
        let mut out = Vec::new();
        packet::write(b'4', namespace, None, &[], &mut out, |out| {
            out.extend_from_slice(b"{\"message\":");
            json::write_str(message, out);
            if let Some(refusal) = refusal {
                let _ = write!(out, ",\"data\":{}", refused(refusal));
            }
            out.push(b'}');
        });
        self.say(out.into());
    }

    fn publish(self: &Arc<Self>, at: usize, id: Option<u64>, publication: Publication) -> Option<Later<'static, ()>> {
        let outlet = self.outlet.get()?;
        let event_id = publication.event.id.clone();
        let coming = match self.shared.hub.publish(outlet.who(), vec![publication]) {
            Ok(coming) => coming,
            Err(refusal) => {
                self.acknowledge(at, id, &refused(&refusal), &[]);
                return None;
            }
        };
        let session = Arc::clone(self);
        Some(Box::pin(async move {
            let answer = match coming.await {
                Ok(receipts) => {
                    let receipt = receipts.get(0);
                    let mut out = b"{\"ok\":true,\"id\":".to_vec();
                    json::write_str(&event_id.to_string(), &mut out);
                    let _ = write!(out, ",\"position\":\"{}\",\"duplicate\":{}}}", receipt.position, receipt.duplicate);
                    String::from_utf8_lossy(&out).into_owned()
                }
                Err(refusal) => refused(&refusal),
            };
            session.acknowledge(at, id, &answer, &[]);
        }))
    }

    async fn watch(self: Arc<Self>, at: usize, id: Option<u64>, wish: Wish) {
        let why = {
            let state = self.lock();
            let joined = state.joined.iter().find(|joined| joined.at == at);
            match joined {
                None => return,
                Some(Joined { watches, .. }) if watches.len() >= WATCHES_MAX => {
                    Some(format!("one client has at most {WATCHES_MAX} subscriptions here"))
                }
                Some(Joined { watches, .. }) if watches.iter().any(|(filter, _)| *filter == wish.filter) => {
                    Some("this filter is already subscribed to".to_owned())
                }
                Some(_) => None,
            }
        };
        if let Some(why) = why.filter(|_| !wish.is_only_states) {
            return self.acknowledge(at, id, &refused(&Refusal::Malformed(why)), &[]);
        }
        let Some(outlet) = self.outlet.get() else { return };
        let (filter, is_kept) = (wish.filter.clone(), !wish.is_only_states);
        let begun = outlet
            .watch_after(self.to_watch(at, wish), |_, after| {
                if id.is_none() {
                    return Bytes::new();
                }
                let mut out = b"{\"ok\":true,\"filter\":".to_vec();
                json::write_str(filter.as_str(), &mut out);
                let _ = write!(out, ",\"position\":\"{after}\"}}");
                self.ack(at, id, &String::from_utf8_lossy(&out), &[])
            })
            .await;
        match begun {
            Ok(watch) if is_kept => {
                let mut state = self.lock();
                if let Some(joined) = state.joined.iter_mut().find(|joined| joined.at == at) {
                    joined.watches.reserve_exact(1);
                    joined.watches.push((filter, watch));
                }
            }
            Ok(_) => {}
            Err(error) => self.acknowledge(at, id, &not_watching(&error), &[]),
        }
    }

    pub(super) fn to_watch(&self, at: usize, wish: Wish) -> Watch {
        let entry = self.shared.namespaces.at(at);
        let Wish { filter, from, sticky, is_only_states, behind } = wish;
        // The end of a snapshot beside the one watch that is recovered must not move the client's offset.
        let encoder = match (is_only_states, self.tells_offset_apart.load(Ordering::Relaxed)) {
            (true, _) => &entry.beside,
            (false, true) => &entry.apart,
            (false, false) => &entry.spelling,
        };
        let encoder = Arc::clone(encoder);
        Watch { filter, from, sticky, encoder, behind, again: Vec::new(), is_only_states, is_only_again: false }
    }

    fn unwatch(&self, at: usize, id: Option<u64>, filter: &headwater_event::Filter) {
        let mut state = self.lock();
        let joined = state.joined.iter_mut().find(|joined| joined.at == at);
        let found = joined.and_then(|joined| {
            let place = joined.watches.iter().position(|(have, _)| have == filter)?;
            Some(joined.watches.swap_remove(place).1)
        });
        drop(state);
        match (found, self.outlet.get()) {
            (Some(watch), Some(outlet)) => {
                outlet.unwatch(watch);
                self.acknowledge(at, id, "{\"ok\":true}", &[]);
            }
            _ => {
                let refusal = Refusal::Malformed("this filter is not subscribed to".into());
                self.acknowledge(at, id, &refused(&refusal), &[]);
            }
        }
    }
}

impl Heard {
    /// Both, one after the other.
    fn then(self, next: Self) -> Self {
        match (self, next) {
            (Self::Done, next) => next,
            (heard, Self::Done) => heard,
            (Self::Answer(one), Self::Answer(two)) => Self::Answer(Box::pin(async move {
                one.await;
                two.await;
            })),
            (Self::Wait(one) | Self::Answer(one), Self::Wait(two) | Self::Answer(two)) => {
                Self::Wait(Box::pin(async move {
                    one.await;
                    two.await;
                }))
            }
        }
    }
}

/// A refusal as an answer has it.
pub(super) fn refused(refusal: &Refusal) -> String {
    let mut out = format!("{{\"ok\":false,\"error\":\"{}\",\"message\":", refusal.name()).into_bytes();
    json::write_str(&refusal.to_string(), &mut out);
    if let Some(wait) = refusal.retry_after() {
        let _ = write!(out, ",\"retry_after_ms\":{}", wait.as_millis().max(1));
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

fn not_watching(error: &WatchError) -> String {
    match error {
        WatchError::Refusal(refusal) => refused(refusal),
        WatchError::Gone { oldest } => {
            format!("{{\"ok\":false,\"error\":\"gone\",\"message\":\"{error}\",\"oldest\":\"{oldest}\"}}")
        }
        WatchError::NoSuchPosition { head } => {
            format!("{{\"ok\":false,\"error\":\"no_such_position\",\"message\":\"{error}\",\"head\":\"{head}\"}}")
        }
    }
}
