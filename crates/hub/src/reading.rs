//! A watcher's own reading from the log: what it missed, or the latest states, page by page as its socket takes them.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::vec::IntoIter;

use headwater_event::{Batch, BusError, Clock, Filter, Position, Recorded, Seq, StickyPage, Tail, Topic};

use crate::block::{Block, Builder, FrameKind};
use crate::encode::Encode;
use crate::gate::Gate;
use crate::window::Window;

/// How many bytes are encoded at a time for one watcher: a good part of a socket's buffer, and little beside it.
const PAGE_BYTES: usize = 16 << 10;

/// How many latest states are read at a time. They come with their payloads, so a page may be as many MiB at worst.
const STATES_PAGE: usize = 32;

/// How many topics that changed while the states were being told are remembered, so that they aren't told twice.
/// Beyond that a state may be told again, which is a repeat and never a gap; 4,096 topics are at most 4 MiB.
const CHANGED_TOPICS_MAX: usize = 4_096;

/// The name of the frame that ends the states, where those of events have sequence numbers, which begin at 1.
const STATE_END: Seq = 0;

/// A read on its way. It owns what it needs, so that it is polled outside of the outlet's lock.
pub(crate) type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What a read gave.
pub(crate) enum Done {
    Events(Result<(Box<dyn Tail>, Option<Batch>), BusError>),
    States(Result<StickyPage, BusError>),
}

/// What became of a finished read.
pub(crate) enum Next {
    /// There is more: a page to write, or a read to begin.
    More,
    /// The log has been read to its head.
    AtHead,
    /// What was to come can't be had any more. After this position there is more; `None` when the engine has no past.
    Gone(Option<Position>),
    /// The log can't be read.
    Failed(BusError),
}

/// Pages of what happened after `seen`.
pub(crate) struct Reading {
    stage: Stage,
    page: Option<Page>,
    /// What the states phase has told already, as of later than where the events begin; see [`Told`].
    told: Option<Box<Told>>,
    /// What an earlier connection was given, as far as this reading hasn't come beyond it.
    before: Option<Box<Before>>,
    /// It ends with the states.
    is_only_states: bool,
    /// It ends with what was told before.
    is_only_before: bool,
    /// Up to here the ring's frames have aged.
    aged: Seq,
}

/// What an earlier connection of the same client was given: all up to a place, of which some was not acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before {
    pub(crate) up_to: Seq,
    /// Not acknowledged, ascending.
    pub(crate) again: Vec<Seq>,
}

enum Stage {
    Events { tail: Option<Box<dyn Tail>>, rest: IntoIter<Recorded>, up_to: Seq },
    States { after: Option<Topic>, rest: IntoIter<Recorded>, topics: Vec<(Topic, Seq)>, read: StatesRead },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StatesRead {
    Begin,
    More,
    Complete,
}

/// The pages of states are each as of another moment, while the events begin where the watch did, before all of them.
///
/// The watch begins after 100; page 1 is as of 102 and page 2 as of 105; topic `x` on page 2 changed at 103. The events from
/// 101 on would tell 103 again, and a change of `x` at 102 would come after the newer state. So of `x` nothing up to 103 is
/// told again. Of what the client has to acknowledge it must get each, in order: there it's the state at 103 that isn't
/// told, as it comes among the events.
#[derive(Default)]
struct Told {
    topics: HashMap<Topic, Seq>,
    /// Where the watch began, and its events do.
    begin: Seq,
    last_as_of: Seq,
}

/// Frames being written.
struct Page {
    block: Block,
    at: usize,
}

impl Reading {
    /// Reads what happened after the watcher's place.
    pub(crate) fn events() -> Self {
        let stage = Stage::Events { tail: None, rest: Vec::new().into_iter(), up_to: 0 };
        Self { stage, page: None, told: None, before: None, is_only_states: false, is_only_before: false, aged: 0 }
    }

    /// The same for what the ring has in frames that have aged, up to this event.
    pub(crate) fn aged(up_to: Seq) -> Self {
        Self { aged: up_to, ..Self::events() }
    }

