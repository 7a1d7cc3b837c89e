//! Taking over every event, in its order, into an engine that keeps history.
//!
//! What is there already must be the beginning of what is here, and nothing else: so a second run goes on where the first
//! one stopped, and an engine that others use isn't mixed up with this log. At the end all of it is read back.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use bytes::Bytes;
use headwater_event::{
    Bus, BusError, Event, EventId, Headers, Position, Publication, Recorded, Seq, Tail, Time, Topic,
};

use super::progress::Progress;
use super::source::{Events, Source};
use super::sum::{self, Seen, Sum};

/// What one append carries at the most: enough that the way to the engine doesn't count, little enough that a slow disk
/// makes it durable within the time that an engine is given.
const BATCH_EVENTS: usize = 512;
const BATCH_BYTES: usize = 4 << 20;

/// Where the note stands that says that all was taken over.
const DONE: &str = "$migrate";

/// What is there, compared with what is here.
pub struct Found {
    /// Of the events that are there.
    pub sum: Sum,
    /// The last one of them.
    pub last: Position,
    /// Whether the note at the end is there.
    pub is_complete: bool,
    /// What comes next here, and what comes after it.
    pub rest: (Option<Recorded>, Events),
}

/// Where events of this log stand in the engine: for as many as were asked for.
pub type Places = BTreeMap<Seq, Seq>;

/// Reads what is there, and compares it with what is here.
///
/// # Errors
/// When something else is there, or one of both can't be read.
pub async fn compare(
    source: &Source,
    bus: &dyn Bus,
    seen: &mut Seen,
    places: &mut Places,
    progress: &mut Progress,
) -> anyhow::Result<Found> {
    let begin = bus.oldest();
    if begin.seq > 0 {
        bail!(
            "the engine has let go of its first events, up to {begin}: give it an empty log, as NATS by ?stream=NAME"
        );
    }
    let mut events = source.events().await?;
    let mut there = There { tail: bus.tail(begin)?, ahead: Vec::new() };
    let mut found = (Sum::new(), begin);
    let mut wanted = places.keys().copied().collect::<Vec<_>>().into_iter().peekable();
    loop {
        let here = events.next().await?;
        let next = there.next().await?;
        // What was asked for and lies before this one stands where the last event before it does. The states of what was
        // freed lie before everything else.
        let before = here.as_ref().map_or(Seq::MAX, |here| here.position.seq.max(source.freed()));
        while let Some(seq) = wanted.next_if(|seq| *seq < before) {
            places.insert(seq, found.1.seq);
        }
        let (here, next) = match (here, next) {
            (here, None) => {
                let (sum, last) = found;
                return Ok(Found { sum, last, is_complete: false, rest: (here, events) });
            }
            (None, Some(next)) => {
                if next.event != note(source, &found.0).event {
                    bail!(stranger(&next, "after all that is in the log"));
                }
                let (sum, last) = found;
                return Ok(Found { sum, last, is_complete: true, rest: (None, events) });
            }
            (Some(here), Some(next)) => (here, next),
        };
        if !sum::are_same(&here, &next) {
            let place = format!("where event {} of the log should be", here.position.seq);
            bail!(stranger(&next, &place));
        }
        seen.note(&here.event.id);
        found.0.add(&next.event.id.to_string(), &next);
        found.1 = next.position;
        if here.position.seq > source.freed()
            && let Some(seq) = wanted.next_if_eq(&here.position.seq)
        {
            places.insert(seq, next.position.seq);
        }
        progress.at(found.0.count());
    }
}

fn stranger(there: &Recorded, place: &str) -> String {
    format!(
        "the engine has an event at {}, on topic {}, {place}: others use it, the log has changed, or the engine failed in \
         the middle. Nothing more was written; give it an empty log, as NATS by ?stream=NAME, and run this again",
        there.position, there.event.topic
    )
}

/// The events of the engine, one after the other.
struct There {
    tail: Box<dyn Tail>,
    /// In reverse.
    ahead: Vec<Recorded>,
}

