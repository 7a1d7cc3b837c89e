//! A cursor over the log: from memory while it keeps up, from the file when it lags.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use headwater_event::{Batch, BusError, Later, Position, Recorded, Seq, Tail};
use tokio::sync::watch;

use crate::core::Core;
use crate::record::{Check, Kind, PREFIX_LEN, claimed_len, parse};

/// How many bytes one call reads at the most (but one whole record always): large enough that a call costs little beside
/// them, small enough that a thousand readers that catch up at once stay within 256 MiB.
const READ_BYTES_MAX: usize = 256 << 10;

/// A cursor over the log.
pub(crate) struct LogTail {
    core: Arc<Core>,
    /// The last event that was read.
    seq: Seq,
    /// Where the next record begins; `None` until it was looked for.
    offset: Option<u64>,
    head: watch::Receiver<Seq>,
}

/// Bytes of the file that begin with a record.
struct Span {
    bytes: Bytes,
    offset: u64,
    check: Check,
}

/// What was read of a span.
struct Read {
    events: Vec<Recorded>,
    seq: Seq,
    offset: u64,
}

impl LogTail {
    /// A cursor behind this event.
    pub(crate) fn new(core: Arc<Core>, after: Seq) -> Result<Self, BusError> {
        let view = core.view();
        if after > view.head {
            return Err(BusError::NoSuchPosition { head: Position::new(core.epoch(), view.head) });
        }
        if after < view.freed {
            return Err(BusError::Gone { oldest: Position::new(core.epoch(), view.freed) });
        }
        drop(view);
        let head = core.head.subscribe();
        Ok(Self { core, seq: after, offset: None, head })
    }

    async fn read(&mut self, wanted: &(dyn Fn(&str) -> bool + Send + Sync)) -> Result<Option<Batch>, BusError> {
        let (start, end, head) = {
            let view = self.core.view();
            if self.seq >= view.head {
                return Ok(None);
            }
            if self.seq < view.freed {
                return Err(BusError::Gone { oldest: Position::new(self.core.epoch(), view.freed) });
            }
            let start = self.offset.or_else(|| view.hot_after(self.seq).map(|batch| batch.offset));
            let start = start.or_else(|| view.places.find(self.seq).map(|place| place.offset)).unwrap_or(view.first);
            (start, view.end, view.head)
        };
        let mut read = Read { events: Vec::new(), seq: self.seq, offset: start };
        let mut budget = READ_BYTES_MAX;
        // From a place before the cursor this goes on until the cursor is passed, and from there on for one budget.
        while read.offset < end && read.seq < head && budget > 0 {
            let taken = match self.span(read.offset, end).await {
                Ok(span) if take(&span, self.core.epoch(), wanted, self.seq, &mut budget, &mut read) => Ok(()),
                Ok(_) => Err(self.unreadable(read.offset, read.seq)),
                Err(error) => Err(error),
            };
            match taken {
                Ok(()) => {}
                // What lies before the trouble is given first; the next call meets it again.
                Err(_) if read.seq > self.seq => break,
                Err(error) => return Err(error),
            }
        }
        (self.seq, self.offset) = (read.seq, Some(read.offset));
        Ok(Some(Batch { events: read.events, up_to: self.seq }))
    }

    /// The bytes at this place, from memory if they're there.
    async fn span(&self, offset: u64, end: u64) -> Result<Span, BusError> {
        let hot = self.core.view().hot(offset).cloned();
        if let Some(batch) = hot {
            let at = usize::try_from(offset - batch.offset).unwrap_or(usize::MAX);
            return Ok(Span { bytes: batch.bytes.slice(at..), offset, check: Check::Trust });
        }
        let core = self.core.clone();
        blocking(move || read_span(&core, offset, end, READ_BYTES_MAX)).await
    }

    /// Why a place can't be read: retention came in between, or it's damaged.
    fn unreadable(&self, offset: u64, after: Seq) -> BusError {
        let view = self.core.view();
        if offset < view.first {
            return BusError::Gone { oldest: Position::new(self.core.epoch(), view.freed) };
        }
        BusError::Damaged(format!("the log can't be read at byte {offset}, after event {after}"))
    }
}

/// Reads the file where that may block: its bytes may have to come from the disk, and a runtime's thread serves others.
pub(crate) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(read).await.map_err(|_| BusError::Closed)?,
        Err(_) => read(),
    }
}

/// Reads some `want` bytes of the file, and more if the first record has more.
fn read_span(core: &Core, offset: u64, end: u64, mut want: usize) -> Result<Span, BusError> {
    loop {
        let len = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).min(want);
        let mut bytes = BytesMut::zeroed(len);
        let read = core
            .reading
            .read_at(offset, &mut bytes)
            .map_err(|error| BusError::Storage(format!("the log can't be read at byte {offset}: {error}")))?;
        bytes.truncate(read);
        match claimed_len(&bytes) {
            Some(first) if first > read && read == want => want = first,
            _ => return Ok(Span { bytes: bytes.freeze(), offset, check: Check::Whole }),
        }
    }
}

