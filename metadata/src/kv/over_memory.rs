//! Stores in memory that do something of a test's own with what they are asked.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::kv::{Direction, Kv, KvError, Memory, Rows, Transaction};

/// A store that is the memory below it, but for what is written here.
#[async_trait]
pub(crate) trait OverMemory: fmt::Debug + Send + Sync {
    fn memory(&self) -> &Memory;

    /// What comes before a read of rows from that key on.
    async fn before_read(&self, _from: &[u8]) -> Result<(), KvError> {
        Ok(())
    }

    /// [`Kv::commit`].
    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        self.memory().commit(transaction).await
    }

    /// See [`Kv::is_exclusive`].
    fn is_alone(&self) -> bool {
        false
    }
}

#[async_trait]
impl<T: OverMemory> Kv for T {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.before_read(key).await?;
        self.memory().get(key).await
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        self.before_read(start).await?;
        self.memory().range(start, end, limit, direction).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.write(transaction).await
    }

    fn name(&self) -> &'static str {
        "over memory"
    }

    fn is_exclusive(&self) -> bool {
        self.is_alone()
    }
}