    /// The same for a client that comes back: of what it was given before, only what it didn't acknowledge.
    pub(crate) fn events_again(before: Before, is_only_before: bool) -> Self {
        Self { before: Some(Box::new(before)), is_only_before, ..Self::events() }
    }

    /// Reads the latest states, then what happened after them.
    pub(crate) fn states(is_only_states: bool) -> Self {
        let rest = Vec::new().into_iter();
        let stage = Stage::States { after: None, rest, topics: Vec::new(), read: StatesRead::Begin };
        Self {
            stage,
            page: None,
            told: Some(Box::default()),
            before: None,
            is_only_states,
            is_only_before: false,
            aged: 0,
        }
    }

    /// The bytes to be written next.
    pub(crate) fn bytes(&self) -> Option<bytes::Bytes> {
        self.page.as_ref().map(|page| page.block.bytes().slice(page.at..))
    }

    /// Whether only the ring could know better than this reading; not while something told must be left out.
    pub(crate) fn may_leave(&self, seen: Seq) -> bool {
        seen >= self.aged
            && self.page.is_none()
            && self.told.is_none()
            && self.before.is_none()
            && matches!(self.stage, Stage::Events { .. })
    }

    /// Whether all that was wanted has been told: states, or what was told before.
    pub(crate) fn is_over(&self) -> bool {
        let is_done = (self.is_only_states && !self.has_states()) || (self.is_only_before && self.before.is_none());
        is_done && self.page.is_none()
    }

    /// Whether states are still to be told.
    pub(crate) fn has_states(&self) -> bool {
        matches!(self.stage, Stage::States { .. })
    }

    /// What an earlier connection was given, as far as this reading hasn't come beyond it.
    pub(crate) fn before(&self) -> Option<&Before> {
        self.before.as_deref()
    }

    /// So many of the bytes were taken. Gives the rest of the frame that the socket now has a part of, which must be
    /// written before anything else, and how many frames were ended, or will be by that rest.
    /// `sent` is told of each event among them that the client has to acknowledge.
    pub(crate) fn took(&mut self, bytes: usize, seen: &mut Seq, mut sent: impl FnMut(Seq)) -> (bytes::Bytes, usize) {
        let Some(page) = &mut self.page else { return (bytes::Bytes::new(), 0) };
        let before = page.block.frames_within(page.at);
        page.at += bytes;
        let rest = page.block.cut(page.at).map(|(_, rest)| rest).unwrap_or_default();
        page.at += rest.len();
        let within = page.block.frames_within(page.at);
        page.block.frames()[before..within].iter().filter(|frame| frame.kind == FrameKind::Counted).for_each(|frame| {
            sent(event_of(&self.stage, frame.seq));
        });
        if let (Stage::States { topics, .. }, Some(told)) = (&self.stage, &mut self.told) {
            // Only what was written: a page that is given up may read otherwise the next time.
            let written = page.block.frames()[before..within].iter();
            written.filter_map(|frame| topics.get(usize::try_from(frame.seq).ok()?)).for_each(|state| told.tell(state));
        }
        if within > before {
            note(&mut self.stage, &page.block, within - 1, seen);
        }
        if page.at == page.block.len() {
            self.page = None;
        }
        (rest, within - before)
    }

    /// Gives the page up, to be read and encoded again, when some of it has aged meanwhile.
    pub(crate) fn refresh(&mut self, clock: &Clock) {
        let has_aged = self.page.as_ref().is_some_and(|page| page.block.has_aged(clock));
        if has_aged {
            // Only the word that ends the states can't be read again, and that doesn't age.
            let word = self.give_up();
            debug_assert!(word.is_empty());
        }
    }

    /// How many of the bytes to be written next the window lets through.
    pub(crate) fn let_through(&self, window: &Window) -> usize {
        let Some(page) = &self.page else { return 0 };
        let mut passage = window.passage();
        let mut end = page.at;
        for frame in &page.block.frames()[page.block.frames_within(page.at)..] {
            if frame.kind == FrameKind::Counted && !passage.lets(event_of(&self.stage, frame.seq)) {
                break;
            }
            end = frame.end as usize;
        }
        end - page.at
    }

