//! Law 12: between log start and high watermark every offset is accounted for exactly once, by index rows up to where the
//! extents in memory begin, and by those from there on. Run by tests, simulation and whoever doubts a store.

use crate::error::Error;
use crate::index::Chunk;
use crate::keys::{Key, index_past};
use crate::kv::{Direction, Kv};
use crate::sequencer::takeover;
use crate::state::{PartitionLog, State};
use crate::types::{Extent, Offset, TopicPartition};

/// Index rows read at a time.
const ROWS_PER_READ: usize = 100;

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
    for (partition, log) in state.topics.logs() {
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
    let mut next: Option<Offset> = None;
    let (mut from, end) = index_past(partition, log_start);
    loop {
        let rows = kv
            .range(&from, &end, ROWS_PER_READ, Direction::Forward)
            .await?;
        let Some((last, _)) = rows.last().filter(|_| next.is_none_or(|next| next < until)) else {
            break;
        };
        from = [last.as_ref(), &[0]].concat().into();
        for (key, row) in rows {
            let chunk = Chunk::decode(row)?;
            if Key::decode(&key)? != Key::Index(partition, chunk.end()) {
                return Err(broken(partition, chunk.end(), chunk.end()));
            }
            for extent in chunk.extents.iter().filter(|e| e.base_offset < until) {
                // The first row may begin before the log does.
                follows(partition, next.unwrap_or(extent.base_offset), extent)?;
                if next.is_none() && extent.base_offset > log_start {
                    return Err(broken(partition, log_start, extent.base_offset));
                }
                next = Some(extent.end_offset());
            }
        }
    }
    let next = next.unwrap_or(log_start.min(until));
    if next < until && log_start < until {
        return Err(broken(partition, next, until));
    }
    Ok(until)
}

/// An extent must begin where the one before it ends, and take offsets.
pub(crate) fn follows(
    partition: TopicPartition,
    next: Offset,
    extent: &Extent,
) -> Result<(), Error> {
    if extent.base_offset == next && extent.offset_span > 0 {
        Ok(())
    } else {
        Err(broken(partition, next, extent.base_offset))
    }
}

/// What was found is not what must follow.
pub(crate) fn broken(partition: TopicPartition, next: Offset, found: Offset) -> Error {
    Error::Corrupt(format!(
        "offset {} of partition {partition:?} is not accounted for exactly once: what follows begins at {}",
        next.0, found.0
    ))
}
