//! Sees that a metadata store which does not answer is told of in seconds, in the log and by `/health/ready`: a call that
//! a frozen database holds up is given up much later. Why one failed is noted for that page, too. Wrapped around each store
//! that is served from.

use std::sync::Arc;
use std::time::Duration;

use metadata::kv::{Kv, KvError, Over, Transaction};
use tokio::time::timeout;

use super::metadata_store::says_disk_full;
use crate::http::{Failure, StoreCalls};

/// A store takes milliseconds, most of the time.
const SILENT_AFTER: Duration = Duration::from_secs(5);

/// The store, and how its calls go.
#[derive(Debug)]
pub(super) struct Watched {
    kv: Arc<dyn Kv>,
    calls: Arc<StoreCalls>,
}

impl Watched {
    pub(super) fn over(kv: Arc<dyn Kv>) -> (Arc<dyn Kv>, Arc<StoreCalls>) {
        let calls = Arc::<StoreCalls>::default();
        let watched = Self {
            kv,
            calls: Arc::clone(&calls),
        };
        (Arc::new(watched), calls)
    }

    fn note<T>(&self, done: Result<T, KvError>) -> Result<T, KvError> {
        match &done {
            // Of a store that is well.
            Ok(_) | Err(KvError::Conflict | KvError::TooLarge) => {}
            Err(error) => {
                let why = error.to_string();
                // A database says itself whose disk it is.
                let no_room = says_disk_full(&why) && !why.contains("make room");
                self.calls.failed(Failure { why, no_room });
            }
        }
        done
    }
}

/// A call that is silent, until it is answered or nobody waits for it any more.
struct Silent<'a>(&'a StoreCalls);

impl<'a> Silent<'a> {
    fn begin(all: &'a StoreCalls) -> Self {
        if all.falls_silent() == 0 {
            let seconds = SILENT_AFTER.as_secs();
            tracing::warn!(seconds, "the metadata store does not answer");
        }
        Self(all)
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        if self.0.is_over() == 0 {
            tracing::info!("the metadata store is not waited for any more");
        }
    }
}

impl Over for Watched {
    fn below(&self) -> &dyn Kv {
        self.kv.as_ref()
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        self.kv.commit(transaction).await?;
        self.calls.was_written();
        Ok(())
    }

    async fn wait<T: Send>(
        &self,
        call: impl Future<Output = Result<T, KvError>> + Send,
    ) -> Result<T, KvError> {
        tokio::pin!(call);
        if let Ok(done) = timeout(SILENT_AFTER, &mut call).await {
            return self.note(done);
        }
        let _silent = Silent::begin(&self.calls);
        self.note(call.await)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use metadata::kv::Memory;
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
        let (kv, calls) = Watched::over(Arc::new(Slow(Memory::new())));
        let nothing = Transaction::default();
        let now = || calls.silent();
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

    /// Has no room until told that it has.
    #[derive(Debug)]
    struct Full(Memory, Arc<AtomicBool>);

    impl Over for Full {
        fn below(&self) -> &dyn Kv {
            &self.0
        }

        async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
            if self.1.load(Ordering::Relaxed) {
                return self.0.commit(transaction).await;
            }
            let why = "I/O error: No space left on device (os error 28)";
            Err(KvError::Unavailable(why.to_owned()))
        }
    }

    #[tokio::test]
    async fn why_it_could_not_be_written_is_known_until_it_is() {
        let room = Arc::<AtomicBool>::default();
        let full = Full(Memory::new(), Arc::clone(&room));
        let (kv, calls) = Watched::over(Arc::new(full));
        assert!(kv.commit(Transaction::default()).await.is_err());
        assert_eq!(kv.get(b"a").await, Ok(None));
        let said = calls.unwritable();
        for part in ["No space left on device", "make room on its disk"] {
            assert!(said.contains(part), "{said}");
        }
        room.store(true, Ordering::Relaxed);
        assert_eq!(kv.commit(Transaction::default()).await, Ok(()));
        assert_eq!(calls.unwritable(), "the metadata store cannot be written");
    }
}