    /// The window is full, for who knows how long: what was read beyond the present page is given up, to be read again.
    pub(crate) fn lighten(&mut self) {
        match &mut self.stage {
            Stage::Events { tail, rest, up_to } => {
                *tail = None;
                *rest = Vec::new().into_iter();
                *up_to = 0;
            }
            Stage::States { rest, read, .. } => {
                if *read == StatesRead::Complete && rest.len() > 0 {
                    *read = StatesRead::More;
                }
                *rest = Vec::new().into_iter();
            }
        }
    }

    /// The socket takes no more. What was read and not written is given up, to be read again later, so that a stalled
    /// watcher costs no memory. What this gives can't be read again (the word that ends the states); it is short.
    pub(crate) fn give_up(&mut self) -> bytes::Bytes {
        let page = self.page.take().filter(|page| page.block.frames()[0].seq == STATE_END);
        let kept = match (&self.stage, page) {
            (Stage::Events { .. }, Some(page)) => page.block.bytes().slice(page.at..),
            _ => bytes::Bytes::new(),
        };
        match &mut self.stage {
            Stage::Events { tail, rest, up_to } => {
                *tail = None;
                *rest = Vec::new().into_iter();
                *up_to = 0;
            }
            Stage::States { rest, topics, read, .. } => {
                // The end of the states was read, but not all of them were written: the rest is asked for again.
                if *read == StatesRead::Complete && (rest.len() > 0 || !topics.is_empty()) {
                    *read = StatesRead::More;
                }
                *rest = Vec::new().into_iter();
                topics.clear();
            }
        }
        kept
    }

    /// Encodes the next page from what was read. `false` when a read is needed first.
    pub(crate) fn turn_page(
        &mut self,
        filter: &Filter,
        encoder: &dyn Encode,
        epoch: u32,
        clock: &Clock,
        seen: &mut Seq,
    ) -> bool {
        let mut builder = Builder::default();
        match &mut self.stage {
            Stage::Events { rest, up_to, .. } => {
                for recorded in rest.by_ref() {
                    let seq = recorded.position.seq;
                    if let Some(before) = self.before.as_ref().filter(|before| seq <= before.up_to) {
                        if before.again.binary_search(&seq).is_ok() {
                            let kind = FrameKind::counted(encoder.is_acknowledged(&recorded));
                            builder.frame_of(encoder.ages(&recorded), seq, kind, |out| {
                                encoder.again(filter, &recorded, out)
                            });
                        }
                    } else if !self.is_only_before {
                        let is_acknowledged = encoder.is_acknowledged(&recorded);
                        if is_acknowledged || !self.told.as_ref().is_some_and(|told| told.covers(&recorded)) {
                            let kind = FrameKind::counted(is_acknowledged);
                            builder.frame_of(encoder.ages(&recorded), seq, kind, |out| {
                                encoder.event(filter, &recorded, out)
                            });
                        }
                    }
                    if builder.len() >= PAGE_BYTES {
                        break;
                    }
                }
                if builder.len() == 0 {
                    *seen = (*seen).max(*up_to);
                    if self.before.as_ref().is_some_and(|before| *seen >= before.up_to) {
                        self.before = None;
                    }
                    if self.told.as_ref().is_some_and(|told| *seen >= told.last_as_of) {
                        self.told = None;
                    }
                }
            }
            Stage::States { after, rest, topics, read } => {
                topics.clear();
                let begin = self.told.as_ref().map_or(*seen, |told| told.begin);
                for recorded in rest.by_ref() {
                    let is_acknowledged = encoder.is_acknowledged(&recorded);
                    if !is_acknowledged || recorded.position.seq <= begin {
                        let kind = FrameKind::counted(is_acknowledged);
                        let ages = encoder.ages(&recorded);
                        builder.frame_of(ages, topics.len() as Seq, kind, |out| encoder.state(filter, &recorded, out));
                    }
                    topics.push((recorded.event.topic.detached(), recorded.position.seq));
                    if builder.len() >= PAGE_BYTES {
                        break;
                    }
                }
                if builder.len() == 0 {
                    // An encoder that has no word for any of these: they are behind all the same.
                    if let Some((topic, _)) = topics.pop() {
                        *after = Some(topic);
                    }
                    if *read == StatesRead::Complete {
                        let as_of = begin;
                        builder.frame(STATE_END, FrameKind::Plain, |out| {
                            encoder.state_end(filter, Position::new(epoch, as_of), out)
                        });
                        self.begin_events(as_of, seen);
                    }
                }
            }
        }
        self.page = builder.take_at(|| clock.now()).map(|block| Page { block, at: 0 });
        self.page.is_some()
    }

