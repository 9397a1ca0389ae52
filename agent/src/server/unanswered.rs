//! Sees that a metadata store which does not answer is told of in seconds, in the log and by `/health/ready`: a call that
//! a frozen database holds up is given up much later. Wrapped around each store that is served from.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use metadata::kv::{Direction, Kv, KvError, Limits, Rows, Transaction};
use tokio::time::timeout;

/// A store takes milliseconds, most of the time.
const SILENT_AFTER: Duration = Duration::from_secs(5);

/// The store, and how many of its calls have been silent for so long.
#[derive(Debug)]
pub(super) struct Watched {
    kv: Arc<dyn Kv>,
    silent: Arc<AtomicUsize>,
}

impl Watched {
    pub(super) fn over(kv: Arc<dyn Kv>) -> (Arc<dyn Kv>, Arc<AtomicUsize>) {
        let silent = Arc::new(AtomicUsize::new(0));
        let watched = Self {
            kv,
            silent: Arc::clone(&silent),
        };
        (Arc::new(watched), silent)
    }

    async fn watch<T>(&self, call: impl Future<Output = T>) -> T {
        tokio::pin!(call);
        if let Ok(done) = timeout(SILENT_AFTER, &mut call).await {
            return done;
        }
        let _silent = Silent::begin(&self.silent);
        call.await
    }
}

/// A call that is silent, until it is answered or nobody waits for it any more.
struct Silent<'a>(&'a AtomicUsize);

impl<'a> Silent<'a> {
    fn begin(all: &'a AtomicUsize) -> Self {
        if all.fetch_add(1, Ordering::Relaxed) == 0 {
            let seconds = SILENT_AFTER.as_secs();
            tracing::warn!(seconds, "the metadata store does not answer");
        }
        Self(all)
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            tracing::info!("the metadata store is not waited for any more");
        }
    }
}

#[async_trait]
impl Kv for Watched {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.watch(self.kv.get(key)).await
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        self.watch(self.kv.range(start, end, limit, direction))
            .await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.watch(self.kv.commit(transaction)).await
    }

    fn name(&self) -> &'static str {
        self.kv.name()
    }

    fn is_exclusive(&self) -> bool {
        self.kv.is_exclusive()
    }

    fn limits(&self) -> Limits {
        self.kv.limits()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Takes so many seconds for a read.
    #[derive(Debug)]
    struct Slow(u64);

    #[async_trait]
    impl Kv for Slow {
        async fn get(&self, _: &[u8]) -> Result<Option<Bytes>, KvError> {
            sleep(Duration::from_secs(self.0)).await;
            Ok(None)
        }

        async fn range(&self, _: &[u8], _: &[u8], _: usize, _: Direction) -> Result<Rows, KvError> {
            Ok(Rows::new())
        }

        async fn commit(&self, _: Transaction) -> Result<(), KvError> {
            Err(KvError::Conflict)
        }

        fn name(&self) -> &'static str {
            "slow"
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_silent_is_counted_until_it_is_answered_or_given_up() {
        let (kv, silent) = Watched::over(Arc::new(Slow(20)));
        let now = || silent.load(Ordering::Relaxed);
        let look = async {
            sleep(Duration::from_secs(4)).await;
            assert_eq!(now(), 0, "it may still come");
            sleep(Duration::from_secs(2)).await;
            assert_eq!(now(), 2);
        };
        let (one, two, ()) = tokio::join!(kv.get(b"a"), kv.get(b"b"), look);
        assert_eq!((one, two, now()), (Ok(None), Ok(None), 0));
        let given_up = timeout(Duration::from_secs(10), kv.get(b"a")).await;
        assert!(given_up.is_err());
        assert_eq!(now(), 0);
        assert_eq!((kv.name(), kv.is_exclusive()), ("slow", false));
    }
}
