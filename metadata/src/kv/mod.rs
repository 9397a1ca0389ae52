//! The store under the metadata: an ordered, transactional map of bytes to bytes. It knows nothing of Kafka, and every
//! backend passes the suite in `contract`.

#[cfg(test)]
mod contract;
mod memory;
mod redb;

pub use memory::{Fault, Memory};
pub use redb::Redb;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

/// What every backend stays under, whatever it could do: FoundationDB limits values and transactions.
pub const LIMITS: Limits = Limits {
    value_bytes_max: 90 * 1024,
    transaction_bytes_max: 1024 * 1024,
};

/// About so many bytes of rows are returned at once.
const RANGE_BYTES: usize = 1024 * 1024;

/// Rows with their keys.
pub type Rows = Vec<(Bytes, Bytes)>;

/// An ordered map of rows with serializable transactions. Keys sort bytewise.
#[async_trait]
pub trait Kv: Send + Sync + fmt::Debug {
    /// The value of a key.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError>;

    /// Rows with keys in `start..end`, at most `limit` of them and about 1 MiB; fewer do not mean that there are no more,
    /// none does.
    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError>;

    /// If every expectation holds, all writes happen, in order; else none.
    async fn commit(&self, transaction: Transaction) -> Result<(), KvError>;

    /// The backend's name, for logs.
    fn name(&self) -> &'static str;

    /// What a transaction may hold.
    fn limits(&self) -> Limits {
        LIMITS
    }
}

/// From which end a range is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

/// Bounds of values and transactions, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub value_bytes_max: usize,
    pub transaction_bytes_max: usize,
}

/// What is to be written, and what must be there for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Keys and the values they must have; `None` for absent.
    pub expect: Vec<(Bytes, Option<Bytes>)>,
    pub writes: Vec<Write>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Set(Bytes, Bytes),
    Clear(Bytes),
    /// Half-open.
    ClearRange(Bytes, Bytes),
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// An expectation does not hold. Nothing was written.
    #[error("the rows changed meanwhile")]
    Conflict,
    /// It may have happened, or may still.
    #[error("the outcome of a transaction is unknown: {0}")]
    Unknown(String),
    /// The transaction took too long. Nothing was written.
    #[error("the transaction is too old")]
    TooOld,
    /// A value or the transaction is past the limits. Nothing was written.
    #[error("the transaction is too large")]
    TooLarge,
    /// The store does not answer, or has no room. Nothing was written.
    #[error("{0}")]
    Unavailable(String),
    /// What is stored cannot be read.
    #[error("{0}")]
    Corrupt(String),
    /// Another process has it open.
    #[error("{0}")]
    InUse(String),
    /// A newer version wrote it.
    #[error("{0}")]
    NewerFormat(String),
}

impl Transaction {
    /// The transaction needs `key` to have `value`.
    pub fn expect(&mut self, key: Bytes, value: Option<Bytes>) {
        self.expect.push((key, value));
    }

    pub fn set(&mut self, key: Bytes, value: Bytes) {
        self.writes.push(Write::Set(key, value));
    }

    pub fn clear(&mut self, key: Bytes) {
        self.writes.push(Write::Clear(key));
    }

    /// Clears `start..end`.
    pub fn clear_range(&mut self, start: Bytes, end: Bytes) {
        self.writes.push(Write::ClearRange(start, end));
    }

    /// Bytes of keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.writes.iter().map(Write::bytes).sum()
    }

    /// Whether it stays under the limits.
    fn check(&self, limits: Limits) -> Result<(), KvError> {
        let value_fits = |write: &Write| match write {
            Write::Set(_, value) => value.len() <= limits.value_bytes_max,
            Write::Clear(_) | Write::ClearRange(..) => true,
        };
        let fits =
            self.bytes() <= limits.transaction_bytes_max && self.writes.iter().all(value_fits);
        if fits { Ok(()) } else { Err(KvError::TooLarge) }
    }
}

impl Write {
    fn bytes(&self) -> usize {
        match self {
            Self::Set(key, value) => key.len() + value.len(),
            Self::Clear(key) => key.len(),
            Self::ClearRange(start, end) => start.len() + end.len(),
        }
    }
}
