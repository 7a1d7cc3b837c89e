//! What is written with one call and synced once.

/// Messages of one connection that came with one read.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The connection's place in the slab.
    pub client: usize,
    /// Tells a connection from an earlier one in the same place.
    pub generation: u64,
    /// The number of the first message; the others follow it.
    pub first: u64,
    pub count: u64,
}

/// A batch: bytes for the file, and whom to answer.
#[derive(Debug, Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    pub runs: Vec<Run>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.runs.clear();
    }
}
