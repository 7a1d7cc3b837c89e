//! What the parts of the engine share: the connection, the streams, where the log stands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Config, Info, RawMessageErrorKind, StorageType, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use headwater_event::{BusError, Clock, Epoch, GroupName, Health, Position, Seq};
use tokio::sync::watch;

use super::seat::Seat;
use super::subjects;
use crate::address::Address;
use crate::local::lock;
use crate::local::wait::Bell;

/// How often the server is asked where the log stands, for what others have appended.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How long the server knows a copy: a resend comes within minutes or never, and each id costs the server memory.
const COPIES_KNOWN: Duration = Duration::from_secs(600);

/// What all parts know.
pub(super) struct Shared {
    pub address: Address,
    pub clock: Clock,
    pub context: Context,
    pub stream: Stream,
    /// Dead letters, and those that are to be tried again: beside the log, whose places are events'.
    pub letters: Stream,
    pub epoch: Epoch,
    /// After how long the server brings a delivery again of which it hears nothing, in groups that are made here.
    pub ack_wait: Duration,
    pub stop: watch::Sender<bool>,
    pub seats: Mutex<BTreeMap<GroupName, Arc<Seat>>>,
    head: AtomicU64,
    oldest: AtomicU64,
    is_closed: AtomicBool,
    fault: Mutex<Option<String>>,
    /// How many appends were called and how many are through.
    pub called: AtomicU64,
    pub through: AtomicU64,
    /// How many dead letters are on their way.
    pub burying: AtomicU64,
    pub bell: Bell,
    /// Rung when the server is connected to.
    pub connected: Arc<Bell>,
}

/// Resolves when all is to end.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The two streams, made when they aren't there.
pub(super) async fn streams(
    context: &Context,
    name: &str,
    replicas: usize,
) -> Result<(Stream, Stream), CreateStreamError> {
    let config = |name: String, subjects: Vec<String>| Config {
        name,
        subjects,
        storage: StorageType::File,
        num_replicas: replicas,
        duplicate_window: COPIES_KNOWN,
        allow_direct: true,
        ..Config::default()
    };
    let log = config(name.into(), vec![subjects::ALL.into()]);
    let letters =
        config(format!("{name}_LETTERS"), vec![format!("{}>", subjects::DEAD), format!("{}>", subjects::AGAIN)]);
    Ok((context.get_or_create_stream(log).await?, context.get_or_create_stream(letters).await?))
}

/// Whether it may go well later: a cluster without a leader, or a server that is still starting.
pub(super) fn is_passing(error: &CreateStreamError) -> bool {
    const PASSING: [ErrorCode; 4] = [
        ErrorCode::CLUSTER_NOT_AVAILABLE,
        ErrorCode::CLUSTER_NOT_LEADER,
        ErrorCode::CLUSTER_NOT_ACTIVE,
        ErrorCode::CLUSTER_NO_PEERS,
    ];
    match error.kind() {
        CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::JetStreamUnavailable => true,
        CreateStreamErrorKind::JetStream(error) => PASSING.contains(&error.error_code()),
        _ => false,
    }
}

/// A number that a stream made anew doesn't share; never 0.
pub(super) fn epoch_of(info: &Info) -> Epoch {
    let nanos = info.created.unix_timestamp_nanos();
    let folded = nanos ^ nanos >> 32 ^ nanos >> 64;
    // The lower 32 bits.
    ((folded & 0xFFFF_FFFF) as u32).max(1)
}

impl Shared {
    pub(super) fn new(
        address: Address,
        clock: Clock,
        ack_wait: Duration,
        context: Context,
        connected: Arc<Bell>,
        (stream, letters): (Stream, Stream),
    ) -> Self {
        let info = stream.cached_info();
        Self {
            epoch: epoch_of(info),
            head: AtomicU64::new(info.state.last_sequence),
            oldest: AtomicU64::new(info.state.first_sequence.saturating_sub(1)),
            address,
            clock,
            ack_wait,
            context,
            letters,
            stop: watch::Sender::new(false),
            seats: Mutex::default(),
            is_closed: AtomicBool::new(false),
            fault: Mutex::default(),
            called: AtomicU64::new(0),
            through: AtomicU64::new(0),
            burying: AtomicU64::new(0),
            bell: Bell::new(),
            connected,
            stream,
        }
    }

