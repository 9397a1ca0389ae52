//! Stores that are another one but for what they add: they watch, wait, count or fail.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Direction, Kv, KvError, Limits, Rows, Transaction};

/// A store that is the one below it, but for what is written here. Whoever implements this is a [`Kv`].
pub trait Over: fmt::Debug + Send + Sync {
    /// The store that does what is asked.
    fn below(&self) -> &dyn Kv;

    /// What comes before a read of rows from that key on.
    ///
    /// # Errors
    /// Those of the read, which does not happen then.
    fn before_read(&self, _from: &[u8]) -> impl Future<Output = Result<(), KvError>> + Send {
        async { Ok(()) }
    }

    /// [`Kv::commit`].
    ///
    /// # Errors
    /// As there.
    fn write(&self, transaction: Transaction) -> impl Future<Output = Result<(), KvError>> + Send {
        self.below().commit(transaction)
    }

    /// Waits for a read or a write.
    ///
    /// # Errors
    /// Those of the call.
    fn wait<T: Send>(
        &self,
        call: impl Future<Output = Result<T, KvError>> + Send,
    ) -> impl Future<Output = Result<T, KvError>> + Send {
        call
    }

    /// [`Kv::is_exclusive`].
    fn is_alone(&self) -> bool {
        self.below().is_exclusive()
    }
}

#[async_trait]
impl<T: Over> Kv for T {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.before_read(key).await?;
        self.wait(self.below().get(key)).await
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        self.before_read(start).await?;
        self.wait(self.below().range(start, end, limit, direction))
            .await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.wait(self.write(transaction)).await
    }

    fn name(&self) -> &'static str {
        self.below().name()
    }

    fn is_exclusive(&self) -> bool {
        self.is_alone()
    }

    fn displaced(&self) -> Option<String> {
        self.below().displaced()
    }

    fn limits(&self) -> Limits {
        self.below().limits()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kv::{Memory, contract};

    #[derive(Debug)]
    struct Bare(Arc<dyn Kv>);

    impl Over for Bare {
        fn below(&self) -> &dyn Kv {
            self.0.as_ref()
        }
    }

    #[tokio::test]
    async fn a_store_that_adds_nothing_is_the_one_below() {
        contract::suite(|| Arc::new(Bare(Arc::new(Memory::new())))).await;
    }

    /// Of which nothing is as it is unless told.
    #[derive(Debug)]
    struct Odd;

    const LIMITS: Limits = Limits {
        value_bytes_max: 1,
        ..crate::kv::LIMITS
    };

    #[async_trait]
    impl Kv for Odd {
        async fn get(&self, _: &[u8]) -> Result<Option<Bytes>, KvError> {
            Err(KvError::TooOld)
        }

        async fn range(&self, _: &[u8], _: &[u8], _: usize, _: Direction) -> Result<Rows, KvError> {
            Err(KvError::TooOld)
        }

        async fn commit(&self, _: Transaction) -> Result<(), KvError> {
            Err(KvError::TooOld)
        }

        fn name(&self) -> &'static str {
            "odd"
        }

        fn is_exclusive(&self) -> bool {
            true
        }

        fn displaced(&self) -> Option<String> {
            Some("gone".to_owned())
        }

        fn limits(&self) -> Limits {
            LIMITS
        }
    }

    #[test]
    fn it_says_of_itself_what_the_one_below_says() {
        let kv = Bare(Arc::new(Odd));
        assert_eq!((kv.name(), kv.is_exclusive()), ("odd", true));
        assert_eq!(kv.displaced(), Some("gone".to_owned()));
        assert_eq!(kv.limits(), LIMITS);
    }
}
