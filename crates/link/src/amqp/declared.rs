//! What a queue of ours is, and how it's bound.

use headwater_event::Filter;
use lapin::Channel;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use super::names;
use super::shared::Shared;
use super::wire::{Lost, answered};
use crate::local::covered::without_covered;

/// How often a delivery may come back. RabbitMQ 4 drops what came back 20 times; here it's counted and buried.
const RETURNS_MAX: i64 = 1_000_000_000;

/// The queue of a group: made when it isn't there, bound by its filters.
pub(super) async fn group(channel: &Channel, shared: &Shared, queue: &str, filters: &[Filter]) -> Result<(), Lost> {
    answered(channel.queue_declare(queue.into(), durable(), quorum(shared.members))).await?;
    for key in names::of_filters(without_covered(filters)) {
        let (exchange, options, none) =
            (shared.names.exchange().into(), QueueBindOptions::default(), FieldTable::default());
        answered(channel.queue_bind(queue.into(), exchange, key.into(), options, none)).await?;
    }
    Ok(())
}

/// It outlives the server.
pub(super) fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }
}

/// A queue on the disks of a quorum; of so many members where that is said.
pub(super) fn quorum(members: Option<u8>) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(RETURNS_MAX));
    if let Some(members) = members {
        arguments.insert("x-quorum-initial-group-size".into(), AMQPValue::LongLongInt(i64::from(members)));
    }
    arguments
}
