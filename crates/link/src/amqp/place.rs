//! The place of one that is to be alone in a group: an exclusive queue, which the server leaves to one connection at a time.
//!
//! What a process has out comes back to the head of the group's queue, in its order, when its consumer is gone; a consumer beside it
//! would get what is new before. So who takes over waits until the place is free and nobody consumes. A process that ends or
//! is killed leaves both at once. One that is frozen leaves them when the server misses its heartbeats, and they're short on this
//! connection, which belongs to the place alone. The queue's own arguments stay as they are: every group that is there can be taken over.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ErrorKind};
use tokio::time::{Instant, sleep, timeout};

use super::declared;
use super::seat::Seat;
use super::wire::{ANSWER_TIME_MAX, Lost, answered, end};
use crate::local::lock;

/// How often each side says that it's there, in seconds. The server ends a connection that was silent for two to three times
/// that: about when the others find that a process is gone.
pub(super) const HEARTBEAT: u16 = 1;

/// The wait before it's looked again whether the place is free.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// After how long it's said that another has it.
const SAID_AFTER: Duration = Duration::from_secs(5);

/// Takes the place, when it's free; `None` when nobody waits for it any more.
pub(super) async fn take(seat: &Seat, connection: &Connection) -> Result<Option<Channel>, Lost> {
    let began = Instant::now();
    let mut is_ours = false;
    let mut channel = answered(connection.create_channel()).await?;
    loop {
        if !is_ours && !channel.status().connected() {
            channel = answered(connection.create_channel()).await?;
        }
        is_ours = is_ours || declare(&channel, &seat.place).await?;
        if is_ours && is_free(&channel, seat).await? {
            return Ok(Some(channel));
        }
        if !lock(&seat.desk).has_members() {
            end(&channel).await;
            return Ok(None);
        }
        if began.elapsed() > SAID_AFTER {
            *lock(&seat.fault) = Some(seat.shared.sentence("has a group that another process still reads"));
        }
        sleep(AGAIN_AFTER).await;
    }
}

/// Whether the place is this connection's now. When it isn't, the server has ended the channel.
async fn declare(channel: &Channel, place: &str) -> Result<bool, Lost> {
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let declaring = channel.queue_declare(place.into(), options, FieldTable::default());
    match timeout(ANSWER_TIME_MAX, declaring).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(error)) => match error.kind() {
            ErrorKind::ProtocolError(said)
                if matches!(said.kind(), AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED)) =>
            {
                Ok(false)
            }
            _ => Err(error.into()),
        },
        Err(_) => Err(Lost::silent()),
    }
}

/// Whether nobody consumes the group's queue, which is made when it isn't there: not the one before, nor one of those that share it.
async fn is_free(channel: &Channel, seat: &Seat) -> Result<bool, Lost> {
    let filters = lock(&seat.desk).filters().to_vec();
    declared::group(channel, &seat.shared, &seat.queue, &filters).await?;
    let options = QueueDeclareOptions { passive: true, ..declared::durable() };
    let told = channel.queue_declare(seat.queue.as_str().into(), options, FieldTable::default());
    Ok(answered(told).await?.consumer_count() == 0)
}
