//! Rows in FoundationDB, under a prefix of their own. Expectations are serializable reads in the transaction that writes,
//! so the cluster itself sees to it that they still hold. Reads are tried again for a while; commits never are, because
//! only the caller knows what a second attempt would mean. `errors` says what each of the client's errors is to callers,
//! `network` runs the client.

mod errors;
mod network;
#[cfg(test)]
pub(crate) mod test_cluster;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::foundationdb as fdb;
use async_trait::async_trait;
use bytes::Bytes;
use fdb::future::FdbKeyValue;
use fdb::options::{StreamingMode, TransactionOption};
use fdb::{Database, FdbError, RangeOption};
use tokio::time::Instant;

use super::{Direction, Kv, KvError, RANGE_BYTES, Rows, Transaction, Write};

/// A read is given up after so long, with all its attempts; a commit as well, with its only one. The cluster allows a
/// transaction five seconds from its first read.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Between attempts to read: doubled from the first of these up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// How FoundationDB's tuples begin and end a text. No prefix is the beginning of another then.
const TEXT: (u8, u8) = (2, 0);

/// A cluster, and the part of it that is ours. Clones share the connection.
#[derive(Clone)]
pub struct FoundationDb {
    database: Arc<Database>,
    prefix: Bytes,
    time_max: Duration,
}