    /// How often the server has been connected to.
    pub(super) fn connects(&self) -> u64 {
        self.context.client().statistics().connects.load(Ordering::Acquire)
    }

    pub(super) fn head(&self) -> Position {
        Position::new(self.epoch, self.head.load(Ordering::Acquire))
    }

    pub(super) fn oldest(&self) -> Position {
        Position::new(self.epoch, self.oldest.load(Ordering::Acquire))
    }

    /// The log has grown at least so far.
    pub(super) fn reached(&self, seq: Seq) {
        self.head.fetch_max(seq, Ordering::AcqRel);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.stop.send_replace(true);
        self.bell.ring();
    }

    pub(super) fn sentence(&self, why: &str) -> String {
        format!("the engine {} {why}", self.address)
    }

    pub(super) fn storage(&self, why: impl std::fmt::Display) -> BusError {
        if self.is_closed() { BusError::Closed } else { BusError::Storage(self.sentence(&why.to_string())) }
    }

    pub(super) fn late(&self) -> BusError {
        self.storage("does not answer")
    }

    pub(super) fn health(&self) -> Health {
        if self.is_closed() {
            return Health::Failing("the engine was closed".into());
        }
        lock(&self.fault).clone().map_or(Health::Good, Health::Failing)
    }

    pub(super) fn set_fault(&self, why: Option<&str>) {
        let sentence = why.map(|why| self.sentence(why));
        let mut fault = lock(&self.fault);
        match (&*fault, &sentence) {
            (None, Some(sentence)) => tracing::warn!("{sentence}"),
            (Some(_), None) => tracing::info!("the engine {} is connected again", self.address),
            _ => {}
        }
        *fault = sentence;
    }

    /// Asks the server where the log stands.
    pub(super) async fn look(&self) -> Result<Seq, BusError> {
        let info = self.stream.get_info().await.map_err(|error| self.storage(error))?;
        if epoch_of(&info) != self.epoch {
            return Err(self.storage("has another log than before"));
        }
        self.reached(info.state.last_sequence);
        self.oldest.fetch_max(info.state.first_sequence.saturating_sub(1), Ordering::AcqRel);
        Ok(info.state.last_sequence)
    }

    /// Whether the log has anything after this place. It's the leader who says so: another node may not have it yet.
    pub(super) async fn has_more(&self, after: Seq) -> Result<bool, BusError> {
        match self.stream.get_first_raw_message_by_subject(subjects::ALL, after + 1).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(self.storage(error)),
        }
    }

    /// The last message of a subject, if there is one. The leader is asked: another node may have an older one.
    pub(super) async fn last_of(&self, subject: &str) -> Result<Option<StreamMessage>, BusError> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(self.storage(error)),
        }
    }

    /// Keeps asking until all ends.
    pub(super) async fn keep_looking(self: Arc<Self>) {
        let mut stopping = self.stop.subscribe();
        loop {
            tokio::select! {
                () = tokio::time::sleep(ASK_EVERY) => {}
                () = stopped(&mut stopping) => return,
            }
            let looked = self.look().await;
            if self.is_closed() {
                return;
            }
            match looked {
                Ok(_) => self.set_fault(None),
                Err(_) if self.context.client().connection_state() != async_nats::connection::State::Connected => {
                    self.set_fault(Some("can't be reached"));
                }
                Err(error) => self.set_fault(Some(&format!("fails: {error}"))),
            }
        }
    }

    /// Resolves when no dead letter of this process is on its way.
    pub(super) async fn all_buried(&self) {
        let mut ear = self.bell.listen();
        while self.burying.load(Ordering::Acquire) > 0 && !self.is_closed() {
            ear.rung().await;
        }
    }

    /// Resolves when all appends that were called before are through.
    pub(super) fn all_through(&self) -> impl Future<Output = ()> + Send + '_ {
        let until = self.called.load(Ordering::Acquire);
        async move {
            let mut ear = self.bell.listen();
            while self.through.load(Ordering::Acquire) < until && !self.is_closed() {
                ear.rung().await;
            }
        }
    }
}
