//! The stores that are measured, each behind one that counts and times its transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metadata::kv::{Kv, KvError, Memory, Over, Redb, Transaction};
use parking_lot::Mutex;
use tokio::time::Instant;

#[cfg(feature = "postgres")]
#[expect(
    dead_code,
    unreachable_pub,
    clippy::panic,
    reason = "it is written for tests"
)]
#[path = "../../src/kv/postgres/tests/server.rs"]
mod server;

/// Where the metadata is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Store {
    Memory,
    /// A file in the folder for temporary files
    Redb,
    /// A server of its own in the same folder, from Debian's packages, with fsync on, and files of its log made beforehand
    /// as on one that has worked for a while
    #[cfg(feature = "postgres")]
    Postgres,
}

/// Files of its log are used again rather than made anew, which takes 10 ms and more each.
#[cfg(feature = "postgres")]
const WITH_OLD_LOG: [&str; 2] = ["min_wal_size=2GB", "max_wal_size=8GB"];
#[cfg(feature = "postgres")]
const OLD_LOG_FILES: usize = 100;

#[cfg(feature = "postgres")]
fn make_old_log(server: &server::Server) {
    for _ in 0..OLD_LOG_FILES {
        server.sql("postgres", "SELECT pg_logical_emit_message(true, '', '')");
        server.sql("postgres", "SELECT pg_switch_wal()");
    }
    server.sql("postgres", "CHECKPOINT");
}

/// A store that is empty, gone when dropped.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) kv: Arc<Counted>,
    _folder: tempfile::TempDir,
    #[cfg(feature = "postgres")]
    _server: Option<server::Server>,
}

pub(crate) async fn open(store: Store) -> anyhow::Result<Opened> {
    let folder = tempfile::tempdir()?;
    #[cfg(feature = "postgres")]
    let mut _server = None;
    let kv: Arc<dyn Kv> = match store {
        Store::Memory => Arc::new(Memory::new()),
        Store::Redb => Arc::new(Redb::open(&folder.path().join("store.redb"))?),
        #[cfg(feature = "postgres")]
        Store::Postgres => {
            let server = server::Server::with(&WITH_OLD_LOG, |_| {})
                .ok_or_else(|| anyhow::anyhow!("PostgreSQL is not installed"))?;
            make_old_log(&server);
            let url: metadata::kv::PostgresUrl = server
                .url("sslmode=disable")
                .parse()
                .map_err(anyhow::Error::msg)?;
            _server = Some(server);
            Arc::new(metadata::kv::Postgres::open(&url).await?)
        }
    };
    Ok(Opened {
        kv: Arc::new(Counted {
            kv,
            took: Mutex::default(),
            conflicts: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        }),
        _folder: folder,
        #[cfg(feature = "postgres")]
        _server,
    })
}

/// When a transaction began, and how long it took.
pub(crate) type Took = (Instant, Duration);

/// Counts and times what the store is asked.
#[derive(Debug)]
pub(crate) struct Counted {
    kv: Arc<dyn Kv>,
    took: Mutex<Vec<Took>>,
    conflicts: AtomicU64,
    bytes: AtomicU64,
    reads: AtomicU64,
}

impl Counted {
    /// Bytes written and reads asked for since this was last asked.
    pub(crate) fn take_traffic(&self) -> (u64, u64) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        (bytes, self.reads.swap(0, Ordering::Relaxed))
    }

    /// What happened since this was last asked: when transactions began and how long they took, and how many met conflicts.
    pub(crate) fn take(&self) -> (Vec<Took>, u64) {
        let took = std::mem::take(&mut *self.took.lock());
        (took, self.conflicts.swap(0, Ordering::Relaxed))
    }
}

impl Over for Counted {
    fn below(&self) -> &dyn Kv {
        self.kv.as_ref()
    }

    async fn before_read(&self, _: &[u8]) -> Result<(), KvError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        let begun = Instant::now();
        let bytes = u64::try_from(transaction.bytes()).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let done = self.kv.commit(transaction).await;
        match &done {
            Ok(()) => self.took.lock().push((begun, begun.elapsed())),
            Err(KvError::Conflict) => drop(self.conflicts.fetch_add(1, Ordering::Relaxed)),
            Err(_) => {}
        }
        done
    }
}
