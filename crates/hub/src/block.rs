//! Encoded frames, one after the other in one piece of memory, with the place where each ends.

use std::time::Duration;

use bytes::Bytes;
use headwater_event::{Clock, Seq, Time};

/// How long a frame that ages is right: what it tells is told in seconds.
const AGE_MAX: Duration = Duration::from_secs(1);

/// Some whole frames. Cloned by reference count.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    bytes: Bytes,
    frames: std::sync::Arc<[Frame]>,
    /// When it was encoded, if some of it [ages](Frame::ages).
    encoded: Option<Time>,
}

/// Where a frame ends in its block, and which event it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) end: u32,
    pub(crate) kind: FrameKind,
    /// It is right for a moment only, and is to be encoded anew when it has waited.
    pub(crate) ages: bool,
    pub(crate) seq: Seq,
}

/// What is special about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Plain,
    /// The client has to acknowledge it.
    Counted,
    /// It tells of something that is kept nowhere; its `seq` is that of the last event before it.
    Passing,
}

impl FrameKind {
    /// The frame of an event, which the client has to acknowledge or not.
    pub(crate) const fn counted(is_counted: bool) -> Self {
        if is_counted { Self::Counted } else { Self::Plain }
    }
}

/// Collects frames for blocks; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
    frames: Vec<Frame>,
    has_aging: bool,
}

impl Builder {
    /// Adds what `encode` writes as one frame; nothing when it writes nothing.
    pub(crate) fn frame(&mut self, seq: Seq, kind: FrameKind, encode: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        encode(&mut self.bytes);
        if self.bytes.len() == before {
            return;
        }
        match u32::try_from(self.bytes.len()) {
            Ok(end) => self.frames.push(Frame { end, kind, ages: false, seq }),
            // A block is cut long before 4 GiB; a single frame of that size can't come from a bounded payload.
            Err(_) => self.bytes.truncate(before),
        }
    }

    /// The same for a frame that may be right for a moment only.
    pub(crate) fn frame_of(&mut self, ages: bool, seq: Seq, kind: FrameKind, encode: impl FnOnce(&mut Vec<u8>)) {
        let before = self.frames.len();
        self.frame(seq, kind, encode);
        if ages && let Some(frame) = self.frames.get_mut(before) {
            frame.ages = true;
            self.has_aging = true;
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was collected and is put by: if some of it ages, `now` tells from when on.
    pub(crate) fn take_at(&mut self, now: impl FnOnce() -> Time) -> Option<Block> {
        let encoded = std::mem::take(&mut self.has_aging).then(now);
        self.take().map(|block| Block { encoded, ..block })
    }

    /// What was collected, if anything, in memory of just its size.
    pub(crate) fn take(&mut self) -> Option<Block> {
        /// What a builder may keep for the next block; a burst of large frames must not be held for ever.
        const KEPT_BYTES_MAX: usize = 256 << 10;

        if self.frames.is_empty() {
            return None;
        }
        let bytes = Bytes::copy_from_slice(&self.bytes);
        let block = Block { bytes, frames: self.frames.as_slice().into(), encoded: None };
        self.has_aging = false;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.frames.clear();
        self.frames.shrink_to(KEPT_BYTES_MAX / size_of::<Frame>());
        Some(block)
    }
}

impl Block {
    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether some of it is right for a moment only.
    pub(crate) const fn has_aging(&self) -> bool {
        self.encoded.is_some()
    }

    /// Whether what was right for a moment isn't any more.
    pub(crate) fn has_aged(&self, clock: &Clock) -> bool {
        self.encoded.is_some_and(|encoded| clock.now().since(encoded) >= AGE_MAX)
    }

    /// What it holds in memory.
    pub(crate) fn cost(&self) -> usize {
        self.bytes.len() + size_of_val(&*self.frames)
    }

    /// The number of frames that end at or before this byte.
    pub(crate) fn frames_within(&self, end: usize) -> usize {
        self.frames.partition_point(|frame| frame.end as usize <= end)
    }

    /// Where the frame of this index begins.
    pub(crate) fn start_of(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.frames[before].end as usize)
    }

    /// If byte `at` lies inside a frame: this frame's index and its rest from there on.
    pub(crate) fn cut(&self, at: usize) -> Option<(usize, Bytes)> {
        let index = self.frames_within(at);
        if index == self.frames.len() || self.start_of(index) == at {
            return None;
        }
        Some((index, keep(&self.bytes.slice(at..self.frames[index].end as usize))))
    }
}

/// A piece that outlives its block: small ones are copied, so that a watcher that stalled doesn't hold a whole block;
/// large ones are mostly a block of their own, and are shared by all that stalled in them.
fn keep(piece: &Bytes) -> Bytes {
    /// Half of the smallest socket buffer: what a copy for each stalled watcher may cost.
    const COPIED_BYTES_MAX: usize = 8 << 10;

    if piece.len() <= COPIED_BYTES_MAX { Bytes::copy_from_slice(piece) } else { piece.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        let mut builder = Builder::default();
        for (seq, text) in [(5, "abc"), (6, ""), (7, "de"), (9, "f")] {
            builder.frame(seq, FrameKind::Plain, |out| out.extend_from_slice(text.as_bytes()));
        }
        builder.take().unwrap()
    }

    #[test]
    fn a_frame_without_bytes_is_none() {
        let seqs: Vec<_> = block().frames().iter().map(|f| f.seq).collect();
        assert_eq!(seqs, [5, 7, 9]);
    }

    #[test]
    fn a_cut_inside_a_frame_gives_its_rest() {
        let block = block();
        let cuts: Vec<_> = (0..=6).map(|at| block.cut(at).map(|(i, rest)| (i, rest.to_vec()))).collect();
        let rest = |i, text: &str| Some((i, text.as_bytes().to_vec()));
        assert_eq!(cuts, [None, rest(0, "bc"), rest(0, "c"), None, rest(1, "e"), None, None]);
    }
}