impl fmt::Debug for FoundationDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundationDb")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl FoundationDb {
    /// Connects to the cluster that the file names; all rows lie in the subspace of the tuple `(prefix,)`. Does not wait
    /// for the cluster: reads and commits do. The first call of a process starts the client's network thread, which
    /// stops when the process exits.
    ///
    /// # Errors
    /// `Unavailable`, with a sentence for the operator, when the file cannot be read or the client does not start.
    pub fn open(cluster_file: &Path, prefix: &str) -> Result<Self, KvError> {
        if prefix.is_empty() || prefix.contains('\0') {
            let text = "the prefix of a FoundationDB store must be a text without zero bytes";
            return Err(KvError::Unavailable(text.to_owned()));
        }
        let shown = cluster_file.display();
        let refused = |why: String| {
            KvError::Unavailable(format!("the cluster file {shown} cannot be used: {why}"))
        };
        // The client would go on without a word and never connect.
        File::open(cluster_file).map_err(|error| refused(error.to_string()))?;
        let path = cluster_file.to_str();
        let path = path.ok_or_else(|| refused("its name is not UTF-8".to_owned()))?;
        network::start()?;
        let database = Database::new(Some(path)).map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            database: Arc::new(database),
            prefix: [&[TEXT.0], prefix.as_bytes(), &[TEXT.1]].concat().into(),
            time_max: TIME_MAX,
        })
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_ref(), key].concat()
    }

    /// A transaction that ends by itself: nothing waits longer than `time` for a cluster that does not answer.
    fn begin(&self, time: Duration) -> Result<fdb::Transaction, FdbError> {
        let transaction = self.database.create_trx()?;
        // Zero would mean for ever.
        let millis = i32::try_from(time.as_millis()).unwrap_or(i32::MAX).max(1);
        transaction.set_option(TransactionOption::Timeout(millis))?;
        Ok(transaction)
    }

    async fn get_once(&self, key: &[u8], time: Duration) -> Result<Option<Bytes>, FdbError> {
        let transaction = self.begin(time)?;
        let found = transaction.get(key, true).await?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    async fn range_once(&self, wanted: &Wanted, time: Duration) -> Result<Rows, FdbError> {
        let transaction = self.begin(time)?;
        let option = RangeOption {
            limit: Some(wanted.limit),
            target_bytes: RANGE_BYTES,
            // All that fits comes in one answer.
            mode: StreamingMode::Exact,
            reverse: wanted.direction == Direction::Backward,
            ..RangeOption::from((wanted.start.as_slice(), wanted.end.as_slice()))
        };
        let found = transaction.get_range(&option, 1, true).await?;
        if found.is_empty() && found.more() {
            // It would pass for the end of the range.
            return Err(FdbError::from_code(errors::OPERATION_FAILED));
        }
        let row = |row: &FdbKeyValue| {
            let key = Bytes::copy_from_slice(&row.key()[self.prefix.len()..]);
            (key, Bytes::copy_from_slice(row.value()))
        };
        Ok(found.iter().map(row).collect())
    }

    /// Whether all expectations hold. The reads are serializable: if anything read here changes before the commit, the
    /// cluster refuses it.
    async fn check(
        &self,
        transaction: &fdb::Transaction,
        expect: &[(Bytes, Option<Bytes>)],
    ) -> Result<bool, FdbError> {
        // All are asked for before the first is waited for.
        let reads = expect.iter().map(|(key, expected)| {
            let found = transaction.get(&self.key(key), false);
            (found, expected)
        });
        for (found, expected) in reads.collect::<Vec<_>>() {
            if found.await?.as_deref() != expected.as_deref() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn write(&self, transaction: &fdb::Transaction, write: &Write) {
        match write {
            Write::Set(key, value) => transaction.set(&self.key(key), value),
            Write::Clear(key) => transaction.clear(&self.key(key)),
            Write::ClearRange(start, end) if start < end => {
                transaction.clear_range(&self.key(start), &self.key(end));
            }
            // The client refuses such a range.
            Write::ClearRange(..) => {}
        }
    }

    /// Everything up to the commit itself: until here nothing can have been written.
    async fn prepare(&self, asked: &Transaction) -> Result<fdb::Transaction, KvError> {
        let uncommitted = |error: FdbError| errors::before_commit(error.code());
        let transaction = self.begin(self.time_max).map_err(uncommitted)?;
        let holds = self.check(&transaction, &asked.expect).await;
        if !holds.map_err(uncommitted)? {
            return Err(KvError::Conflict);
        }
        for write in &asked.writes {
            self.write(&transaction, write);
        }
        Ok(transaction)
    }
}

/// What a range is asked for, with keys as the cluster has them.
struct Wanted {
    start: Vec<u8>,
    end: Vec<u8>,
    limit: usize,
    direction: Direction,
}

/// Attempts to read: as often as it makes sense, until the time is up.
struct Attempts {
    until: Instant,
    pause: Duration,
}

impl Attempts {
    fn begin(time_max: Duration) -> Self {
        Self {
            until: Instant::now() + time_max,
            pause: PAUSE.0,
        }
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Returns when it may be tried again.
    async fn failed(&mut self, error: FdbError) -> Result<(), KvError> {
        if !errors::may_pass(error.code()) || self.left() <= self.pause {
            return Err(errors::before_commit(error.code()));
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
        Ok(())
    }
}

#[async_trait]
impl Kv for FoundationDb {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        let key = self.key(key);
        let mut attempts = Attempts::begin(self.time_max);
        loop {
            match self.get_once(&key, attempts.left()).await {
                Ok(found) => return Ok(found),
                Err(error) => attempts.failed(error).await?,
            }
        }
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        // To the client, no rows are all rows, and an empty range is a mistake.
        if limit == 0 || start >= end {
            return Ok(Rows::new());
        }
        let wanted = Wanted {
            start: self.key(start),
            end: self.key(end),
            limit,
            direction,
        };
        let mut attempts = Attempts::begin(self.time_max);
        loop {
            match self.range_once(&wanted, attempts.left()).await {
                Ok(rows) => return Ok(rows),
                Err(error) => attempts.failed(error).await?,
            }
        }
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        transaction.check(self.limits())?;
        let prepared = self.prepare(&transaction).await?;
        match prepared.commit().await {
            Ok(_) => Ok(()),
            Err(error) => Err(errors::of_commit(error.code())),
        }
    }

    fn name(&self) -> &'static str {
        "foundationdb"
    }
}
