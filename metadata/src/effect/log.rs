//! The effects of a drain as one log entry: version, time, effects, and a checksum over all of it and the key of its first
//! row, so that damage is seen when it is replayed, and an entry in another one's place as well.

use bytes::Bytes;

use super::Effect;
use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::keys::Key;
use crate::types::{Lsn, Timestamp};

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

    /// As the entry of that drain, cut into rows, for stores limit values; joined again they are what [`decode_entry`]
    /// reads.
    pub(crate) fn into_rows(self, lsn: Lsn, row_bytes_max: usize) -> Vec<Bytes> {
        cut(self.0.sealed(&Key::Log(lsn, 0).encode()), row_bytes_max)
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

/// The rows of that drain, joined.
pub(crate) fn decode_entry(lsn: Lsn, bytes: Bytes) -> Result<LogEntry, Unreadable> {
    let mut bytes = Decoder::versioned(&Key::Log(lsn, 0).encode(), bytes, VERSION)?;
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
        let lsn = Lsn(7);
        let entry: Vec<u8> = log.into_rows(lsn, 10).concat();
        assert!(decode_entry(lsn, entry.clone().into()).is_ok());
        let elsewhere = decode_entry(Lsn(8), entry.clone().into());
        assert_eq!(elsewhere, Err(Unreadable), "of another drain");
        for bit in 0..entry.len() * 8 {
            let mut damaged = entry.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let read = decode_entry(lsn, damaged.into());
            assert_eq!(read, Err(Unreadable), "bit {bit}");
        }
        for at in 0..entry.len() {
            assert!(
                decode_entry(lsn, entry[..at].to_vec().into()).is_err(),
                "{at}"
            );
        }
    }
}