impl There {
    async fn next(&mut self) -> Result<Option<Recorded>, BusError> {
        while self.ahead.is_empty() {
            match self.tail.next_now(&|_| true).await? {
                Some(batch) => self.ahead.extend(batch.events.into_iter().rev()),
                None => return Ok(None),
            }
        }
        Ok(self.ahead.pop())
    }
}

/// Appends all that isn't there yet; gives how many that were.
///
/// # Errors
/// When the engine doesn't take an event, or the log can't be read.
pub async fn copy(bus: &dyn Bus, found: Found, seen: &mut Seen, progress: &mut Progress) -> anyhow::Result<u64> {
    let (mut next, mut events) = found.rest;
    let mut sending =
        Sending { bus, last: found.last.seq, batch: Vec::new(), bytes: 0, sent: 0, before: found.sum.count() };
    while let Some(recorded) = next {
        let publication = publication(&recorded);
        if seen.note(&publication.event.id) {
            // Perhaps a later event of an id that was used before, which the engine would take for a copy: alone, so that what
            // comes after it isn't there before it.
            sending.flush(progress).await?;
            sending.alone(&recorded, publication).await?;
        } else {
            sending.push(publication, progress).await?;
        }
        next = events.next().await?;
    }
    sending.flush(progress).await?;
    Ok(sending.sent)
}

fn publication(recorded: &Recorded) -> Publication {
    let event = Event { id: sum::id(recorded), ..recorded.event.clone() };
    Publication { event, sticky: recorded.sticky }
}

struct Sending<'a> {
    bus: &'a dyn Bus,
    /// The last place that is taken by what this run knows of.
    last: Seq,
    batch: Vec<Publication>,
    bytes: usize,
    sent: u64,
    before: u64,
}

impl Sending<'_> {
    async fn push(&mut self, publication: Publication, progress: &mut Progress) -> anyhow::Result<()> {
        self.bytes += publication.event.payload.len() + publication.event.headers.as_stored().len();
        self.batch.push(publication);
        if self.batch.len() >= BATCH_EVENTS || self.bytes >= BATCH_BYTES {
            self.flush(progress).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, progress: &mut Progress) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let largest = batch.iter().max_by_key(|publication| publication.event.payload.len());
        let (bytes, topic) =
            largest.map_or((0, String::new()), |of| (of.event.payload.len(), of.event.topic.to_string()));
        self.bytes = 0;
        let receipts = self.bus.append(batch).await.with_context(|| {
            format!("the engine does not take events, of which the largest has {bytes} bytes on {topic}")
        })?;
        for receipt in receipts.iter() {
            self.last = self.last.max(receipt.position.seq);
            self.sent += 1;
        }
        progress.at(self.before + self.sent);
        Ok(())
    }

    async fn alone(&mut self, recorded: &Recorded, publication: Publication) -> anyhow::Result<()> {
        let receipt = self.bus.append(vec![publication.clone()]).await?.get(0);
        if receipt.duplicate && receipt.position.seq <= self.last {
            let event = Event { id: sum::later_id(recorded), ..publication.event };
            let receipt = self.bus.append(vec![Publication { event, ..publication }]).await?.get(0);
            self.last = self.last.max(receipt.position.seq);
        } else {
            self.last = self.last.max(receipt.position.seq);
        }
        self.sent += 1;
        Ok(())
    }
}

/// What is written at the end, when all is there.
pub fn note(source: &Source, sum: &Sum) -> Publication {
    let (epoch, head) = (source.epoch(), source.head());
    let text =
        serde_json::json!({ "log": epoch, "up_to": head, "events": sum.count(), "sha256": sum.hex() }).to_string();
    let event = Event {
        id: EventId::Text(format!("migrate/{epoch}/{head}").into()),
        topic: Topic::new(format!("{DONE}/{epoch}")).unwrap_or_else(|_| unreachable!("a topic of digits")),
        headers: Headers::none(),
        payload: Bytes::from(text),
        // The same whenever it's written: what it says is when the log ended, by its position.
        at: Time(0),
    };
    Publication { event, sticky: true }
}
