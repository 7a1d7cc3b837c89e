//! What a client was given and has not acknowledged yet: the bound on how much is under way to it.
//!
//! Protocols with acknowledgements name a delivery by a 16-bit number. Here that number follows from the event's place in
//! the log ([`number_of`]), so a frame with its number in it is the same for all watchers and is encoded once. What is
//! left to do for each watcher is to count: no more than `max` are under way, and never two of the same number.

use std::collections::VecDeque;

use bytes::Bytes;
use headwater_event::Seq;

use crate::outlet::{Outlet, OutletFull};
use crate::subscription::Standing;
use crate::watch::WatchId;

/// How many numbers there are: 1 to 65,535.
const NUMBERS: u64 = u16::MAX as u64;

/// The number of the delivery of this event, on every connection.
#[must_use]
pub fn number_of(seq: Seq) -> u16 {
    u16::try_from(seq.wrapping_sub(1) % NUMBERS).unwrap_or(0) + 1
}

/// A delivery that is not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// The event.
    pub seq: Seq,
    /// The watch that it belongs to; `None` for what the edge [sent itself](Outlet::send_counted).
    pub watch: Option<WatchId>,
    /// The client has it and has said so; what is missing is the word that ends the exchange.
    pub is_received: bool,
}

/// What is under way to one client, oldest first.
#[derive(Debug)]
pub(crate) struct Window {
    max: usize,
    under_way: VecDeque<UnderWay>,
    /// They stand in the order of their events.
    is_ordered: bool,
    /// Somebody had more to write than the window lets through.
    pub(crate) is_starved: bool,
    /// How far each watch had come when the outlet ended.
    ended: Vec<(WatchId, Standing)>,
}

/// Lets frames through one after the other, before they are written.
pub(crate) struct Passage<'a> {
    window: &'a Window,
    free: usize,
    first: Option<Seq>,
}

impl Window {
    pub(crate) const fn new(max: usize) -> Self {
        Self { max, under_way: VecDeque::new(), is_ordered: true, is_starved: false, ended: Vec::new() }
    }

    pub(crate) fn passage(&self) -> Passage<'_> {
        Passage { window: self, free: self.max.saturating_sub(self.under_way.len()), first: None }
    }

    /// A frame was given to the socket.
    pub(crate) fn sent(&mut self, seq: Seq, watch: Option<WatchId>) {
        self.add(UnderWay { seq, watch, is_received: false });
    }

    fn add(&mut self, out: UnderWay) {
        self.is_ordered = match self.under_way.back() {
            None => true,
            Some(last) => self.is_ordered && last.seq < out.seq,
        };
        self.under_way.push_back(out);
    }

    /// Whether another event of the same number is under way.
    fn is_taken(&self, seq: Seq) -> bool {
        let number = number_of(seq);
        match (self.under_way.front(), self.under_way.back()) {
            // Nearly always they came in order and near to each other: then the two ends tell it.
            (Some(first), Some(last)) if self.is_ordered && last.seq < seq && seq - first.seq < NUMBERS => false,
            _ => self.under_way.iter().any(|out| number_of(out.seq) == number),
        }
    }

    fn find(&self, number: u16) -> Option<usize> {
        // Acknowledgements come in the order of the deliveries, so it's mostly the first.
        self.under_way.iter().position(|out| number_of(out.seq) == number)
    }

    pub(crate) fn end(&mut self, watch: WatchId, standing: Standing) {
        self.ended.push((watch, standing));
    }

    /// Memory for a burst isn't kept for ever.
    fn shrink(&mut self) {
        if self.under_way.is_empty() && self.under_way.capacity() > 64 {
            self.under_way = VecDeque::new();
        }
    }
}

impl Passage<'_> {
    /// Whether the frame of this event may be written too.
    pub(crate) fn lets(&mut self, seq: Seq) -> bool {
        // Within one passage numbers don't meet as long as it spans fewer events than there are numbers.
        let is_far = self.first.is_some_and(|first| seq.saturating_sub(first) >= NUMBERS);
        if self.free == 0 || is_far || self.window.is_taken(seq) {
            return false;
        }
        self.first.get_or_insert(seq);
        self.free -= 1;
        true
    }
}

