//! Producer ids to hand out, taken from the metadata in blocks, so that a new producer seldom costs a commit.

use std::ops::Range;

use metadata::{Command, Error, Metadata, Outcome, ProducerId};
use parking_lot::Mutex;

/// Ids taken at once.
const BLOCK: u32 = 1000;

/// What is left of the blocks taken; usually of one. No block in here is empty.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds(Mutex<Vec<Range<i64>>>);

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
        if let Some(id) = self.take() {
            return Ok(id);
        }
        let answer = metadata
            .submit(Command::AllocateProducerIds { count: BLOCK })
            .await?;
        let Outcome::ProducerIds { first, count } = answer.outcome else {
            return Err(Error::Corrupt("no producer ids were handed out".to_owned()));
        };
        self.keep(first.0.saturating_add(1)..first.0.saturating_add(count.into()));
        Ok(first)
    }

    fn take(&self) -> Option<ProducerId> {
        let mut blocks = self.0.lock();
        let block = blocks.last_mut()?;
        let id = block.next();
        if block.is_empty() {
            blocks.pop();
        }
        id.map(ProducerId)
    }

    fn keep(&self, block: Range<i64>) {
        if !block.is_empty() {
            self.0.lock().push(block);
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
        ids.keep(1..1000);
        ids.keep(1001..2000);
        ids.keep(2001..2001);
        let handed_out: Vec<i64> = std::iter::from_fn(|| ids.take()).map(|id| id.0).collect();
        let distinct: BTreeSet<i64> = handed_out.iter().copied().collect();
        assert_eq!((handed_out.len(), distinct.len()), (1998, 1998));
        assert!(!distinct.contains(&1000) && ids.0.lock().is_empty());
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
