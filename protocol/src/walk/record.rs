//! One record.

use std::io::BufRead;

use super::numbers::{byte, varint, varlong};
use crate::record_batch::{BatchError, BatchHeader};
use crate::unpack::Unpacked;

/// What a record says, its contents aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its place in the batch, from 0.
    pub index: i32,
    /// Its offset less the batch's base offset: the same, unless log compaction left gaps, or the producer lies.
    pub offset_delta: i32,
    /// Its timestamp less the batch's base timestamp, in milliseconds.
    pub timestamp_delta: i64,
    /// Whether it has a key.
    pub has_key: bool,
}

impl Seen {
    /// Its timestamp in a batch of that header, in milliseconds.
    #[must_use]
    pub fn timestamp(&self, header: &BatchHeader) -> i64 {
        match header.has_log_append_time() {
            true => header.max_timestamp,
            false => header.base_timestamp.saturating_add(self.timestamp_delta),
        }
    }
}

pub(super) fn record<R: BufRead>(
    from: &mut Unpacked<'_, '_, R>,
    index: i32,
) -> Result<Seen, BatchError> {
    let length = usize::try_from(varint(from)?)
        .map_err(|_| BatchError::Records("a record without a length"))?;
    if length > from.record_bytes_max() {
        return Err(BatchError::Records("a record unpacks into too much"));
    }
    let end = from.taken().saturating_add(length);
    byte(from)?;
    let timestamp_delta = varlong(from)?;
    let offset_delta = varint(from)?;
    let has_key = skip_bytes(from, end)?;
    skip_bytes(from, end)?;
    let headers = varint(from)?;
    if headers < 0 {
        return Err(BatchError::Records("a negative number of headers"));
    }
    for _ in 0..headers {
        if !skip_bytes(from, end)? {
            return Err(BatchError::Records("a header without a name"));
        }
        skip_bytes(from, end)?;
    }
    if from.taken() != end {
        return Err(BatchError::Records(
            "a record's length is not that of what is in it",
        ));
    }
    Ok(Seen {
        index,
        offset_delta,
        timestamp_delta,
        has_key,
    })
}

/// A length and so many bytes; false for -1. None of them may lie behind the record's end.
fn skip_bytes<R: BufRead>(from: &mut Unpacked<'_, '_, R>, end: usize) -> Result<bool, BatchError> {
    let length = varint(from)?;
    if length == -1 {
        return Ok(false);
    }
    let mut left = usize::try_from(length).map_err(|_| BatchError::Records("a negative length"))?;
    if left > end.saturating_sub(from.taken()) {
        return Err(BatchError::Records(
            "a record is shorter than what is in it",
        ));
    }
    while left > 0 {
        let here = from.next()?.len().min(left);
        if here == 0 {
            return Err(BatchError::Truncated);
        }
        from.take(here)?;
        left = left.saturating_sub(here);
    }
    Ok(true)
}
