//! A place in one log: which log, and how far.

use std::fmt;
use std::str::FromStr;

/// Which log a position belongs to; a new log file gets a new epoch, drawn at random and never 0.
///
/// A client at (7, 3) returns. The disk was replaced and the new log, epoch 8, holds 1..=4. Without the epoch we'd send
/// it 4 alone and it would silently miss 1, 2 and 3. With it, we answer "can't catch up".
/// 32 bits, so that the number survives every JSON reader.
pub type Epoch = u32;

/// A sequence number: 1 for the first event of a log, then one more each; 0 stands before the first.
pub type Seq = u64;

/// A place in one log: everything up to and with `seq` lies behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The log.
    pub epoch: Epoch,
    /// The sequence number of the last event that lies behind.
    pub seq: Seq,
}

impl Position {
    /// A position from its two parts.
    #[must_use]
    pub const fn new(epoch: Epoch, seq: Seq) -> Self {
        Self { epoch, seq }
    }
}

impl fmt::Display for Position {
    /// `EPOCH:SEQ`, both decimal: the spelling on every edge and in the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

/// A position was not of the form `EPOCH:SEQ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position is written EPOCH:SEQ, two decimal numbers")]
pub struct PositionError;

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, seq) = text.split_once(':').ok_or(PositionError)?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(epoch) || !digits(seq) {
            return Err(PositionError);
        }
        Ok(Self { epoch: epoch.parse().map_err(|_| PositionError)?, seq: seq.parse().map_err(|_| PositionError)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_as_it_was_written() {
        let position = Position::new(u32::MAX, u64::MAX);
        assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", ":", "7", "7:", ":3", "7:3:1", "+7:3", "7:-3", "7: 3", "4294967296:1", "1:18446744073709551616"]
        {
            assert_eq!(text.parse::<Position>(), Err(PositionError), "{text:?}");
        }
    }
}
