//! What the bucket remembers of the metadata's history, in `penstock.json`: how far the store had come when the process
//! that holds the order last looked. A store that does not have that any more went back in time. The metadata reads it
//! before it takes over, and hands a newer point in at most every ten seconds; that is one GET and one PUT, and none of
//! either while nothing is committed. Used by `server`.

use std::sync::Arc;
use std::time::Duration;

use metadata::history::HistoryId;
use metadata::witness::{Remembered, Witness as Hook};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::store::Store;
use super::witness::{Witness, WitnessError, WitnessVersion};

/// A bucket may be without `penstock.json` for so long: agents say whose it is when they start.
const NAMELESS_MAX: Duration = Duration::from_secs(60);

struct Memory {
    store: Store,
    began: Instant,
    /// As last read; the metadata always reads before it writes.
    found: Mutex<Option<(Witness, WitnessVersion)>>,
}

impl Store {
    /// For the metadata: how it remembers itself in this bucket.
    #[must_use]
    pub fn memory(&self) -> Hook {
        let memory = Arc::new(Memory {
            store: self.clone(),
            began: Instant::now(),
            found: Mutex::new(None),
        });
        let (reading, writing) = (Arc::clone(&memory), memory);
        Hook {
            read: Arc::new(move || {
                let memory = Arc::clone(&reading);
                Box::pin(async move { memory.read().await })
            }),
            write: Arc::new(move |remembered| {
                let memory = Arc::clone(&writing);
                Box::pin(async move { memory.write(remembered).await })
            }),
        }
    }
}

impl Memory {
    async fn read(&self) -> Result<Option<Remembered>, String> {
        *self.found.lock() = None;
        let found = match self.store.witness().await {
            Ok(found) => found,
            // It remembers nothing. Agents refuse to work with it, and say what to do.
            Err(error @ WitnessError::Unreadable(_)) => {
                tracing::error!(%error, "the bucket does not remember how far the metadata had come");
                None
            }
            Err(error) => return Err(error.to_string()),
        };
        let remembered = found.as_ref().map(|(witness, _)| Remembered {
            cluster: witness.cluster.clone(),
            history: witness.history.unwrap_or(HistoryId(0)),
            point: witness.point,
        });
        *self.found.lock() = found;
        Ok(remembered)
    }

    async fn write(&self, remembered: Remembered) -> Result<(), String> {
        let Some((mut witness, version)) = self.found.lock().take() else {
            return match self.began.elapsed() {
                new if new < NAMELESS_MAX => Ok(()),
                _ => Err("there is no penstock.json, which agents make when they start: is it their bucket?".to_owned()),
            };
        };
        let Remembered {
            cluster,
            history,
            point,
        } = remembered;
        if witness.cluster != cluster {
            return Err(format!("it belongs to cluster {}", witness.cluster));
        }
        (witness.history, witness.point) = (Some(history), point);
        let written = self.store.rewrite_witness(&witness, version).await;
        written.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use metadata::history::Point;
    use metadata::{BucketId, Lsn};
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use tokio::time::sleep;

    use super::*;

    const CLUSTER: &str = "ours";

    fn remembered(lsn: u64) -> Remembered {
        let history = HistoryId(7);
        Remembered {
            cluster: CLUSTER.to_owned(),
            history,
            point: Some(Point {
                history,
                epoch: 3,
                nonce: u64::MAX,
                lsn: Lsn(lsn),
            }),
        }
    }

    fn bucket() -> (Arc<InMemory>, Store) {
        let objects = Arc::new(InMemory::new());
        let store =
            Store::from_object_store(Arc::<InMemory>::clone(&objects), Path::default(), true);
        (objects, store)
    }

    async fn claimed() -> (Arc<InMemory>, Store) {
        let (objects, store) = bucket();
        let witness = Witness::new(CLUSTER, BucketId(1));
        store.claim(&witness).await.unwrap();
        (objects, store)
    }

    #[tokio::test]
    async fn what_is_written_is_remembered_beside_whose_it_is() {
        let (_, store) = claimed().await;
        let memory = store.memory();
        let first = (memory.read)().await.unwrap().unwrap();
        assert_eq!((first.cluster.as_str(), first.point), (CLUSTER, None));
        for lsn in [5, 6, u64::MAX] {
            (memory.write)(remembered(lsn)).await.unwrap();
            let found = (store.memory().read)().await.unwrap();
            assert_eq!(found, Some(remembered(lsn)));
            (memory.read)().await.unwrap();
        }
        let (witness, _) = store.witness().await.unwrap().unwrap();
        assert_eq!(witness.bucket, BucketId(1));
    }

    #[tokio::test]
    async fn nothing_is_written_over_that_was_not_read() {
        let (_, store) = claimed().await;
        let (one, other) = (store.memory(), store.memory());
        (one.read)().await.unwrap();
        (other.read)().await.unwrap();
        (other.write)(remembered(9)).await.unwrap();
        assert!((one.write)(remembered(4)).await.is_err());
        let found = (one.read)().await.unwrap();
        assert_eq!(found, Some(remembered(9)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_does_not_say_whose_it_is_is_not_told_so_by_the_metadata() {
        let (_, store) = bucket();
        let memory = store.memory();
        assert_eq!((memory.read)().await, Ok(None));
        assert_eq!((memory.write)(remembered(1)).await, Ok(()));
        assert!(store.witness().await.unwrap().is_none());
        sleep(NAMELESS_MAX).await;
        let said = (memory.write)(remembered(1)).await.unwrap_err();
        assert!(said.contains("is it their bucket?"), "{said}");
    }

    #[tokio::test]
    async fn a_damaged_one_is_left_alone() {
        let (objects, store) = claimed().await;
        let path = Path::from("penstock.json");
        objects.put(&path, "nonsense".into()).await.unwrap();
        let memory = store.memory();
        assert_eq!((memory.read)().await, Ok(None));
        assert_eq!((memory.write)(remembered(1)).await, Ok(()));
        let there = objects.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(there, "nonsense");
    }

    #[tokio::test]
    async fn another_clusters_is_left_alone() {
        let (_, store) = bucket();
        let witness = Witness::new("theirs", BucketId(1));
        store.claim(&witness).await.unwrap();
        let memory = store.memory();
        let found = (memory.read)().await.unwrap().unwrap();
        assert_eq!(found.cluster, "theirs");
        assert!((memory.write)(remembered(1)).await.is_err());
        assert_eq!(store.witness().await.unwrap().unwrap().0, witness);
    }
}
