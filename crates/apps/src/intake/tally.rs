//! Who sent how much: counts and rates by client, folded from the log, in bounded memory.

use std::collections::HashMap;

use headwater_event::{ProducerId, Time};

/// How many clients are told apart. 200 bytes each, so the table stays around 2 MiB.
pub const CLIENTS_MAX: usize = 10_000;
/// Over how many seconds a rate is taken: long enough to be calm, short enough to see a change.
const RATE_SECONDS: u64 = 10;
/// The seconds of which counts are kept: those of the rate, and the one that is running.
const SECONDS_KEPT: usize = 16;

/// One client's counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Messages.
    pub messages: u64,
    /// Bytes of payloads.
    pub bytes: u64,
    /// The highest number that was seen.
    pub number: u64,
    /// When the first and the latest message came.
    pub first_at: Time,
    /// See `first_at`.
    pub last_at: Time,
    pace: Pace,
}

/// What was counted of all clients.
#[derive(Debug, Default)]
pub struct Tally {
    clients: HashMap<ProducerId, Client>,
    /// Messages and bytes of all clients.
    pub messages: u64,
    /// See `messages`.
    pub bytes: u64,
    /// What was counted of clients that were forgotten as the table was full.
    pub forgotten_clients: u64,
    /// See `forgotten_clients`.
    pub forgotten_messages: u64,
    pace: Pace,
}

/// Counts of the latest seconds, each in the place of its number modulo [`SECONDS_KEPT`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pace {
    counts: [u32; SECONDS_KEPT],
    latest: u64,
}

impl Pace {
    fn count(&mut self, at: Time) {
        let second = at.as_micros() / 1_000_000;
        if second + SECONDS_KEPT as u64 <= self.latest {
            return; // long ago: the log is being counted from its beginning
        }
        if second > self.latest {
            let passed = (second - self.latest).min(SECONDS_KEPT as u64);
            for gone in 0..passed {
                self.counts[place(second - gone)] = 0;
            }
            self.latest = second;
        }
        self.counts[place(second)] = self.counts[place(second)].saturating_add(1);
    }

    /// Messages a second over the last whole seconds before `now`.
    fn rate(&self, now: Time) -> f64 {
        let second = now.as_micros() / 1_000_000;
        let wanted = second.saturating_sub(RATE_SECONDS)..second;
        let kept = (self.latest + 1).saturating_sub(SECONDS_KEPT as u64)..=self.latest;
        let counted: u64 = wanted.filter(|at| kept.contains(at)).map(|at| u64::from(self.counts[place(at)])).sum();
        counted as f64 / RATE_SECONDS as f64
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % SECONDS_KEPT as u64).unwrap_or(0)
}

impl Tally {
    /// Counts one message.
    pub fn count(&mut self, client: ProducerId, number: u64, bytes: usize, at: Time) {
        self.messages += 1;
        self.bytes += bytes as u64;
        self.pace.count(at);
        if !self.clients.contains_key(&client) && self.clients.len() >= CLIENTS_MAX {
            self.forget_the_smaller_half();
        }
        let entry = self.clients.entry(client).or_insert_with(|| Client {
            messages: 0,
            bytes: 0,
            number: 0,
            first_at: at,
            last_at: at,
            pace: Pace::default(),
        });
        entry.messages += 1;
        entry.bytes += bytes as u64;
        entry.number = entry.number.max(number);
        entry.first_at = entry.first_at.min(at);
        entry.last_at = entry.last_at.max(at);
        entry.pace.count(at);
    }

    /// Half at once, so that a flood of new ids costs a sort for every 5,000 of them and not for each.
    fn forget_the_smaller_half(&mut self) {
        let mut by_size: Vec<(u64, ProducerId)> =
            self.clients.iter().map(|(id, client)| (client.messages, *id)).collect();
        by_size.sort_unstable();
        for (messages, id) in &by_size[..by_size.len() / 2] {
            self.clients.remove(id);
            self.forgotten_clients += 1;
            self.forgotten_messages += messages;
        }
    }

    /// How many clients are told apart at present.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Messages a second, of all.
    pub fn rate(&self, now: Time) -> f64 {
        self.pace.rate(now)
    }

    /// The first clients in this order, each with its rate.
    pub fn top(&self, order: Order, limit: usize, now: Time) -> Vec<(ProducerId, f64, Client)> {
        let mut all: Vec<_> = self.clients.iter().map(|(id, client)| (*id, client.pace.rate(now), client)).collect();
        all.sort_unstable_by(|(a_id, a_rate, a), (b_id, b_rate, b)| {
            let by_order = match order {
                Order::Messages => b.messages.cmp(&a.messages),
                Order::Rate => b_rate.total_cmp(a_rate),
                Order::Last => b.last_at.cmp(&a.last_at),
            };
            // Equals in an order of their own, so that the page doesn't dance.
            by_order.then(b.messages.cmp(&a.messages)).then(a_id.cmp(b_id))
        });
        all.truncate(limit);
        all.into_iter().map(|(id, rate, client)| (id, rate, client.clone())).collect()
    }
}

/// What the first clients are first in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Most messages.
    #[default]
    Messages,
    /// Most messages a second.
    Rate,
    /// Heard of last.
    Last,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn id(id: u128) -> ProducerId {
        ProducerId::from_u128(id)
    }

    #[test]
    fn counts_are_by_client_and_of_all() {
        let mut tally = Tally::default();
        for (client, number) in [(1, 1), (2, 1), (2, 2)] {
            tally.count(id(client), number, 10, Time(number * SECOND));
        }
        let top = tally.top(Order::Messages, 1, Time(0));
        assert_eq!((top.len(), top[0].0, top[0].2.messages, top[0].2.number), (1, id(2), 2, 2));
        assert_eq!((tally.messages, tally.bytes, tally.clients()), (3, 30, 2));
    }

    #[test]
    fn a_rate_is_of_the_last_ten_whole_seconds_whatever_was_counted_late() {
        let mut tally = Tally::default();
        for second in 100..110 {
            for _ in 0..5 {
                tally.count(id(1), 1, 1, Time(second * SECOND));
            }
        }
        tally.count(id(1), 1, 1, Time(3 * SECOND)); // the old log, counted meanwhile
        assert!((tally.rate(Time(110 * SECOND)) - 5.0).abs() < 1e-9);
        assert!((tally.rate(Time(115 * SECOND)) - 2.5).abs() < 1e-9);
        assert_eq!(tally.rate(Time(130 * SECOND)), 0.0);
        tally.count(id(1), 1, 1, Time(200 * SECOND));
        assert!((tally.rate(Time(201 * SECOND)) - 0.1).abs() < 1e-9, "what was there before is gone");
    }

    #[test]
    fn a_flood_of_client_ids_takes_no_more_memory_and_the_large_ones_stay() {
        let mut tally = Tally::default();
        for _ in 0..10 {
            tally.count(id(u128::MAX), 1, 1, Time(0));
        }
        for client in 0..100_000 {
            tally.count(id(client), 1, 1, Time(0));
            assert!(tally.clients() <= CLIENTS_MAX);
        }
        assert_eq!(tally.top(Order::Messages, 1, Time(0))[0].0, id(u128::MAX));
        assert_eq!(tally.messages, 100_010);
        assert_eq!(tally.forgotten_clients + tally.clients() as u64, 100_001);
    }
}
