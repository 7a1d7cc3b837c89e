//! From the first byte to CONNACK: who it is, whether it may, and the session that it goes on with.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_event::{EventId, Principal, Refusal, Text};
use headwater_hub::{Arrival, Credentials, OutletSettings, Proof, Secret, Standing, UnderWay};
use tokio::time::timeout;

use super::connection::{About, Connection, Phase};
use super::front::{Front, Origin};
use super::headers;
use super::keep;
use super::packet::{
    AckKind, ConnAck, ConnAckProperties, Connect, ConnectProperties, Decoder, Fault, Packet, Reason, Version,
    encode_ack,
};
use super::refusal;
use super::seats::{Claim, Key};
use super::session::Session;
use super::unsubscribing::leave_group;
use super::wills::Will;
use super::wire::Wire;
use crate::accept::Stopping;

/// How many topics a client may give numbers to: each is kept with its text, 1 KiB at most.
pub(super) const TOPIC_ALIAS_MAX: u16 = 64;

/// How much is read at once before that.
const FIRST_READ_LEN: usize = 4 << 10;

/// The longest client id in bytes; servers must take 23 (MQTT 5.0 section 3.1.3.1) and others take 128.
const CLIENT_ID_LEN_MAX: usize = 256;

/// Why there is no connection.
enum No {
    /// The client is told so by a CONNACK.
    Refused(Reason, String),
    /// The client is gone, too slow, or said something that is no CONNECT: nothing is answered (section 4.13).
    Silent,
}

/// A CONNECT that has been judged.
struct Welcome {
    who: Principal,
    claim: Claim,
    session: Session,
    is_present: bool,
    will: Option<Box<Will>>,
    assigned: Option<Text>,
    keep_alive_s: u16,
    is_keep_alive_ours: bool,
}

/// Reads the CONNECT and answers it; `None` when that was all.
pub(super) async fn greet(mut wire: Wire, front: Front, origin: Origin, stopping: Stopping) -> Option<Box<Connection>> {
    let mut buffer = BytesMut::new();
    let mut decoder = Decoder::new();
    let read = timeout(front.settings.connect_timeout, read_connect(&mut wire, &mut decoder, &mut buffer)).await;
    let connect = match read {
        Ok(Ok(connect)) => connect,
        Ok(Err(Some(fault))) => {
            refuse_unread(&wire, &fault).await;
            return None;
        }
        Ok(Err(None)) | Err(_) => return None,
    };
    let version = connect.version;
    let ConnectProperties {
        receive_maximum,
        maximum_packet_size,
        session_expiry,
        request_problem_information,
        user_properties,
        ..
    } = connect.properties.clone();
    let wants_reasons = request_problem_information;
    let is_told = version == Version::V5 && headers::asks_to_be_told(&user_properties);
    // 0 sets no limit: the client can't.
    let packet_len_max = maximum_packet_size.unwrap_or(0);
    let welcome = match judge(*connect, &front, &origin).await {
        Ok(welcome) => welcome,
        Err(No::Refused(reason, why)) => {
            tracing::info!(peer = %origin.peer, why, "an MQTT client was refused");
            refuse(&wire, version, reason, wants_reasons.then_some(&*why), packet_len_max).await;
            return None;
        }
        Err(No::Silent) => return None,
    };
    let Welcome { who, claim, session, is_present, will, assigned, keep_alive_s, is_keep_alive_ours } = welcome;
    let window = receive_maximum.min(front.settings.in_flight_max);
    let silence_max = (keep_alive_s > 0).then(|| Duration::from_millis(u64::from(keep_alive_s) * 1_500));
    let settings = OutletSettings { silence_max, window: usize::from(window), ..OutletSettings::default() };
    let outlet = front.hub.outlet(who.clone(), Box::new(wire.socket.clone()), settings);
    if !claim.take(&outlet) {
        return None;
    }
    let arrival = Arrival {
        protocol: if wire.is_framed() { "mqtt-ws" } else { "mqtt" },
        peer: origin.peer,
        who: &who,
        client: Some(claim.key().client()),
    };
    let present = front.hub.presence().enter(arrival, &outlet);
    decoder.set(version, front.settings.packet_len_max);
    let mut answer = connack(&front, &session, is_present, assigned.as_ref(), keep_alive_s, is_keep_alive_ours);
    if is_told {
        let means = front.hub.abilities().durability.word();
        let told = &mut answer.properties.explanation.user_properties;
        told.push((headers::DURABILITY.into(), means.into()));
        told.push((headers::LOG.into(), front.hub.head().epoch.to_string().into()));
    }
    let answer = spelled(&answer, version);
    if !takes(packet_len_max, answer.len()) {
        // What it has to be told is more than it takes ([MQTT-3.1.2-24]).
        refuse(&wire, version, Reason::PACKET_TOO_LARGE, None, packet_len_max).await;
        return None;
    }
    let about = About {
        version,
        will,
        wants_reasons,
        packet_len_max,
        is_expiry_fixed: version == Version::V5 && session_expiry == 0,
        aliases: Vec::new(),
        mark: None,
        is_marking: false,
        is_told,
        shares: Vec::new(),
        session,
    };
    let mut connection = Connection {
        wire,
        front,
        outlet,
        claim,
        decoder,
        buffer,
        about: Box::new(about),
        phase: Phase::Open,
        open: None,
        stopping,
        _present: present,
    };
    connection.say(answer);
    if is_present {
        connection.take_up_exchanges();
        connection.resume();
    }
    Some(Box::new(connection))
}

