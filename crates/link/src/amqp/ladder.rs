//! Long waits: a fixed ladder of queues, each of which holds everything for the same time and then hands it on to the queue of
//! its group.
//!
//! What waits on a desk takes one of the deliveries that the server has out to a consumer, and the server ends a consumer that
//! sits on one for half an hour. So a wait takes the longest queue that isn't too long, and what is left then waits on a desk,
//! or in a queue again. All of one queue wait for the same time, so none stands behind one that waits longer.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ExchangeKind};

use super::declared::{durable, quorum};
use super::shared::Shared;
use super::wire::{Lost, Side, answered, end};
use crate::local::lock;

/// The shortest wait that is worth a write.
pub(super) const SHORTEST: Duration = Duration::from_secs(60);

/// The waits, from the shortest on.
const WAITS: [Duration; 5] = [
    SHORTEST,
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(12 * 3_600),
];

/// The longest of the waits that is no longer than what is left.
fn wait(left: Duration) -> Duration {
    WAITS.into_iter().rev().find(|wait| *wait <= left).unwrap_or(SHORTEST)
}

/// Keeps a message for as long as fits; then it's in the group's queue.
pub(super) async fn put(
    shared: &Shared,
    queue: &str,
    left: Duration,
    message: (BasicProperties, Vec<u8>),
) -> Result<(), String> {
    let wait = wait(left);
    if !lock(&shared.ladder).contains(&wait) {
        make(shared, wait).await.map_err(|lost| lost.why)?;
        lock(&shared.ladder).insert(wait);
    }
    let said = shared.wires.say(&shared.names.waits(wait), queue, message).await;
    if said.is_err() {
        // Somebody may have deleted it.
        lock(&shared.ladder).remove(&wait);
    }
    said
}

/// Makes an exchange that takes whatever key, so that the key can be the queue to go to afterwards.
async fn make(shared: &Shared, wait: Duration) -> Result<(), Lost> {
    let name = shared.names.waits(wait);
    let channel = shared.wires.channel(Side::Take).await?;
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    answered(channel.exchange_declare(name.as_str().into(), ExchangeKind::Fanout, options, FieldTable::default()))
        .await?;
    let mut arguments = quorum(shared.members);
    let text = |text: &str| AMQPValue::LongString(text.into());
    let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis));
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    // Without it a message is lost when it can't be handed on at once.
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    answered(channel.queue_declare(name.as_str().into(), durable(), arguments)).await?;
    let (exchange, options, none) = (name.as_str().into(), QueueBindOptions::default(), FieldTable::default());
    answered(channel.queue_bind(name.as_str().into(), exchange, "".into(), options, none)).await?;
    end(&channel).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_takes_the_longest_queue_that_is_not_too_long() {
        for (left, taken) in [(60, 60), (299, 60), (300, 300), (7_199, 1_800), (100_000, 43_200)] {
            assert_eq!(wait(Duration::from_secs(left)), Duration::from_secs(taken), "{left}");
        }
    }
}
