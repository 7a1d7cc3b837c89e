//! How a WebSocket becomes a session's way: at once, or after a probe.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use headwater_event::Principal;
use tokio::net::TcpStream;

use super::connection::{Connection, FAREWELL, Phase, Unfinished};
use super::engine::{Fault, Packet};
use super::front::Front;
use super::polling::open_frame;
use super::request::{Asked, Wrong};
use super::way::Way;
use crate::accept;
use crate::ws::socket::Socket;
use crate::ws::{Opcode, Origins, close, handshake, write_frame};

/// A request that is not granted, its socket, and the whole answer.
pub(crate) struct Refused {
    pub(crate) stream: TcpStream,
    pub(crate) answer: Vec<u8>,
}

/// Makes a connection whose request is this a session's WebSocket: a new session's, or one that has begun with polls.
pub(crate) fn upgrade(
    front: &Front,
    accepted: accept::Connection,
    request: &httparse::Request<'_, '_>,
    leftover: &[u8],
    who: Principal,
    origins: &Origins,
) -> Result<Connection, Box<Refused>> {
    let accept::Connection { stream, peer, stopping, .. } = accepted;
    let refuse = |stream, answer| Err(Box::new(Refused { stream, answer }));
    let asked = Asked::read(request.path.unwrap_or_default());
    let fit = match judge(&asked, request, origins) {
        Ok(fit) => fit,
        Err(wrong) => return refuse(stream, wrong.last_words()),
    };
    let mut first = fit.answer(None);
    let Some(sid) = asked.sid else {
        if let Err(too_many) = front.0.admit() {
            return refuse(stream, too_many.last_words());
        }
        let socket = Socket(Arc::new(stream));
        let session = front.0.open(
            |sid| {
                first.extend_from_slice(&open_frame(front, sid));
                let way = Way::over(socket.clone());
                // It is far below what fits.
                let _ = way.say(&first);
                way
            },
            who,
            peer,
            &stopping,
        );
        session.tells_offset_apart.store(asked.is_transport_first, Ordering::Relaxed);
        return Ok(Connection::new(socket, session, Phase::Open, leftover));
    };
    let Some(session) = front.0.find(sid) else { return refuse(stream, Wrong::Sid.last_words()) };
    let may_probe = {
        let mut state = session.lock();
        let may_probe = !state.is_probing && session.way.is_polled();
        state.is_probing |= may_probe;
        may_probe
    };
    if !may_probe {
        // As the reference server does it: the handshake is answered, and closed.
        write_frame(Opcode::Close, &close::close_payload(close::POLICY, "this session has its way"), &mut first);
        return refuse(stream, first);
    }
    let connection = Connection::new(Socket(Arc::new(stream)), session, Phase::Probing, leftover);
    connection.write(&first);
    Ok(connection)
}

fn judge(asked: &Asked<'_>, request: &httparse::Request<'_, '_>, origins: &Origins) -> Result<handshake::Fit, Wrong> {
    let fit = handshake::check(request).map_err(|_| Wrong::Request)?;
    let host = handshake::header(request, "host").ok().flatten().unwrap_or_default();
    let origin = handshake::header(request, "origin").map_err(|_| Wrong::Forbidden)?;
    if !origins.may_connect(origin, host) {
        return Err(Wrong::Forbidden);
    }
    if asked.sid.is_none() {
        asked.may_begin()?;
    }
    Ok(fit)
}

impl Connection {
    pub(super) fn take_probe(&mut self, packet: &Packet<'_>) -> Result<(), Fault> {
        match packet {
            Packet::Ping("probe") => {
                let mut out = Vec::new();
                write_frame(Opcode::Text, b"3probe", &mut out);
                self.write(&out);
                // A poll that waits is let go.
                self.session.lock().wake();
            }
            Packet::Upgrade => {
                self.session.way.upgrade(self.socket.clone());
                self.phase = Phase::Open;
                self.is_its_way = true;
                if let Some(open) = &mut self.open {
                    open.deadline = None;
                }
                self.session.shared.upgraded();
                let mut state = self.session.lock();
                state.is_probing = false;
                state.wake();
            }
            _ => return Err(Fault("no probe")),
        }
        Ok(())
    }

    pub(super) fn end_probe(&mut self) {
        self.session.lock().is_probing = false;
        let mut out = Vec::new();
        write_frame(Opcode::Close, &close::close_payload(close::NORMAL, ""), &mut out);
        self.write(&out);
        self.socket.end_writing();
        self.phase = Phase::Lingering;
        self.open = Unfinished::until(FAREWELL);
    }
}