/// The first packet, which must be CONNECT; `Err(None)` when the client is gone.
async fn read_connect(
    wire: &mut Wire,
    decoder: &mut Decoder,
    buffer: &mut BytesMut,
) -> Result<Box<Connect>, Option<Fault>> {
    let mut leftover = wire.take_leftover();
    wire.take(&mut leftover, buffer).map_err(|_| None)?;
    let mut read = vec![0; FIRST_READ_LEN];
    loop {
        match decoder.next(buffer) {
            Ok(Some(Packet::Connect(connect))) => return Ok(connect),
            // The decoder takes nothing else first.
            Ok(Some(_)) => return Err(None),
            Ok(None) => {}
            Err(fault) => return Err(Some(fault)),
        }
        wire.socket.0.readable().await.map_err(|_| None)?;
        match wire.socket.0.try_read(&mut read) {
            Ok(0) => return Err(None),
            Ok(len) => {
                let answers = wire.take(&mut read[..len], buffer).map_err(|_| None)?;
                if !answers.is_empty() {
                    write_all(wire, &answers).await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(None),
        }
    }
}

/// Judges a CONNECT, takes the client's seat, and finds its session.
async fn judge(connect: Connect, front: &Front, origin: &Origin) -> Result<Welcome, No> {
    let version = connect.version;
    if connect.properties.authentication_method.is_some() {
        return Err(No::Refused(Reason::BAD_AUTHENTICATION_METHOD, "no enhanced authentication here".into()));
    }
    let (client, assigned) = client_id(&connect)?;
    let proof = match Proof::from_login(
        connect.user_name.clone(),
        connect.password.as_ref().map(|password| Secret::new(password.as_bytes())),
    ) {
        Proof::None if !origin.names.is_empty() => Proof::Certificate { names: origin.names.clone() },
        proof => proof,
    };
    let credentials = Credentials { proof, client_id: Some(client.clone()), peer: origin.peer.ip() };
    let who = front.hub.authenticate(credentials).await.map_err(|refusal| refused(&refusal))?;
    let will = match connect.will {
        Some(will) => {
            let will = Will::new(will).map_err(|reason| No::Refused(reason, "the will can't be taken".into()))?;
            let may = front.hub.may_publish(&who, &will.topic);
            may.map_err(|_| No::Refused(Reason::NOT_AUTHORIZED, "the will's topic is not allowed".into()))?;
            Some(Box::new(will))
        }
        None => None,
    };
    let mut claim = front.seats.claim(Key::new(who.name(), &client));
    if !claim.sit().await {
        return Err(No::Silent);
    }
    // From here on the one before has ended, and its session is saved.
    let asked = connect.properties.session_expiry;
    let expiry_s = match version {
        Version::V5 => front.limit_expiry(asked),
        Version::V311 if connect.clean_start => 0,
        Version::V311 => front.limit_expiry(u32::MAX),
    };
    let before = take_before(front, claim.key(), connect.clean_start).await.map_err(|refusal| refused(&refusal))?;
    let is_present = before.is_some();
    if is_present {
        front.wills.cancel(claim.key());
    } else {
        front.wills.hasten(claim.key());
    }
    let mut session = before.unwrap_or_else(|| Session::new(claim.key().clone(), expiry_s));
    session.expiry_s = expiry_s;
    let longest = u16::try_from(front.settings.keep_alive_max.as_secs()).unwrap_or(u16::MAX);
    let is_keep_alive_ours =
        version == Version::V5 && longest > 0 && (connect.keep_alive == 0 || connect.keep_alive > longest);
    let keep_alive_s = if is_keep_alive_ours { longest } else { connect.keep_alive };
    Ok(Welcome { who, claim, session, is_present, will, assigned, keep_alive_s, is_keep_alive_ours })
}

/// The client's own id, or one that is made for it (section 3.1.3.1).
fn client_id(connect: &Connect) -> Result<(Text, Option<Text>), No> {
    if connect.client_id.len() > CLIENT_ID_LEN_MAX {
        let why = format!("a client id has at most {CLIENT_ID_LEN_MAX} bytes");
        return Err(No::Refused(Reason::CLIENT_ID_NOT_VALID, why));
    }
    if !connect.client_id.is_empty() {
        return Ok((connect.client_id.detached(), None));
    }
    if connect.version == Version::V311 && !connect.clean_start {
        let why = "a session needs a client id".into();
        return Err(No::Refused(Reason::CLIENT_ID_NOT_VALID, why));
    }
    let made: Text = EventId::generate().to_string().into();
    Ok((made.clone(), Some(made)))
}

/// The session that this client left, unless its time is over or the client wants none of it: then it is ended.
async fn take_before(front: &Front, key: &Key, clean_start: bool) -> Result<Option<Session>, Refusal> {
    let Some((mut saved, saved_at)) = keep::load(&front.hub, key).await? else { return Ok(None) };
    if !clean_start && !saved.is_over(saved_at, front.started, front.hub.clock().now()) {
        let head = front.hub.head();
        if saved.epoch != head.epoch {
            // Another log stands below the hub: what was under way is of the old one.
            saved.session.released.clear();
            saved.session.leftovers.clear();
            for subscription in &mut saved.session.subscriptions {
                subscription.standing = Standing { up_to: head.seq, ..Standing::default() };
            }
        }
        return Ok(Some(saved.session));
    }
    saved.session.groups().for_each(|subscription| leave_group(front, subscription));
    front.hub.note(vec![keep::forget(key)])?.await?;
    Ok(None)
}

fn refused(refusal: &Refusal) -> No {
    No::Refused(refusal::connect_reason(refusal), refusal.to_string())
}

fn connack(
    front: &Front,
    session: &Session,
    is_present: bool,
    assigned: Option<&Text>,
    keep_alive_s: u16,
    is_keep_alive_ours: bool,
) -> ConnAck {
    let settings = &front.settings;
    let properties = ConnAckProperties {
        session_expiry: Some(session.expiry_s),
        receive_maximum: settings.in_flight_max,
        maximum_packet_size: u32::try_from(settings.packet_len_max).ok(),
        assigned_client_id: assigned.cloned(),
        topic_alias_maximum: TOPIC_ALIAS_MAX,
        server_keep_alive: is_keep_alive_ours.then_some(keep_alive_s),
        ..ConnAckProperties::default()
    };
    ConnAck { session_present: is_present, reason: Reason::SUCCESS, properties }
}

fn spelled(answer: &ConnAck, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    let encoded = answer.encode(version, &mut out);
    debug_assert!(encoded.is_ok(), "a few numbers and a name fit into a packet");
    out
}

/// Whether a client that named this maximum, or none by 0, takes a packet of this length.
pub(super) const fn takes(packet_len_max: u32, len: usize) -> bool {
    packet_len_max == 0 || len <= packet_len_max as usize
}

/// Refuses a client by a CONNACK, with as many words as it takes.
async fn refuse(wire: &Wire, version: Version, reason: Reason, why: Option<&str>, packet_len_max: u32) {
    let mut out = Vec::new();
    for why in [why, None] {
        let mut answer = ConnAck::because(reason);
        answer.properties.explanation.reason_string = why.map(Text::from);
        out.clear();
        if answer.encode(version, &mut out).is_ok() && takes(packet_len_max, out.len()) {
            break;
        }
        out.clear();
    }
    let words = if out.is_empty() { Bytes::new() } else { wire.frame(out) };
    write_all(wire, &[&words[..], &wire.farewell()[..]].concat()).await;
    wire.socket.end_writing();
}

/// A packet that isn't a good CONNECT: the server may say why where it is known in which version (MQTT 5.0 section 4.13.1).
async fn refuse_unread(wire: &Wire, fault: &Fault) {
    tracing::debug!(why = fault.why, "no CONNECT");
    if let Some(version) = fault.version {
        refuse(wire, version, fault.reason, None, 0).await;
    }
}

/// How long a refused client may take to read why.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(2);

async fn write_all(wire: &Wire, mut bytes: &[u8]) {
    let write = async {
        while !bytes.is_empty() {
            wire.socket.0.writable().await?;
            match wire.socket.0.try_write(bytes) {
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    // Whoever doesn't take its refusal has lost nothing but that.
    let _ = timeout(REFUSAL_TIME_MAX, write).await;
}

impl Connection {
    /// QoS 2 deliveries that the client has received are released again (section 4.4); the rest comes with the watches.
    fn take_up_exchanges(&mut self) {
        let released = self.about.session.released.clone();
        let under_way = released.iter().map(|seq| UnderWay { seq: *seq, watch: None, is_received: true });
        self.outlet.resume(under_way);
        let mut packets = Vec::new();
        for seq in released {
            let id = headwater_hub::number_of(seq);
            encode_ack(AckKind::PubRel, self.about.version, id, Reason::SUCCESS, &mut packets);
        }
        if !packets.is_empty() {
            self.say(packets);
        }
    }
}