    /// Begins the next read.
    pub(crate) fn read(&mut self, gate: &Gate, filter: &Filter, seen: Seq) -> Work {
        let (gate, filter) = (gate.clone(), filter.clone());
        match &mut self.stage {
            Stage::Events { tail, .. } => {
                let tail = tail.take();
                Box::pin(async move { Done::Events(gate.read_on(tail, seen, filter).await) })
            }
            Stage::States { after, .. } => {
                let after = after.clone();
                Box::pin(async move { Done::States(gate.latest(&filter, after.as_ref(), STATES_PAGE).await) })
            }
        }
    }

    /// Takes what a read gave.
    pub(crate) fn take(&mut self, done: Done, seen: &mut Seq) -> Next {
        match (done, &mut self.stage) {
            (Done::Events(Ok((tail, None))), _) => {
                *seen = (*seen).max(tail.position().seq);
                self.told = None;
                self.before = None;
                Next::AtHead
            }
            (Done::Events(Ok((new_tail, Some(batch)))), Stage::Events { tail, rest, up_to }) => {
                *tail = Some(new_tail);
                *up_to = batch.up_to;
                *rest = batch.events.into_iter();
                Next::More
            }
            (Done::States(Ok(page)), Stage::States { after, rest, read, .. }) => {
                if page.events.is_empty() && page.next.is_some() {
                    after.clone_from(&page.next);
                }
                let told = self.told.get_or_insert_default();
                if *read == StatesRead::Begin {
                    told.begin = *seen;
                }
                told.last_as_of = told.last_as_of.max(page.as_of.seq);
                *read = if page.next.is_some() { StatesRead::More } else { StatesRead::Complete };
                *rest = page.events.into_iter();
                Next::More
            }
            (Done::Events(Err(BusError::Gone { oldest })), _) => Next::Gone(Some(oldest)),
            (Done::Events(Err(BusError::Unable(_))), _) => Next::Gone(None),
            (Done::Events(Err(error)) | Done::States(Err(error)), _) => Next::Failed(error),
            // A read of the stage before: it's over.
            _ => Next::More,
        }
    }

    fn begin_events(&mut self, as_of: Seq, seen: &mut Seq) {
        *seen = as_of;
        self.told = self.told.take().filter(|told| told.last_as_of > told.begin && !told.topics.is_empty());
        self.stage = Stage::Events { tail: None, rest: Vec::new().into_iter(), up_to: 0 };
    }
}

/// The event that a frame of this name tells.
fn event_of(stage: &Stage, name: Seq) -> Seq {
    match stage {
        Stage::Events { .. } => name,
        Stage::States { topics, .. } => {
            usize::try_from(name).ok().and_then(|at| topics.get(at)).map_or(0, |(_, seq)| *seq)
        }
    }
}

/// The frame of this index has been written, or begun for good.
fn note(stage: &mut Stage, block: &Block, index: usize, seen: &mut Seq) {
    let name = block.frames()[index].seq;
    match stage {
        // STATE_END moves nothing.
        Stage::Events { .. } => *seen = (*seen).max(name),
        Stage::States { after, topics, .. } => {
            if let Some((topic, _)) = usize::try_from(name).ok().and_then(|at| topics.get(at)) {
                *after = Some(topic.clone());
            }
        }
    }
}

impl Told {
    /// The state of a topic was told.
    fn tell(&mut self, (topic, seq): &(Topic, Seq)) {
        if *seq > self.begin && self.topics.len() < CHANGED_TOPICS_MAX {
            self.topics.insert(topic.clone(), *seq);
        }
    }

    fn covers(&self, recorded: &Recorded) -> bool {
        self.topics.get(&recorded.event.topic).is_some_and(|told| recorded.position.seq <= *told)
    }
}
