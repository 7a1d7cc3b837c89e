//! Groups with their places and their dead letters.

use headwater_event::{Bus, GroupOptions, GroupStat, Position, Seq, Start};

use super::history::Places;
use super::source::{Source, moved};

/// What was taken over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Groups.
    pub groups: u64,
    /// Dead letters of all of them.
    pub letters: u64,
}

/// The places that have to be known: where each group stands, and each dead letter.
///
/// # Errors
/// When the log can't be read.
pub async fn wanted(source: &Source) -> anyhow::Result<Places> {
    let mut places = Places::new();
    for group in source.groups() {
        places.insert(group.settled.seq, 0);
        let mut after = 0;
        loop {
            let letters = source.letters(&group.name, after).await?;
            let Some(last) = letters.last() else { break };
            after = last.recorded.position.seq;
            places.extend(letters.iter().map(|letter| (letter.recorded.position.seq, 0)));
        }
    }
    Ok(places)
}

/// Makes the groups there, each at its place.
///
/// # Errors
/// When the engine doesn't take one, or the log can't be read.
pub async fn adopt(source: &Source, bus: &dyn Bus, places: &Places) -> anyhow::Result<Taken> {
    let mut taken = Taken::default();
    for group in source.groups() {
        taken.letters += adopt_one(source, bus, places, &group).await?;
        taken.groups += 1;
    }
    Ok(taken)
}

async fn adopt_one(source: &Source, bus: &dyn Bus, places: &Places, group: &GroupStat) -> anyhow::Result<u64> {
    let place = |seq: Seq| places.get(&seq).copied().unwrap_or_default();
    let start = Start::After(place(group.settled.seq));
    let options = GroupOptions { start, ..GroupOptions::new(group.filters.clone()) };
    bus.adopt(&group.name, options.clone(), Vec::new()).await?;
    let (mut count, mut after) = (0, 0);
    loop {
        let letters = source.letters(&group.name, after).await?;
        let Some(last) = letters.last() else { return Ok(count) };
        after = last.recorded.position.seq;
        count += letters.len() as u64;
        let epoch = bus.head().epoch;
        let there = |letter: headwater_event::DeadLetter| {
            let seq = place(letter.recorded.position.seq);
            moved(letter, Position::new(epoch, seq))
        };
        bus.adopt(&group.name, options.clone(), letters.into_iter().map(there).collect()).await?;
    }
}
