//! Taking over the latest states alone, into an engine that keeps no history.

use anyhow::bail;
use headwater_event::{Bus, Event, Publication, Recorded};
use std::sync::Arc;

use super::progress::Progress;
use super::source::Source;
use super::sum::{self, Sum};

/// What one append carries at the most.
const BATCH: usize = 256;

/// What became of the states.
#[derive(Clone)]
pub struct Copied {
    /// Those that were written.
    pub written: u64,
    /// Those of whose topics the engine has a later one, which stays.
    pub later: u64,
}

/// How many there are.
///
/// # Errors
/// When the log can't be read.
pub async fn count(source: &Source) -> anyhow::Result<u64> {
    let mut count = 0;
    let mut states = source.states().await?;
    while states.next().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Writes each state, unless the engine has a later one of its topic.
///
/// # Errors
/// When the engine doesn't take one, or the log can't be read.
pub async fn copy(source: &Source, bus: &Arc<dyn Bus>, progress: &mut Progress) -> anyhow::Result<Copied> {
    let mut copied = Copied { written: 0, later: 0 };
    let mut here = source.states().await?;
    let mut there = here.elsewhere(Arc::clone(bus));
    let mut other = there.next().await?;
    let mut batch = Vec::new();
    while let Some(state) = here.next().await? {
        // Both come by their topics; a reserved level after all others, in both.
        while other.as_ref().is_some_and(|other| is_before(other, &state)) {
            other = there.next().await?;
        }
        let is_later = |other: &Recorded| {
            other.event.topic == state.event.topic
                && other.event.at > state.event.at
                && other.event.id.to_string() != state.event.id.to_string()
        };
        if other.as_ref().is_some_and(is_later) {
            copied.later += 1;
        } else {
            batch.push(Publication { event: Event { id: sum::id(&state), ..state.event }, sticky: true });
            copied.written += 1;
        }
        if batch.len() >= BATCH {
            bus.append(std::mem::take(&mut batch)).await?;
            progress.at(copied.written + copied.later);
        }
    }
    if !batch.is_empty() {
        bus.append(batch).await?;
    }
    progress.at(copied.written + copied.later);
    Ok(copied)
}

/// Whether one comes before the other where states are listed: reserved levels come last.
fn is_before(one: &Recorded, other: &Recorded) -> bool {
    let key = |recorded: &Recorded| {
        let topic = recorded.event.topic.as_str();
        (topic.starts_with('$'), topic.to_owned())
    };
    key(one) < key(other)
}

/// Reads the states back, by a connection that wrote none of them; gives the sum over those that were taken over.
///
/// # Errors
/// When one isn't there as it is here.
pub async fn verify(
    source: &Source,
    bus: Arc<dyn Bus>,
    copied: &Copied,
    progress: &mut Progress,
) -> anyhow::Result<Sum> {
    let mut sum = Sum::new();
    let mut later = 0;
    let mut here = source.states().await?;
    let mut there = here.elsewhere(bus);
    let mut other = there.next().await?;
    while let Some(state) = here.next().await? {
        while other.as_ref().is_some_and(|other| is_before(other, &state)) {
            other = there.next().await?;
        }
        let topic = &state.event.topic;
        match other.take_if(|other| other.event.topic == *topic) {
            Some(found) if found.event.payload == state.event.payload && found.event.headers == state.event.headers => {
                sum.add(&found.event.id.to_string(), &found);
            }
            Some(found) if found.event.at > state.event.at => later += 1,
            Some(_) => bail!("the engine has another state of {topic} than it was given"),
            None => bail!("the engine has no state of {topic}, though it took it"),
        }
        progress.at(sum.count() + later);
        if other.is_none() {
            other = there.next().await?;
        }
    }
    if sum.count() + later < copied.written + copied.later {
        bail!("the engine has {} of {} states", sum.count() + later, copied.written + copied.later);
    }
    Ok(sum)
}
