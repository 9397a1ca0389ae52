//! Law 12: between log start and high watermark every offset is accounted for exactly once, by index rows up to where the
//! extents in memory begin, and by those from there on. Run by tests, simulation and whoever doubts a store.

use crate::error::Error;
use crate::index::{self, Lookup, broken, follows};
use crate::kv::Kv;
use crate::sequencer::takeover;
use crate::state::{PartitionLog, State};
use crate::types::{Extent, Offset, TopicPartition};

/// Whether a store accounts for every offset of every partition, as the next process to load it would find it. Reads all
/// index rows. Nobody may write meanwhile.
///
/// # Errors
/// [`Error::Corrupt`] names the first partition with a hole, an overlap or a row that cannot be read, and where; else as
/// [`crate::check`].
pub async fn account(kv: &dyn Kv) -> Result<(), Error> {
    match takeover::examine(kv).await? {
        Some((_, state)) => account_for(kv, &state).await,
        None => Ok(()),
    }
}

/// The same of a state and the rows under it.
pub(crate) async fn account_for(kv: &dyn Kv, state: &State) -> Result<(), Error> {
    for (partition, log) in state.logs() {
        let rows_end = account_for_rows(kv, partition, log).await?;
        let mut next = rows_end;
        for extent in log.recent() {
            follows(partition, next, extent)?;
            next = extent.end_offset();
        }
        let end = log.bounds().high_watermark;
        if next != end {
            return Err(broken(partition, next, end));
        }
    }
    Ok(())
}

/// Where the rows end that memory does not have, which is where memory begins. Rows past that are of a checkpoint that
/// was cut short; the next one replaces them.
async fn account_for_rows(
    kv: &dyn Kv,
    partition: TopicPartition,
    log: &PartitionLog,
) -> Result<Offset, Error> {
    let (log_start, until) = (log.bounds().log_start, log.recent_start());
    let place = log.index_of(partition);
    let rows = index::verify(kv, place).await?;
    let (base, end) = rows.unwrap_or((until, until));
    if log_start >= until {
        return Ok(until);
    }
    if base > log_start || end < until {
        return Err(broken(partition, base.max(end.min(until)), until));
    }
    // An extent ends where memory begins.
    let last = Lookup::new(kv, place)
        .chunks(Offset(until.0 - 1), 1)
        .await?;
    let mut ends = last
        .iter()
        .flat_map(|chunk| &chunk.extents)
        .map(Extent::end_offset);
    match ends.any(|end| end == until) {
        true => Ok(until),
        false => Err(broken(partition, end, until)),
    }
}
