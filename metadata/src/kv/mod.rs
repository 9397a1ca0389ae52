//! The store under the metadata: an ordered, transactional map of bytes to bytes. It knows nothing of Kafka, and every
//! backend passes the suite in `contract`.

#[cfg(test)]
mod contract;
#[cfg(feature = "fdb")]
pub(crate) mod foundationdb;
mod memory;
mod over;
#[cfg(test)]
pub(crate) mod over_memory;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod redb;

#[cfg(feature = "fdb")]
pub use self::foundationdb::FoundationDb;
pub use memory::{Fault, Faults, Memory, ReadFault};
pub use over::Over;
#[cfg(feature = "postgres")]
pub use postgres::{Examined, Postgres, PostgresUrl};
pub use redb::Redb;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join;

/// What every backend stays under, whatever it could do: FoundationDB limits values and transactions.
pub const LIMITS: Limits = Limits {
    value_bytes_max: 90 * 1024,
    transaction_bytes_max: 1024 * 1024,
    cleared_rows_max: 10_000,
    cleared_bytes_max: 64 * 1024 * 1024,
};

/// About so many bytes of rows are returned at once.
const RANGE_BYTES: usize = 1024 * 1024;

/// Rows with their keys.
pub type Rows = Vec<(Bytes, Bytes)>;

/// An ordered map of rows with serializable transactions. Keys sort bytewise.
#[async_trait]
pub trait Kv: Send + Sync + fmt::Debug {
    /// The value of a key, as of now.
    ///
    /// # Errors
    /// `TooOld` and `Unavailable` may pass; `Corrupt` does not.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError>;

    /// Rows with keys in `start..end` as of now, from the end that `direction` names, at most `limit` of them and about
    /// 1 MiB. Fewer than `limit` do not mean that there are no more; none does. To go on, ask from behind the last key.
    ///
    /// # Errors
    /// As `get`.
    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError>;

    /// If every expectation holds, all writes happen, in order; else none. Transactions are serializable: what is
    /// expected still holds at the moment of the writes. `Ok` means that they outlive a power cut, where the store can.
    ///
    /// # Errors
    /// Each variant of [`KvError`] says what was written. After `Unknown` the transaction may even happen later, as long
    /// as its expectations hold: whoever must know makes one of them false.
    async fn commit(&self, transaction: Transaction) -> Result<(), KvError>;

    /// The backend's name, for logs.
    fn name(&self) -> &'static str;

    /// Whether no other process can have the store open while this one has: then nobody else writes to it, whatever its rows
    /// say of who does.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// What is wrong, where what is stored would be gone with this process, for its file was removed or replaced: a
    /// sentence for the operator. Known once a call found it out.
    fn displaced(&self) -> Option<String> {
        None
    }

    /// What a transaction may hold.
    fn limits(&self) -> Limits {
        LIMITS
    }
}

/// All rows with keys in `start..end` in order, a page of so many at a time, each of which is on its way while the one
/// before is taken in. `take` says whether to go on.
///
/// # Errors
/// The first of `take` or of a read.
pub(crate) async fn each_page<E: From<KvError>>(
    kv: &dyn Kv,
    start: Bytes,
    end: Bytes,
    rows: usize,
    mut take: impl FnMut(Rows) -> Result<bool, E>,
) -> Result<(), E> {
    let mut page = kv.range(&start, &end, rows, Direction::Forward).await?;
    while let Some((last, _)) = page.last() {
        let behind = [last.as_ref(), &[0]].concat();
        let next = kv.range(&behind, &end, rows, Direction::Forward);
        // The next one is asked for first: what takes a page in does not wait for anything.
        let (next, goes_on) = join(next, async { take(page) }).await;
        if !goes_on? {
            return Ok(());
        }
        page = next?;
    }
    Ok(())
}

/// From which end a range is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// Bounds of values and transactions, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one value, inclusive.
    pub value_bytes_max: usize,
    /// Of [`Transaction::bytes`], inclusive.
    pub transaction_bytes_max: usize,
    /// Of the rows that lie in the ranges that a transaction clears, inclusive. PostgreSQL deletes them one by one, in a
    /// statement that may take 5 s: more might be too old for ever. Who clears more does it in several transactions.
    pub cleared_rows_max: usize,
    /// Of keys and values of those rows, in bytes, inclusive.
    pub cleared_bytes_max: usize,
}

/// What is to be written, and what must be there for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Keys and the values they must have; `None` for absent.
    pub expect: Vec<(Bytes, Option<Bytes>)>,
    /// What changes, in this order: a later write wins over an earlier one.
    pub writes: Vec<Write>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Key and value.
    Set(Bytes, Bytes),
    /// Key.
    Clear(Bytes),
    /// First key, and the first that stays; nothing if they are not in this order. [`Limits`] bound the rows in between.
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
    #[error("a statement or transaction took too long: the store is slow, or has too much to do")]
    TooOld,
    /// It has too much to do just now. Nothing was written; asked again soon, it may.
    #[error("{0}")]
    Busy(String),
    /// A value, the transaction or what its ranges clear is past the limits. Nothing was written.
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
    /// A newer version wrote it; the text names the format found.
    #[error("written in a newer format: {0}")]
    NewerFormat(String),
}

impl Transaction {
    /// The transaction needs `key` to have `value`; `None` for absent.
    pub fn expect(&mut self, key: Bytes, value: Option<Bytes>) -> &mut Self {
        self.expect.push((key, value));
        self
    }

    /// Writes a row, over whatever is there.
    pub fn set(&mut self, key: Bytes, value: Bytes) {
        self.writes.push(Write::Set(key, value));
    }

    /// Removes a row, if it is there.
    pub fn clear(&mut self, key: Bytes) {
        self.writes.push(Write::Clear(key));
    }

    /// Removes the rows with keys in `start..end`, of which [`Limits`] allow so many.
    pub fn clear_range(&mut self, start: Bytes, end: Bytes) {
        self.writes.push(Write::ClearRange(start, end));
    }

    /// Bytes of keys and values to be written, which is what [`Limits`] bound.
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
    /// Bytes of the key, or keys, and the value.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Set(key, value) => key.len() + value.len(),
            Self::Clear(key) => key.len(),
            Self::ClearRange(start, end) => start.len() + end.len(),
        }
    }
}
