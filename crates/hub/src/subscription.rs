//! One watch of one outlet: which filter in which spelling, and how far its watcher has come.

use std::sync::Arc;

use headwater_event::{Filter, Seq};

use crate::encode::Encode;
use crate::reading::{Reading, Work};
use crate::watch::WhenBehind;

/// A watch at work.
pub(crate) struct Subscription {
    /// Tells this one from an earlier one in the same place.
    pub(crate) turn: u32,
    pub(crate) filter: Filter,
    pub(crate) encoder: Arc<dyn Encode>,
    pub(crate) behind: WhenBehind,
    /// Everything wanted up to here was given to the socket, or is in the outlet's front.
    pub(crate) seen: Seq,
    pub(crate) reading: Box<Reading>,
    /// The read that is on its way, but while it's being polled.
    pub(crate) work: Option<Work>,
}
