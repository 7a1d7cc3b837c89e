//! The door to the bus: everybody in this crate reads through it, and only what was admitted gets written.

use std::sync::Arc;

use headwater_event::{
    Abilities, Batch, Bus, BusError, Filter, GroupName, GroupOptions, Health, Later, Member, Position, ProducerId,
    Receipts, Seq, StickyPage, Tail, Topic,
};

use crate::admission::{Pass, Permit, UsePass};

/// The bus, with its writing side shut to all but those who hold a pass. The field is private to this file on purpose.
#[derive(Clone)]
pub(crate) struct Gate {
    bus: Arc<dyn Bus>,
}

/// What an append gives when the log is done with it, with the permit that is to be given back then.
pub(crate) type Entered<T> = (Later<'static, Result<T, BusError>>, Permit);

impl Gate {
    pub(crate) fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus }
    }

    /// The only place of this crate where events enter the log. Their order is fixed when this returns.
    pub(crate) fn append(&self, pass: Pass) -> Entered<Receipts> {
        let (batch, permit) = pass.redeem();
        (self.bus.append(batch), permit)
    }

    /// The only place of this crate where a number is used up without an event.
    pub(crate) fn use_up(&self, pass: UsePass) -> Entered<()> {
        let (producer, number, permit) = pass.redeem();
        (self.bus.use_up(producer, number), permit)
    }

    pub(crate) async fn last_number(&self, producer: ProducerId) -> Result<u64, BusError> {
        self.bus.last_number(producer).await
    }

    pub(crate) fn head(&self) -> Position {
        self.bus.head()
    }

    pub(crate) fn oldest(&self) -> Position {
        self.bus.oldest()
    }

    pub(crate) fn abilities(&self) -> Abilities {
        self.bus.abilities()
    }

    pub(crate) fn health(&self) -> Health {
        self.bus.health()
    }

    pub(crate) fn tail(&self, after: Position) -> Result<Box<dyn Tail>, BusError> {
        self.bus.tail(after)
    }

    pub(crate) async fn join(&self, group: &GroupName, options: GroupOptions) -> Result<Box<dyn Member>, BusError> {
        self.bus.join(group, options).await
    }

    pub(crate) async fn end_group(&self, group: &GroupName) -> Result<(), BusError> {
        self.bus.end_group(group).await
    }

    pub(crate) async fn latest(
        &self,
        filter: &Filter,
        after: Option<&Topic>,
        limit: usize,
    ) -> Result<StickyPage, BusError> {
        self.bus.latest(filter, after, limit).await
    }

    /// Reads on with this tail, or with a new one after `seen`; gives the tail back, and `None` at the head.
    ///
    /// Owns all it needs, so that it can be kept beside the watcher that it reads for.
    pub(crate) async fn read_on(
        self,
        tail: Option<Box<dyn Tail>>,
        seen: Seq,
        filter: Filter,
    ) -> Result<(Box<dyn Tail>, Option<Batch>), BusError> {
        let mut tail = match tail {
            Some(tail) => tail,
            None => self.bus.tail(Position::new(self.bus.head().epoch, seen))?,
        };
        let batch = tail.next_now(&|topic| filter.matches(topic)).await?;
        Ok((tail, batch))
    }
}
