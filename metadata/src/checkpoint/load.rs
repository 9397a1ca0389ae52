//! Rows back to state: what a checkpoint holds, before the log after it is replayed.

use crate::codec::{Decoder, Unreadable};
use crate::error::Error;
use crate::keys::{self, Key};
use crate::kv::{Kv, each_page};
use crate::level;
use crate::state::State;
use crate::state::table::{decode_row, open_row};
use crate::state::tally::Mark;
use crate::types::BucketId;

/// Rows read at a time.
const ROWS_PER_READ: usize = 2000;

/// Where the cluster's records lie, as the last checkpoint says.
pub(crate) async fn bucket(kv: &dyn Kv) -> Result<Option<BucketId>, Error> {
    Ok(cluster(kv).await?.cluster.bucket)
}

/// What there is one of in the cluster, as the last checkpoint says, and nothing else.
pub(crate) async fn cluster(kv: &dyn Kv) -> Result<State, Error> {
    let mut state = State::default();
    let key = Key::Cluster.encode();
    if let Some(row) = kv.get(&key).await? {
        let taken = open_row(&key, row);
        let taken = taken.and_then(|row| state.load(Key::Cluster, row, Mark::NONE));
        taken.map_err(|_| Error::unreadable(&key))?;
    }
    level::check(state.cluster.level())?;
    Ok(state)
}

/// The state as of the checkpoint, but for rows that are newer and say so.
pub(crate) async fn load(kv: &dyn Kv) -> Result<State, Error> {
    let mut state = State::default();
    let key = Key::Checkpoint.encode();
    let row = kv.get(&key).await?;
    let row = row.ok_or_else(|| Error::missing(Key::Checkpoint))?;
    let lsn = open_row(&key, row).and_then(decode_row);
    state.lsn = lsn.map_err(|_| Error::unreadable(&key))?;
    for kind in State::KINDS {
        each_row(kv, *kind, |key, row, stored| state.load(key, row, stored)).await?;
        // The cluster's row comes before others, which may be such as this version cannot read.
        level::check(state.cluster.level())?;
    }
    if state.cluster.as_of() < state.lsn {
        // It goes with each transaction of a checkpoint.
        return Err(Error::of_row(Key::Cluster, "is missing, or of long ago"));
    }
    state.check_rows()?;
    let at = state.lsn;
    for table in state.tables() {
        table.loaded(at);
    }
    Ok(state)
}

async fn each_row(
    kv: &dyn Kv,
    kind: u8,
    mut take: impl FnMut(Key, Decoder, Mark) -> Result<(), Unreadable>,
) -> Result<(), Error> {
    let (start, end) = keys::all(kind);
    each_page(kv, start, end, ROWS_PER_READ, |rows| {
        for (key, row) in rows {
            let stored = Mark::of(&key, &row);
            let taken = Key::decode(&key);
            let taken = taken.and_then(|known| take(known, open_row(&key, row)?, stored));
            taken.map_err(|_| Error::unreadable(&key))?;
        }
        Ok(true)
    })
    .await
}
