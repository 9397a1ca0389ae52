//! Producer ids, each of which is taken from the metadata when it is handed out. So every id below the end of those taken
//! was handed out, by whatever agent, and none of them is handed out later: whoever brings one may be given its next epoch.
//! Of ids that agents take ahead nobody else could tell that.

use std::sync::atomic::{AtomicI64, Ordering};

use metadata::{Command, Error, Metadata, Outcome, ProducerId};

/// Taken at once.
const AT_ONCE: u32 = 1;

/// What this agent knows of the ids of its cluster.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    /// Smaller ones were handed out.
    end: AtomicI64,
}

impl ProducerIds {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An id that nobody else has or had. Every one that was ever handed out is smaller.
    ///
    /// # Errors
    /// When the metadata cannot give one.
    pub(crate) async fn next(&self, metadata: &Metadata) -> Result<ProducerId, Error> {
        let answer = metadata.submit(Command::AllocateProducerIds { count: AT_ONCE });
        let Outcome::ProducerIds { first, count } = answer.await?.outcome else {
            return Err(Error::Corrupt("no producer id was handed out".to_owned()));
        };
        let end = first.0.saturating_add(count.into());
        self.end.fetch_max(end, Ordering::AcqRel);
        Ok(first)
    }

    /// Whether it is known here, without asking the metadata, that an agent of this cluster handed out that id.
    pub(crate) fn knows(&self, id: i64) -> bool {
        id < self.end.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::context::AutoCreate;
    use crate::discovery::fixture::with_context;

    /// Two producers with one id and one epoch take each other's batches for repetitions.
    #[tokio::test]
    async fn no_id_is_handed_out_that_some_agent_took_for_one_that_was() {
        with_context(AutoCreate::Disabled, async |context| {
            let agents = [(); 3].map(|()| ProducerIds::new());
            let (mut known, mut handed_out) = (BTreeSet::new(), BTreeSet::new());
            for turn in 0..30 {
                let id = agents[turn % 3].next(&context.metadata).await.unwrap().0;
                assert!(!known.contains(&id), "{id} was known to be handed out");
                assert!(handed_out.insert(id));
                for agent in &agents {
                    known.extend((0..id + 3000).filter(|id| agent.knows(*id)));
                }
            }
            assert!(
                handed_out.iter().all(|id| agents[2].knows(*id)),
                "by whatever agent"
            );
        })
        .await;
    }

    #[tokio::test]
    async fn callers_side_by_side_get_ids_of_their_own() {
        with_context(AutoCreate::Disabled, async |context| {
            let ids = ProducerIds::new();
            let mut seen = BTreeSet::new();
            for _ in 0..5 {
                let some = (0..50).map(|_| ids.next(&context.metadata));
                for id in futures::future::join_all(some).await {
                    assert!(seen.insert(id.unwrap()));
                }
            }
        })
        .await;
    }
}
