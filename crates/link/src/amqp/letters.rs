//! Dead letters: in Redis by their event's id, with numbers that this process gives them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering;

use headwater_event::{BusError, DeadLetter, EventId, GroupName, Position, Seq};
use uuid::Uuid;

use super::packed::Letter;
use super::shared::Shared;
use super::spelling::{self, Again};
use crate::local::lock;

/// How many letters one page reads.
const PAGE: usize = 256;

/// The numbers of a group's letters here.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    by_seq: BTreeMap<Seq, String>,
    by_id: HashMap<String, Seq>,
}

impl Numbers {
    fn put(&mut self, id: &str, seq: Seq) {
        if let Some(before) = self.by_id.insert(id.to_owned(), seq) {
            self.by_seq.remove(&before);
        }
        self.by_seq.insert(seq, id.to_owned());
    }

    /// Forgets what isn't there any more.
    fn keep_only(&mut self, ids: &[String]) {
        let there: HashSet<&str> = ids.iter().map(String::as_str).collect();
        self.by_id.retain(|id, _| there.contains(id.as_str()));
        self.by_seq.retain(|_, id| there.contains(id.as_str()));
    }

    fn remove(&mut self, id: &str) {
        if let Some(seq) = self.by_id.remove(id) {
            self.by_seq.remove(&seq);
        }
    }
}

/// Numbers all letters that a group has; gives how many there are.
pub(super) async fn number(shared: &Shared, group: &GroupName) -> Result<usize, BusError> {
    let ids = shared.memory.letter_ids(group).await.map_err(|why| shared.storage(why))?;
    let mut numbers = lock(&shared.numbers);
    if ids.is_empty() {
        numbers.remove(group);
        return Ok(0);
    }
    let numbers = numbers.entry(group.clone()).or_default();
    numbers.keep_only(&ids);
    for id in &ids {
        if !numbers.by_id.contains_key(id)
            && let Ok(event) = id.parse::<EventId>()
        {
            let mut seq = shared.ledger.number(&event);
            if numbers.by_seq.contains_key(&seq) {
                seq = shared.ledger.number(&EventId::generate());
            }
            numbers.put(id, seq);
        }
    }
    Ok(ids.len())
}

/// A letter that has just been kept has the number of its event.
pub(super) fn kept(shared: &Shared, group: &GroupName, id: &EventId, seq: Seq) {
    lock(&shared.numbers).entry(group.clone()).or_default().put(&id.to_string(), seq);
}

/// A page of letters behind a place.
pub(super) async fn page(
    shared: &Shared,
    group: &GroupName,
    after: Seq,
    limit: usize,
) -> Result<Vec<DeadLetter>, BusError> {
    number(shared, group).await?;
    let wanted: Vec<(Seq, String)> = {
        let numbers = lock(&shared.numbers);
        let Some(numbers) = numbers.get(group) else { return Ok(Vec::new()) };
        let behind = numbers.by_seq.range(after.saturating_add(1)..);
        behind.take(limit.min(PAGE)).map(|(seq, id)| (*seq, id.clone())).collect()
    };
    let ids: Vec<String> = wanted.iter().map(|(_, id)| id.clone()).collect();
    let bodies = shared.memory.letters(group, &ids).await.map_err(|why| shared.storage(why))?;
    let epoch = shared.ledger.head().epoch;
    let letters = wanted.into_iter().zip(bodies).filter_map(|((seq, _), body)| {
        // Taken out meanwhile, or unreadable.
        Some(Letter::unpack(&body?)?.numbered(Position::new(epoch, seq)))
    });
    Ok(letters.collect())
}

/// Takes letters out; gives how many there were.
pub(super) async fn take_out(shared: &Shared, group: &GroupName, seqs: &[Seq], again: bool) -> Result<usize, BusError> {
    let mut count = 0;
    for seq in seqs {
        let id = lock(&shared.numbers).get(group).and_then(|numbers| numbers.by_seq.get(seq).cloned());
        let Some(id) = id else { continue };
        if again {
            once_more(shared, group, &id).await?;
        }
        let was_there = shared.memory.take_out(group, &id).await.map_err(|why| shared.storage(why))?;
        count += usize::from(was_there);
        if let Some(numbers) = lock(&shared.numbers).get_mut(group) {
            numbers.remove(&id);
        }
    }
    if let Some(seat) = lock(&shared.seats).get(group) {
        let fewer = seat.dead.load(Ordering::Acquire).saturating_sub(count);
        seat.dead.store(fewer, Ordering::Release);
    }
    Ok(count)
}

/// Publishes a letter to its group's queue, before it's taken out: twice is better than never.
async fn once_more(shared: &Shared, group: &GroupName, id: &str) -> Result<(), BusError> {
    let storage = |why: String| shared.storage(why);
    let bodies = shared.memory.letters(group, &[id.to_owned()]).await.map_err(storage)?;
    let Some(letter) = bodies.into_iter().flatten().next().and_then(|body| Letter::unpack(&body)) else {
        return Ok(());
    };
    let Some(registered) = shared.memory.registered(group).await.map_err(storage)? else { return Ok(()) };
    let again = Again { name: Uuid::new_v4(), due: None, letter: Letter { attempts: 0, ..letter } };
    let queue = shared.names.queue(group, registered.number);
    let said = shared.wires.say("", &queue, spelling::again(&again)).await;
    said.map_err(|why| shared.storage(shared.sentence(&why)))
}
