//! Records that are sought by their time.

use std::ops::ControlFlow;

use super::walk;
use crate::record_batch::{BatchError, BatchHeader};
use crate::unpack::Allowance;

/// The first record with a timestamp at or after `timestamp`: its offset delta and its timestamp.
///
/// # Errors
/// As [`walk`].
pub fn first_at_or_after(
    batch: &[u8],
    timestamp: i64,
    allowance: &mut Allowance<'_>,
) -> Result<Option<(i32, i64)>, BatchError> {
    let header = BatchHeader::read(batch)?;
    let mut found = None;
    walk(batch, &header, allowance, |seen| {
        let at = seen.timestamp(&header);
        if at < timestamp {
            return ControlFlow::Continue(());
        }
        found = Some((seen.offset_delta, at));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// The first of the records with the largest timestamp: its offset delta and that timestamp.
///
/// # Errors
/// As [`walk`], and when there is no record.
pub fn first_with_max_timestamp(
    batch: &[u8],
    allowance: &mut Allowance<'_>,
) -> Result<(i32, i64), BatchError> {
    let header = BatchHeader::read(batch)?;
    let mut best: Option<(i32, i64)> = None;
    walk(batch, &header, allowance, |seen| {
        let at = seen.timestamp(&header);
        if best.is_none_or(|(_, largest)| at > largest) {
            best = Some((seen.offset_delta, at));
        }
        ControlFlow::Continue(())
    })?;
    best.ok_or(BatchError::Records("a batch without records"))
}
