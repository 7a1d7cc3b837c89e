//! The mark in a payload by which its arrival can be timed: when it was due, and its number.

use super::watcher::Told;

const SIGN: &[u8] = b"@@";
const DIGITS: usize = 16;
/// Sign, time, number.
pub const MARK_LEN: usize = 2 + 2 * DIGITS;

/// A mark.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark {
    /// When the event was due, in ns since the run began.
    pub since: u64,
    pub number: u64,
}

impl Mark {
    /// A payload of `size` bytes with this mark in front; never shorter than the mark.
    pub fn payload(self, size: usize) -> Vec<u8> {
        let mut out = format!("@@{:016x}{:016x}", self.since, self.number).into_bytes();
        out.resize(size.max(MARK_LEN), b'.');
        out
    }

    /// Reads the mark at the front, behind its sign.
    fn read(digits: &[u8]) -> Option<Self> {
        let number = |part: &[u8]| u64::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok();
        Some(Self { since: number(digits.get(..DIGITS)?)?, number: number(digits.get(DIGITS..2 * DIGITS)?)? })
    }
}

/// Tells all marks; returns how many bytes are done with. What may be the beginning of a mark is not.
pub fn all_in(bytes: &[u8], mut told: impl FnMut(Told)) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&bytes[at..], SIGN) {
        let begin = at + found;
        if bytes.len() < begin + MARK_LEN {
            return begin;
        }
        match Mark::read(&bytes[begin + SIGN.len()..]) {
            Some(mark) => {
                told(Told::Event(mark));
                at = begin + MARK_LEN;
            }
            None => at = begin + 1,
        }
    }
    if bytes.last() == Some(&SIGN[0]) && bytes.len() > at { bytes.len() - 1 } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_whatever_is_around_them_and_wherever_they_are_cut() {
        let marks = [Mark { since: 1, number: 2 }, Mark { since: u64::MAX, number: 3 }];
        let text = [b"data: {@".as_slice(), &marks[0].payload(50), b"}\n\n@@x", &marks[1].payload(34)].concat();
        for cut in 0..=text.len() {
            let mut found = Vec::new();
            let taken = all_in(&text[..cut], |told| found.push(told));
            all_in(&text[taken..], |told| found.push(told));
            assert_eq!(found, marks.map(Told::Event), "cut at {cut}");
        }
    }
}
