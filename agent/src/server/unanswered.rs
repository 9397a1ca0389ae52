//! Sees that a metadata store which does not answer is told of in seconds, in the log and by `/health/ready`: a call that
//! a frozen database holds up is given up much later. Wrapped around each store that is served from.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metadata::kv::{Kv, KvError, Over};
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

impl Over for Watched {
    fn below(&self) -> &dyn Kv {
        self.kv.as_ref()
    }

    async fn wait<T: Send>(
        &self,
        call: impl Future<Output = Result<T, KvError>> + Send,
    ) -> Result<T, KvError> {
        tokio::pin!(call);
        if let Ok(done) = timeout(SILENT_AFTER, &mut call).await {
            return done;
        }
        let _silent = Silent::begin(&self.silent);
        call.await
    }
}

#[cfg(test)]
mod tests {
    use metadata::kv::{Memory, Transaction};
    use tokio::time::sleep;

    use super::*;

    /// Takes 20 seconds for whatever it is asked.
    #[derive(Debug)]
    struct Slow(Memory);

    impl Over for Slow {
        fn below(&self) -> &dyn Kv {
            &self.0
        }

        async fn wait<T: Send>(
            &self,
            call: impl Future<Output = Result<T, KvError>> + Send,
        ) -> Result<T, KvError> {
            sleep(Duration::from_secs(20)).await;
            call.await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_silent_is_counted_until_it_is_answered_or_given_up() {
        let (kv, silent) = Watched::over(Arc::new(Slow(Memory::new())));
        let nothing = Transaction::default();
        let now = || silent.load(Ordering::Relaxed);
        let look = async {
            sleep(Duration::from_secs(4)).await;
            assert_eq!(now(), 0, "it may still come");
            sleep(Duration::from_secs(2)).await;
            assert_eq!(now(), 2);
        };
        let (one, two, ()) = tokio::join!(kv.get(b"a"), kv.commit(nothing), look);
        assert_eq!((one, two, now()), (Ok(None), Ok(()), 0));
        let given_up = timeout(Duration::from_secs(10), kv.get(b"a")).await;
        assert!(given_up.is_err());
        assert_eq!(now(), 0);
        assert_eq!((kv.name(), kv.is_exclusive()), ("memory", false));
    }
}
