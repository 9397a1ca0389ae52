//! A whole batch, one record after another.

use std::io::BufRead;
use std::ops::ControlFlow;

use super::record::{Seen, record};
use crate::record_batch::{BatchError, BatchHeader, HEADER_BYTES};
use crate::unpack::{Allowance, Unpacked, Use, unpack};

/// Shows the records of a whole batch one after another, until `see` has seen enough or there are as many as the header
/// says. Then nothing may follow, and what was packed must have come to its end.
///
/// # Errors
/// When the batch is cut short, does not unpack, contradicts itself, or takes more than is allowed.
pub fn walk(
    batch: &[u8],
    header: &BatchHeader,
    allowance: &mut Allowance<'_>,
    see: impl FnMut(Seen) -> ControlFlow<()>,
) -> Result<(), BatchError> {
    open(batch, header, allowance, None, see).map(drop)
}

/// The same, and the records' bytes as they are when unpacked, of which there may be `kept_max`.
///
/// # Errors
/// As [`walk`].
pub fn walk_and_unpack(
    batch: &[u8],
    header: &BatchHeader,
    kept_max: usize,
    allowance: &mut Allowance<'_>,
    see: impl FnMut(Seen) -> ControlFlow<()>,
) -> Result<Vec<u8>, BatchError> {
    open(batch, header, allowance, Some(kept_max), see).map(Option::unwrap_or_default)
}

fn open(
    batch: &[u8],
    header: &BatchHeader,
    allowance: &mut Allowance<'_>,
    kept_max: Option<usize>,
    see: impl FnMut(Seen) -> ControlFlow<()>,
) -> Result<Option<Vec<u8>>, BatchError> {
    let codec = header.codec().ok_or(BatchError::UnknownCodec)?;
    let packed = batch.get(HEADER_BYTES..header.size);
    let packed = packed.ok_or(BatchError::Truncated)?;
    let count = header.record_count;
    unpack(codec, packed, allowance, kept_max, Walk { count, see })
}

struct Walk<F> {
    count: i32,
    see: F,
}

impl<F: FnMut(Seen) -> ControlFlow<()>> Use for Walk<F> {
    type Done = Option<Vec<u8>>;

    fn with<R: BufRead>(
        mut self,
        mut records: Unpacked<'_, '_, R>,
    ) -> Result<Option<Vec<u8>>, BatchError> {
        if self.count < 0 {
            return Err(BatchError::Records("a negative number of records"));
        }
        for index in 0..self.count {
            let seen = record(&mut records, index)?;
            if (self.see)(seen).is_break() {
                return Ok(records.into_kept());
            }
        }
        match records.next()? {
            [] => Ok(records.into_kept()),
            _ => Err(BatchError::Records("bytes follow the last record")),
        }
    }
}
