//! Stores in memory that do something of a test's own with what they are asked.

use std::fmt;

use async_trait::async_trait;

use crate::kv::{Kv, KvError, Memory, Over, Transaction};

/// [`Over`] a memory, as tests write it.
#[async_trait]
pub(crate) trait OverMemory: fmt::Debug + Send + Sync {
    fn memory(&self) -> &Memory;

    /// [`Over::before_read`].
    async fn before_read(&self, _from: &[u8]) -> Result<(), KvError> {
        Ok(())
    }

    /// [`Over::write`].
    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        self.memory().commit(transaction).await
    }

    /// [`Over::is_alone`].
    fn is_alone(&self) -> bool {
        false
    }
}

impl<T: OverMemory> Over for T {
    fn below(&self) -> &dyn Kv {
        self.memory()
    }

    async fn before_read(&self, from: &[u8]) -> Result<(), KvError> {
        OverMemory::before_read(self, from).await
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        OverMemory::write(self, transaction).await
    }

    fn is_alone(&self) -> bool {
        OverMemory::is_alone(self)
    }
}