/// Takes the wanted events of a span behind the cursor; `false` when its first record can't be read.
fn take(
    span: &Span,
    epoch: u32,
    wanted: &(dyn Fn(&str) -> bool + Send + Sync),
    after: Seq,
    budget: &mut usize,
    read: &mut Read,
) -> bool {
    let mut at = 0;
    while at + PREFIX_LEN <= span.bytes.len() && *budget > 0 {
        let Some(record) = parse(&span.bytes[at..], epoch, span.check) else {
            // Cut at the end of what was read: the next span begins with it.
            return at > 0;
        };
        let is_new = record.kind == Kind::Event && record.seq > after;
        if is_new && std::str::from_utf8(record.topic).is_ok_and(wanted) {
            match record.recorded(epoch, &span.bytes) {
                Some(recorded) => read.events.push(recorded),
                None => return false,
            }
        }
        if matches!(record.kind, Kind::Event | Kind::Void) && record.seq > after {
            read.seq = record.seq;
        }
        if read.seq > after {
            *budget = budget.saturating_sub(record.len);
        }
        at += record.len;
        read.offset = span.offset + at as u64;
    }
    at > 0
}

impl Tail for LogTail {
    fn next<'a>(&'a mut self, wanted: &'a (dyn Fn(&str) -> bool + Send + Sync)) -> Later<'a, Result<Batch, BusError>> {
        Box::pin(async move {
            loop {
                self.head.borrow_and_update();
                if let Some(batch) = self.read(wanted).await? {
                    return Ok(batch);
                }
                if self.core.intake().ended == Some(BusError::Closed) {
                    return Err(BusError::Closed);
                }
                self.head.changed().await.map_err(|_| BusError::Closed)?;
            }
        })
    }

    fn next_now<'a>(
        &'a mut self,
        wanted: &'a (dyn Fn(&str) -> bool + Send + Sync),
    ) -> Later<'a, Result<Option<Batch>, BusError>> {
        Box::pin(self.read(wanted))
    }

    fn position(&self) -> Position {
        Position::new(self.core.epoch(), self.seq)
    }
}

/// The record at this place of the file, which is known to be one.
pub(crate) fn read_record(core: &Core, offset: u64) -> Result<Option<Recorded>, BusError> {
    let (hot, end) = {
        let view = core.view();
        (view.hot(offset).cloned(), view.end)
    };
    let span = match hot {
        Some(batch) => {
            let at = usize::try_from(offset - batch.offset).unwrap_or(usize::MAX);
            Span { bytes: batch.bytes.slice(at..), offset, check: Check::Trust }
        }
        None => read_span(core, offset, end, RECORD_GUESS)?,
    };
    let record = parse(&span.bytes, core.epoch(), span.check);
    Ok(record.and_then(|record| record.recorded(core.epoch(), &span.bytes)))
}

/// How much is read at once where one record is wanted: most are smaller.
const RECORD_GUESS: usize = 4 << 10;

/// The event of this number; `None` when it's freed, or was lost to damage that was repaired.
pub(crate) fn read_seq(core: &Core, seq: Seq) -> Result<Option<Recorded>, BusError> {
    let Some(after) = seq.checked_sub(1) else { return Ok(None) };
    let (mut offset, end) = {
        let view = core.view();
        if seq > view.head || after < view.freed {
            return Ok(None);
        }
        let hot = view.hot_after(after).map(|batch| batch.offset);
        (hot.or_else(|| view.places.find(after).map(|place| place.offset)).unwrap_or(view.first), view.end)
    };
    while offset < end {
        let hot = core.view().hot(offset).cloned();
        let span = match hot {
            Some(batch) => {
                let at = usize::try_from(offset - batch.offset).unwrap_or(usize::MAX);
                Span { bytes: batch.bytes.slice(at..), offset, check: Check::Trust }
            }
            None => read_span(core, offset, end, READ_BYTES_MAX)?,
        };
        let mut at = 0;
        while let Some(record) = parse(&span.bytes[at..], core.epoch(), span.check) {
            if matches!(record.kind, Kind::Event | Kind::Void) && record.seq >= seq {
                let found = (record.kind == Kind::Event).then(|| record.recorded(core.epoch(), &span.bytes));
                return Ok(found.flatten().map(|recorded| Recorded { event: recorded.event.detached(), ..recorded }));
            }
            at += record.len;
        }
        if at == 0 {
            let view = core.view();
            if after < view.freed {
                return Ok(None);
            }
            return Err(BusError::Damaged(format!("the log can't be read at byte {offset}, before event {seq}")));
        }
        offset += at as u64;
    }
    Ok(None)
}
