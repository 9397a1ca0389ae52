//! Producer ids to hand out, taken from the metadata in blocks, so that a new producer seldom costs a commit.

use std::ops::Range;

use metadata::{Command, Error, Lsn, Metadata, Outcome, ProducerId};
use parking_lot::Mutex;

/// Ids taken at once.
const BLOCK: u32 = 1000;
/// Blocks of which a rest is kept. Whoever asks for ids that were never handed out has one taken for each question.
const BLOCKS_MAX: usize = 64;

/// What is left of the blocks taken; usually of one. No block in here is empty.
///
/// A topic takes producers older than itself for such that may have been forgotten, whose first batch need not be their
/// first. So that none is taken for older than it is, blocks are handed out only while the catalogue is the one that
/// there was when they were taken.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds(Mutex<Blocks>);

#[derive(Debug, Default)]
struct Blocks {
    /// The catalogue they belong to.
    catalogue: Lsn,
    left: Vec<Range<i64>>,
    /// Smaller ids are of blocks that agents took, this one or others.
    taken_end: i64,
}

impl Blocks {
    /// Whether that id was handed out; `None`: it is of no block that this agent knows. What it has left is still to come,
    /// and whoever were given such an id would share it with the next new producer.
    fn knows(&self, id: i64) -> Option<bool> {
        (id < self.taken_end).then(|| !self.left.iter().any(|block| block.contains(&id)))
    }
}

impl ProducerIds {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An id that nobody else has or had. Callers that find nothing left at the same time each take a block, and each
    /// block's rest is kept: the store makes the blocks distinct, so nothing is handed out twice.
    ///
    /// # Errors
    /// When the metadata cannot give a block.
    pub(crate) async fn next(&self, metadata: &Metadata) -> Result<ProducerId, Error> {
        let catalogue = metadata.catalogue().lsn;
        if let Some(id) = self.take(catalogue) {
            return Ok(id);
        }
        let Range { start, end } = self.allocate(metadata).await?;
        self.keep(catalogue, start.saturating_add(1)..end);
        Ok(ProducerId(start))
    }

    /// The same, where one is at hand: the metadata is not asked.
    pub(crate) fn at_hand(&self, metadata: &Metadata) -> Option<ProducerId> {
        self.take(metadata.catalogue().lsn)
    }

    /// Whether an agent of this cluster handed out that id; `None`: only the metadata knows.
    pub(crate) fn known_to_be_handed_out(&self, id: i64) -> Option<bool> {
        self.0.lock().knows(id)
    }

    /// Whether an agent of this cluster handed out that id. A new block tells, where this agent's blocks do not: it begins
    /// behind everything that was handed out.
    ///
    /// # Errors
    /// As [`ProducerIds::next`].
    pub(crate) async fn were_handed_out(
        &self,
        metadata: &Metadata,
        id: i64,
    ) -> Result<bool, Error> {
        if let Some(known) = self.known_to_be_handed_out(id) {
            return Ok(known);
        }
        let catalogue = metadata.catalogue().lsn;
        let block = self.allocate(metadata).await?;
        self.keep(catalogue, block.clone());
        Ok(id < block.start)
    }

    async fn allocate(&self, metadata: &Metadata) -> Result<Range<i64>, Error> {
        let answer = metadata
            .submit(Command::AllocateProducerIds { count: BLOCK })
            .await?;
        let Outcome::ProducerIds { first, count } = answer.outcome else {
            return Err(Error::Corrupt("no producer ids were handed out".to_owned()));
        };
        let block = first.0..first.0.saturating_add(count.into());
        let mut blocks = self.0.lock();
        blocks.taken_end = blocks.taken_end.max(block.end);
        Ok(block)
    }

    fn take(&self, catalogue: Lsn) -> Option<ProducerId> {
        let mut blocks = self.0.lock();
        if blocks.catalogue != catalogue {
            blocks.catalogue = catalogue;
            blocks.left.clear();
        }
        let block = blocks.left.last_mut()?;
        let id = block.next();
        if block.is_empty() {
            blocks.left.pop();
        }
        id.map(ProducerId)
    }

    /// `catalogue` is the one there was before the block was taken.
    fn keep(&self, catalogue: Lsn, block: Range<i64>) {
        let mut blocks = self.0.lock();
        let there_is_room = blocks.left.len() < BLOCKS_MAX;
        if blocks.catalogue == catalogue && !block.is_empty() && there_is_room {
            blocks.left.push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::context::AutoCreate;
    use crate::discovery::fixture::with_context;

    #[test]
    fn blocks_taken_side_by_side_are_all_handed_out_once() {
        let ids = ProducerIds::new();
        ids.keep(Lsn(0), 1..1000);
        ids.keep(Lsn(0), 1001..2000);
        ids.keep(Lsn(0), 2001..2001);
        let handed_out: Vec<i64> = std::iter::from_fn(|| ids.take(Lsn(0)))
            .map(|id| id.0)
            .collect();
        let distinct: BTreeSet<i64> = handed_out.iter().copied().collect();
        assert_eq!((handed_out.len(), distinct.len()), (1998, 1998));
        assert!(!distinct.contains(&1000) && ids.0.lock().left.is_empty());
    }

    #[test]
    fn what_is_left_is_forgotten_when_topics_change() {
        let ids = ProducerIds::new();
        ids.keep(Lsn(0), 1..1000);
        assert_eq!(ids.take(Lsn(0)), Some(ProducerId(1)));
        assert_eq!(ids.take(Lsn(5)), None);
        // Taken before the change.
        ids.keep(Lsn(0), 1001..2000);
        assert_eq!(ids.take(Lsn(5)), None);
        ids.keep(Lsn(5), 2001..3000);
        assert_eq!(ids.take(Lsn(5)), Some(ProducerId(2001)));
    }

    /// Two producers with one id and one epoch take each other's batches for repetitions.
    #[tokio::test]
    async fn an_id_that_is_still_to_be_handed_out_was_not() {
        with_context(AutoCreate::Disabled, async |context| {
            let (ids, metadata) = (ProducerIds::new(), &context.metadata);
            let first = ids.next(metadata).await.unwrap().0;
            assert!(ids.were_handed_out(metadata, first).await.unwrap());
            assert!(!ids.were_handed_out(metadata, first + 1).await.unwrap());
            let stranger = first + 10 * i64::from(BLOCK);
            assert!(!ids.were_handed_out(metadata, stranger).await.unwrap());
            let next = ids.next(metadata).await.unwrap().0;
            assert!(ids.were_handed_out(metadata, next).await.unwrap());
        })
        .await;
    }

    #[test]
    fn what_is_left_of_blocks_is_bounded() {
        let ids = ProducerIds::new();
        for block in 0..1000 {
            ids.keep(Lsn(0), block * 1000..(block + 1) * 1000);
        }
        assert_eq!(ids.0.lock().left.len(), BLOCKS_MAX);
    }

    #[tokio::test]
    async fn callers_side_by_side_get_ids_of_their_own() {
        with_context(AutoCreate::Disabled, async |context| {
            let ids = ProducerIds::new();
            let mut seen = BTreeSet::new();
            for _ in 0..50 {
                let some = (0..50).map(|_| ids.next(&context.metadata));
                for id in futures::future::join_all(some).await {
                    assert!(seen.insert(id.unwrap()));
                }
            }
        })
        .await;
    }
}