impl Outlet {
    /// The client has acknowledged the delivery of this number for good; gives what it was, `None` when there was none.
    pub fn acknowledged(&self, number: u16) -> Option<UnderWay> {
        let mut state = self.lock();
        let window = state.window.as_mut()?;
        let at = window.find(number)?;
        let out = window.under_way.remove(at)?;
        window.shrink();
        if std::mem::take(&mut window.is_starved) {
            state.is_due = true;
            state.wake();
        }
        Some(out)
    }

    /// The client has received the delivery of this number; it stays under way until [`Outlet::acknowledged`].
    pub fn received(&self, number: u16) -> Option<UnderWay> {
        let mut state = self.lock();
        let window = state.window.as_mut()?;
        let at = window.find(number)?;
        let out = window.under_way.get_mut(at)?;
        out.is_received = true;
        Some(*out)
    }

    /// Writes a frame of the edge's own that the client has to acknowledge under the number of this event; `None` when the
    /// window or the socket has no room for it now.
    ///
    /// # Errors
    /// When too many of the edge's own frames wait already.
    pub fn send_counted(&self, seq: Seq, watch: Option<WatchId>, frame: Bytes) -> Result<bool, OutletFull> {
        {
            let mut state = self.lock();
            let Some(window) = state.window.as_mut() else { return Ok(false) };
            if !window.passage().lets(seq) {
                window.is_starved = true;
                return Ok(false);
            }
        }
        self.send(frame)?;
        if let Some(window) = self.lock().window.as_mut() {
            window.sent(seq, watch);
        }
        Ok(true)
    }

    /// Takes deliveries over that an earlier connection of the same client left under way.
    pub fn resume(&self, under_way: impl IntoIterator<Item = UnderWay>) {
        if let Some(window) = self.lock().window.as_mut() {
            under_way.into_iter().for_each(|out| window.add(out));
        }
    }

    /// What is under way now, oldest first.
    #[must_use]
    pub fn under_way(&self) -> Vec<UnderWay> {
        self.lock().window.as_ref().map_or_else(Vec::new, |window| window.under_way.iter().copied().collect())
    }

    /// How many are under way now.
    #[must_use]
    pub fn under_way_len(&self) -> usize {
        self.lock().window.as_ref().map_or(0, |window| window.under_way.len())
    }

    /// How far a watch has come; also after the outlet has ended, when it has a window.
    #[must_use]
    pub fn standing(&self, id: WatchId) -> Option<Standing> {
        let state = self.lock();
        if let Some(subscription) = state.subscriptions.get(id.slot).filter(|subscription| subscription.is(id)) {
            return Some(subscription.standing());
        }
        let window = state.window.as_ref()?;
        window.ended.iter().find(|(ended, _)| *ended == id).map(|(_, standing)| standing.clone())
    }

    /// What is under way for a watch that has ended belongs to the one that replaced it.
    pub fn adopt(&self, ended: WatchId, by: WatchId) {
        if let Some(window) = self.lock().window.as_mut() {
            window.under_way.iter_mut().filter(|out| out.watch == Some(ended)).for_each(|out| out.watch = Some(by));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_one_and_come_round() {
        assert_eq!([1, 2, 65_535, 65_536, 131_070].map(number_of), [1, 2, 65_535, 1, 65_535]);
    }

    #[test]
    fn no_more_than_the_window_and_no_number_twice() {
        let mut window = Window::new(3);
        window.sent(10, None);
        let mut passage = window.passage();
        assert!(!passage.lets(10 + NUMBERS), "the number of 10 is under way");
        assert!(passage.lets(11) && passage.lets(12));
        assert!(!passage.lets(13), "three are enough");
        window.sent(9, None);
        assert!(!window.passage().lets(9) && !window.passage().lets(10), "also when they didn't come in order");
        assert!(window.passage().lets(11));
    }

    #[test]
    fn a_passage_spans_fewer_events_than_there_are_numbers() {
        let window = Window::new(3);
        let mut passage = window.passage();
        assert!(passage.lets(1) && !passage.lets(1 + NUMBERS) && passage.lets(NUMBERS));
    }
}
