//! The allocations from which batches are cut, used again and again.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::view::HOT_BYTES_MAX;

/// How large they are. Many batches share one, so that a small batch allocates nothing, and at the most this much is kept
/// alive by one event that somebody holds.
pub(crate) const CHUNK_LEN: usize = 1 << 20;

/// How many are kept to be used again: as many as the newest batches fill, which stay in memory for readers, and a few
/// that a reader or the disk still holds.
const KEPT_MAX: usize = HOT_BYTES_MAX / CHUNK_LEN + 4;

/// Chunks that were filled, oldest first; each is free again once nobody holds a batch of it.
///
/// Fresh memory comes as pages that the kernel has to find and clear one by one: with a fresh chunk for every MiB that
/// took as long as encoding the records, under the lock that all appends share.
#[derive(Default)]
pub(crate) struct Chunks {
    filled: VecDeque<BytesMut>,
    /// The length of the one that is in use.
    used_len: usize,
}

impl Chunks {
    /// An empty chunk with room for so many bytes.
    pub(crate) fn take(&mut self, len: usize) -> BytesMut {
        self.used_len = len.max(CHUNK_LEN);
        if len <= CHUNK_LEN
            && let Some(mut oldest) = self.filled.pop_front()
        {
            if oldest.try_reclaim(CHUNK_LEN) {
                return oldest;
            }
            self.filled.push_front(oldest);
        }
        BytesMut::with_capacity(self.used_len)
    }

    /// Takes back what is left of the chunk in use, for when its batches are gone.
    pub(crate) fn give(&mut self, mut rest: BytesMut) {
        if self.used_len != CHUNK_LEN {
            return; // One that was made for a large batch, or none yet.
        }
        rest.clear();
        self.filled.push_back(rest);
        if self.filled.len() > KEPT_MAX {
            self.filled.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills a chunk, and gives the batch that was cut from it.
    fn fill(chunks: &mut Chunks) -> (BytesMut, *const u8) {
        let mut chunk = chunks.take(10);
        chunk.resize(CHUNK_LEN, 7);
        let batch = chunk.split();
        let at = batch.as_ptr();
        chunks.give(chunk);
        (batch, at)
    }

    #[test]
    fn a_chunk_is_used_again_when_its_batches_are_gone_and_not_before() {
        let mut chunks = Chunks::default();
        let (held, first) = fill(&mut chunks);
        let (_, second) = fill(&mut chunks);
        assert_ne!(first, second, "the first is still held");
        assert!(held.iter().all(|byte| *byte == 7));
        drop(held);
        assert_eq!(fill(&mut chunks).1, first);
        assert_eq!(fill(&mut chunks).1, second);
    }

    #[test]
    fn no_more_is_kept_than_the_bound_and_a_large_one_is_made_for_who_needs_it() {
        let mut chunks = Chunks::default();
        let held: Vec<_> = (0..3 * KEPT_MAX).map(|_| fill(&mut chunks)).collect();
        assert_eq!(chunks.filled.len(), KEPT_MAX);
        drop(held);
        let large = chunks.take(3 * CHUNK_LEN);
        assert!(large.capacity() >= 3 * CHUNK_LEN);
        chunks.filled.clear();
        chunks.give(large);
        assert_eq!(chunks.filled.len(), 0, "what is large is let go");
    }
}
