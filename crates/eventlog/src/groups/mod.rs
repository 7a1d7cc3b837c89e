//! Who has read how far: one cursor a group, moved only when a delivery is settled. (Not built yet.)

use std::sync::Arc;

use headwater_event::{BusError, Clock, DeadLetter, GroupName, GroupOptions, GroupStat, Later, Member, Seq, Time};

use crate::derived::{Derived, Desk, LoadError};

/// The state that the log folds; made before the log is opened.
pub(crate) fn derived(_clock: &Clock) -> (Box<dyn Derived>, GroupsState) {
    (Box::new(Nothing), GroupsState)
}

/// What [`Groups`] shares with the fold.
pub(crate) struct GroupsState;

/// The groups of one log.
pub(crate) struct Groups;

impl Groups {
    /// Begins to serve members, once the log is open.
    pub(crate) fn start(_state: GroupsState, _desk: Arc<dyn Desk>) -> Self {
        Self
    }

    pub(crate) fn join(
        &self,
        _group: &GroupName,
        _options: GroupOptions,
    ) -> Later<'_, Result<Box<dyn Member>, BusError>> {
        Box::pin(async { Err(BusError::Unable("keep groups yet")) })
    }

    pub(crate) fn end_group(&self, _group: &GroupName) -> Later<'_, Result<(), BusError>> {
        Box::pin(async { Err(BusError::Unable("keep groups yet")) })
    }

    pub(crate) fn stats(&self, _after: Option<&GroupName>, _limit: usize) -> Vec<GroupStat> {
        Vec::new()
    }

    pub(crate) fn dead_letters(
        &self,
        _group: &GroupName,
        _after: Seq,
        _limit: usize,
    ) -> Later<'_, Result<Vec<DeadLetter>, BusError>> {
        Box::pin(async { Err(BusError::Unable("keep groups yet")) })
    }

    pub(crate) fn revive(
        &self,
        _group: &GroupName,
        _letters: Vec<Seq>,
        _again: bool,
    ) -> Later<'_, Result<usize, BusError>> {
        Box::pin(async { Err(BusError::Unable("keep groups yet")) })
    }

    /// Members get `Closed` from here on.
    pub(crate) fn close(&self) {}
}

struct Nothing;

impl Derived for Nothing {
    fn fold(&mut self, _record: &[u8], _seq: Seq, _at: Time) {}

    fn save(&self, _out: &mut Vec<u8>) {}

    fn load(&mut self, _saved: &[u8]) -> Result<(), LoadError> {
        Ok(())
    }

    fn freed(&mut self, _up_to: Seq) {}
}
