//! Dead letters: the last message of a subject each, in a stream of their own.

use futures_util::StreamExt as _;
use headwater_event::{BusError, DeadLetter, GroupName, Seq};

use async_nats::jetstream::message::PublishMessage;

use super::shared::Shared;
use super::{spelling, subjects};
use crate::local::desk::Burial;

/// How many letters one page reads.
const PAGE: usize = 256;

/// The letter of an event that has died here.
pub(super) fn of_burial(burial: Burial) -> DeadLetter {
    let Burial { recorded, attempts, why, at } = burial;
    DeadLetter { recorded, attempts, why, at }
}

/// The places of a group's letters, in their order.
async fn places(shared: &Shared, group: &GroupName) -> Result<Vec<Seq>, BusError> {
    let prefix = format!("{}{}.", subjects::DEAD, subjects::group(group));
    let told = shared.letters.info_with_subjects(format!("{prefix}>")).await;
    let mut told = told.map_err(|error| shared.storage(error))?;
    let mut places = Vec::new();
    while let Some(subject) = told.next().await {
        let (subject, _) = subject.map_err(|error| shared.storage(error))?;
        places.extend(subject.strip_prefix(&prefix).and_then(|seq| seq.parse::<Seq>().ok()));
    }
    places.sort_unstable();
    Ok(places)
}

pub(super) async fn count(shared: &Shared, group: &GroupName) -> Result<usize, BusError> {
    Ok(places(shared, group).await?.len())
}

/// A page of letters behind a place.
pub(super) async fn page(
    shared: &Shared,
    group: &GroupName,
    after: Seq,
    limit: usize,
) -> Result<Vec<DeadLetter>, BusError> {
    let mut letters = Vec::new();
    for seq in places(shared, group).await?.into_iter().filter(|seq| *seq > after).take(limit.min(PAGE)) {
        letters.extend(get(shared, group, seq).await?);
    }
    Ok(letters)
}

async fn get(shared: &Shared, group: &GroupName, seq: Seq) -> Result<Option<DeadLetter>, BusError> {
    let subject = format!("{}{}.{seq}", subjects::DEAD, subjects::group(group));
    let found = shared.letters.get_last_raw_message_by_subject(&subject).await;
    // Taken out meanwhile, or unreadable.
    let Ok(found) = found else { return Ok(None) };
    Ok(spelling::letter(&found.headers, &found.payload, shared.epoch))
}

/// Keeps letters that another engine had; one that is here already is written once more, and the last one counts.
pub(super) async fn keep(shared: &Shared, group: &GroupName, letters: &[DeadLetter]) -> Result<(), BusError> {
    let token = subjects::group(group);
    for letter in letters {
        let message = PublishMessage::build()
            .headers(spelling::letter_headers(letter))
            .payload(letter.recorded.event.payload.clone());
        let subject = format!("{}{token}.{}", subjects::DEAD, letter.recorded.position.seq);
        let sent = shared.context.send_publish(subject, message).await;
        sent.map_err(|error| shared.storage(error))?.await.map_err(|error| shared.storage(error))?;
    }
    Ok(())
}

/// Takes letters out; gives how many there were.
pub(super) async fn take_out(shared: &Shared, group: &GroupName, seqs: &[Seq], again: bool) -> Result<usize, BusError> {
    let mut count = 0;
    for seq in seqs {
        let Some(letter) = get(shared, group, *seq).await? else { continue };
        let token = subjects::group(group);
        if again {
            let message = PublishMessage::build()
                .headers(spelling::letter_headers(&letter))
                .payload(letter.recorded.event.payload.clone());
            let sent = shared.context.send_publish(format!("{}{token}.{seq}", subjects::AGAIN), message).await;
            sent.map_err(|error| shared.storage(error))?.await.map_err(|error| shared.storage(error))?;
        }
        forget(shared, &format!("{}{token}.{seq}", subjects::DEAD)).await?;
        count += 1;
    }
    Ok(count)
}

/// Forgets all that a subject has.
pub(super) async fn forget(shared: &Shared, subject: &str) -> Result<(), BusError> {
    shared.letters.purge().filter(subject).await.map(drop).map_err(|error| shared.storage(error))
}
