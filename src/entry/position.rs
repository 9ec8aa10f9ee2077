//! Positions in the log: a position within a shard, and the shard of a post.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::PostId;

/// A position in a shard's log: two numbers that sort (a Redis stream id). A row id uses only the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// Milliseconds of a stream id; 0 in a log that numbers its rows.
    pub high: u64,
    /// Sequence number.
    pub low: u64,
}

impl Position {
    /// Before all entries.
    pub const START: Position = Position { high: 0, low: 0 };

    /// A position from its two numbers.
    pub const fn new(high: u64, low: u64) -> Self {
        Self { high, low }
    }

    /// Sixteen bytes that sort like positions. Databases store this form.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.high) << 64) | u128::from(self.low)).to_be_bytes()
    }

    /// Reads [`to_bytes`](Self::to_bytes) back; `None` for bytes of another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = u128::from_be_bytes(bytes.try_into().ok()?);
        Some(Self { high: (number >> 64) as u64, low: number as u64 })
    }

    /// Reads the text form, `1790000000000-3`.
    pub fn parse(text: &str) -> Option<Self> {
        let (high, low) = text.split_once('-')?;
        Some(Self { high: high.parse().ok()?, low: low.parse().ok()? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.high, self.low)
    }
}

/// One of the buffer's independent logs, numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard of a post: CRC-16/XMODEM of its id, modulo `count` (at least 1).
    pub fn of(post: &PostId, count: u16) -> Self {
        const CRC: crc::Crc<u16> = crc::Crc::<u16>::new(&crc::CRC_16_XMODEM);
        Self(CRC.checksum(post.as_str().as_bytes()) % count.max(1))
    }

    /// The shard's index in a list of all shards.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_sort_like_their_bytes() {
        let places = [(0, 1), (0, u64::MAX), (1, 0), (1_790_000_000_000, 3), (u64::MAX, u64::MAX)];
        let places = places.map(|(high, low)| Position::new(high, low));
        for pair in places.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_bytes() < pair[1].to_bytes());
            assert_eq!(Position::from_bytes(&pair[0].to_bytes()), Some(pair[0]));
            assert_eq!(Position::parse(&pair[1].to_string()), Some(pair[1]));
        }
    }

    #[test]
    fn a_post_always_has_the_same_shard() {
        // CRC-16/XMODEM("123456789") = 0x31C3, the algorithm's published check value.
        assert_eq!(Shard::of(&PostId::parse("123456789").unwrap(), u16::MAX), Shard(0x31C3));
        assert_eq!(Shard::of(&PostId::parse("hello").unwrap(), 1), Shard(0));
    }
}
