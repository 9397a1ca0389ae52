//! State to rows and back. A checkpoint goes in small transactions between drains; each row says as of which drain it
//! is, and a replay skips what a row already holds. Last the checkpoint row moves, and the sequencer clears the log
//! before it. Which rows there are, and what is in them, is the tables' own: here they only get their turn.

mod load;

#[cfg(test)]
mod tests;

pub(crate) use load::{bucket, load};

use bytes::Bytes;
use futures::future::try_join_all;

use crate::error::Error;
use crate::index::read_tail;
use crate::keys::Key;
use crate::kv::{Kv, Transaction};
use crate::state::table::{Page, Table, Tails, Wrote, encode_row};
use crate::state::{State, TABLES};
use crate::types::Lsn;

pub use crate::state::table::Steps;

/// Index rows read side by side: one after the other they would take a round trip to the store each.
const READ_AT_ONCE: usize = 256;
/// Partitions whose index rows are read before a step; about as many as fit in one.
const READ_AHEAD: usize = 512;

/// A checkpoint under way.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    /// Everything up to here is in rows when it is done.
    at: Lsn,
    /// The table whose turn it is.
    table: usize,
    tails: Tails,
    done: bool,
    steps: Steps,
}

impl Checkpoint {
    pub(crate) fn begin(state: &mut State) -> Self {
        state.tables().into_iter().for_each(|table| table.begin());
        Self {
            at: state.lsn,
            table: 0,
            tails: Tails::new(),
            done: false,
            steps: Steps::default(),
        }
    }

    /// With other bounds, so that it can stop between any two rows.
    pub(crate) fn in_steps_of(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Up to here the log may be cleared once it is done.
    pub(crate) fn at(&self) -> Lsn {
        self.at
    }

    /// Reads some of what the next steps need. False: there is nothing to be read, and it is time for a step.
    pub(crate) async fn read_ahead(&mut self, kv: &dyn Kv, state: &State) -> Result<bool, Error> {
        let soon = state.partitions.soon(READ_AHEAD);
        let unread = soon.filter(|(place, _)| !self.tails.contains_key(place));
        let reads = unread.take(READ_AT_ONCE).map(|(place, joint)| async move {
            let tail = read_tail(kv, place, joint).await?;
            Ok::<_, Error>((place, tail))
        });
        let read = try_join_all(reads).await?;
        let any = !read.is_empty();
        self.tails.extend(read);
        Ok(any)
    }

    /// The next transaction's writes; the caller fences and commits them. State that they hold is marked so, which is
    /// why a failed commit must load the state anew.
    pub(crate) async fn step(
        &mut self,
        kv: &dyn Kv,
        state: &mut State,
    ) -> Result<Transaction, Error> {
        let mut page = Page::new(state.lsn, self.steps, &mut self.tails);
        state.cluster.write(&mut page)?;
        let mut writes = page.writes;
        // However small steps are, each writes something besides.
        let uncounted = writes.writes.len();
        while self.table < TABLES {
            let page = Page::new(state.lsn, self.steps, &mut self.tails);
            let mut page = page.after(writes, uncounted);
            let wrote = state.tables()[self.table].write(&mut page)?;
            writes = page.writes;
            match wrote {
                Wrote::All => self.table += 1,
                Wrote::Full => return Ok(writes),
                Wrote::NeedsTail => {
                    self.read_ahead(kv, state).await?;
                }
            }
        }
        state.tables().into_iter().for_each(|table| table.finish());
        writes.set(Key::Checkpoint.encode(), checkpoint_row(self.at));
        self.done = true;
        Ok(writes)
    }
}

/// The checkpoint row: up to there everything is in rows.
pub(crate) fn checkpoint_row(at: Lsn) -> Bytes {
    encode_row(&at)
}
