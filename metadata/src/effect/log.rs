//! The effects of a drain as one log entry: version, time, effects, and a checksum over all of it, so that damage is seen
//! when it is replayed.

use bytes::Bytes;

use super::Effect;
use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::types::Timestamp;

/// The version that log rows are written in.
const VERSION: u8 = 1;

/// The effects of a drain with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub(crate) now: Timestamp,
    pub(crate) effects: Vec<Effect>,
}

/// The effects of a drain as bytes, growing.
#[derive(Debug)]
pub(crate) struct LogBytes(Encoder);

impl LogBytes {
    pub(crate) fn new(now: Timestamp) -> Self {
        let mut bytes = Encoder::versioned(VERSION);
        now.put(&mut bytes);
        Self(bytes)
    }

    pub(crate) fn push(&mut self, effect: &Effect) {
        effect.put(&mut self.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Cut into rows, for stores limit values; joined again they are what [`decode_entry`] reads.
    pub(crate) fn into_rows(self, row_bytes_max: usize) -> Vec<Bytes> {
        cut(self.0.sealed(), row_bytes_max)
    }
}

/// Bytes in pieces, of which only the last may be shorter.
pub(crate) fn cut(mut bytes: Bytes, piece_bytes: usize) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while bytes.len() > piece_bytes {
        pieces.push(bytes.split_to(piece_bytes));
    }
    pieces.push(bytes);
    pieces
}

/// The rows of one drain, joined.
pub(crate) fn decode_entry(bytes: Bytes) -> Result<LogEntry, Unreadable> {
    let mut bytes = Decoder::versioned(bytes, VERSION)?;
    let now = Timestamp::take(&mut bytes)?;
    let mut effects = Vec::new();
    while !bytes.is_empty() {
        effects.push(Effect::take(&mut bytes)?);
    }
    Ok(LogEntry { now, effects })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::ClusterEffect;

    #[test]
    fn every_bit_that_flips_is_seen() {
        let mut log = LogBytes::new(Timestamp(1_790_000_000_000));
        log.push(&Effect::Cluster(ClusterEffect::SessionNumbered {
            last: 300,
        }));
        let entry: Vec<u8> = log.into_rows(10).concat();
        assert!(decode_entry(entry.clone().into()).is_ok());
        for bit in 0..entry.len() * 8 {
            let mut damaged = entry.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_entry(damaged.into()), Err(Unreadable), "bit {bit}");
        }
        for at in 0..entry.len() {
            assert!(decode_entry(entry[..at].to_vec().into()).is_err(), "{at}");
        }
    }
}
