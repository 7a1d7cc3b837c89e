//! What the page shows of all that came: the counts, and the latest messages.

use std::collections::VecDeque;

use headwater_event::{Recorded, json};

use super::sender;
use super::tally::Tally;

/// How many of the latest messages are kept ready to be shown: ten times what one look shows.
const LATEST_MAX: usize = 200;
/// How many messages one look shows; more can't be read, and the page says how many there were.
pub const SHOWN_MAX: usize = 20;

/// The board.
#[derive(Debug, Default)]
pub struct Board {
    /// Who sent how much.
    pub tally: Tally,
    /// The latest messages, as JSON.
    latest: VecDeque<String>,
    /// How many messages came since somebody looks; the latest one has this number.
    came: u64,
}

/// What is new since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Messages as JSON, oldest first.
    pub messages: Vec<String>,
    /// How many came beside these and are not shown.
    pub skipped: u64,
}

impl Board {
    /// Counts messages of the past.
    pub fn count(&mut self, page: &[Recorded]) {
        for recorded in page {
            let Some((client, number)) = sender(recorded) else { continue };
            self.tally.count(client, number, recorded.event.payload.len(), recorded.event.at);
        }
    }

    /// Counts messages that have just come, and keeps the latest to be shown.
    pub fn note(&mut self, page: &[Recorded]) {
        self.count(page);
        self.came += page.len() as u64;
        // Only those that can still be shown are spelt out: the others would be pushed out at once.
        for recorded in &page[page.len().saturating_sub(LATEST_MAX)..] {
            if self.latest.len() == LATEST_MAX {
                self.latest.pop_front();
            }
            self.latest.push_back(spelt(recorded));
        }
    }

    /// Where a new watcher begins.
    pub const fn came(&self) -> u64 {
        self.came
    }

    /// What came after `seen`, which is moved on.
    pub fn news(&self, seen: &mut u64) -> News {
        let came = self.came.saturating_sub(*seen);
        *seen = self.came;
        let shown = usize::try_from(came).unwrap_or(usize::MAX).min(SHOWN_MAX).min(self.latest.len());
        let messages = self.latest.range(self.latest.len() - shown..).cloned().collect();
        News { messages, skipped: came - shown as u64 }
    }
}

/// One message in the JSON that every edge speaks.
pub fn spelt(recorded: &Recorded) -> String {
    let mut out = Vec::new();
    json::write_event(recorded, &mut out);
    // The writer escapes or encodes what isn't UTF-8, so nothing is ever replaced here.
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use headwater_event::{Event, EventId, Headers, Position, Time, Topic};

    fn page(numbers: std::ops::RangeInclusive<u64>) -> Vec<Recorded> {
        let producer = uuid::Uuid::nil();
        numbers
            .map(|number| Recorded {
                position: Position::new(7, number),
                event: Event {
                    id: EventId::Numbered { producer, number },
                    topic: Topic::new(format!("intake/{producer}")).unwrap(),
                    headers: Headers::none(),
                    payload: Bytes::from(format!("m{number}")),
                    at: Time(0),
                },
                sticky: false,
            })
            .collect()
    }

    #[test]
    fn every_message_is_either_shown_or_told_to_be_skipped() {
        let mut board = Board::default();
        board.note(&page(1..=5));
        let mut seen = 0;
        let news = board.news(&mut seen);
        assert_eq!((news.messages.len(), news.skipped), (5, 0));
        assert!(news.messages[4].contains("\"m5\""));
        board.note(&page(6..=1_005));
        let news = board.news(&mut seen);
        assert_eq!((news.messages.len() as u64 + news.skipped, news.messages.len()), (1_000, SHOWN_MAX));
        assert!(news.messages[SHOWN_MAX - 1].contains("\"m1005\""), "the latest are shown");
        assert_eq!(board.news(&mut seen), News::default());
        assert!(board.latest.len() <= LATEST_MAX);
    }
}
