//! What the bucket remembers of the metadata: a small object, written by the one that holds the order at most every
//! [`WRITE_INTERVAL`] and off the path of acknowledgements, and read before anybody takes over. The bucket is another
//! system than the store, so it rarely goes back in time together with it.
//!
//! A witness that cannot be written stops nothing: it gets older, and proves less. One that cannot be read is waited for:
//! a store and a bucket that fail together are no accident, and what is acknowledged on a store that went back cannot be
//! mended afterwards; while the bucket is away nothing can be produced anyhow. Only a candidate goes on without that saw a
//! holder write, or agreed with the witness, and has looked at the store all the while since: what it saw last is as new as
//! what the witness could know by now (`sequencer/seen.rs`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::history::{HistoryId, Point};

/// Between two writes of the witness.
pub const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// A read or a write that takes longer has failed.
pub const TIME_MAX: Duration = Duration::from_secs(10);

/// What a bucket says of the metadata that named its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// [`crate::Metadata::cluster_id`].
    pub cluster: String,
    pub history: HistoryId,
    /// The last durable point when this was written; `None` before the first one.
    pub point: Option<Point>,
}

/// Reads what the bucket remembers; `None` if nobody wrote anything yet. The error says why, to a person.
pub type Read =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Option<Remembered>, String>> + Send + Sync>;
/// Writes it.
pub type Write = Arc<dyn Fn(Remembered) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// How a sequencer reaches the witness. Neither takes long: both are given up after [`TIME_MAX`].
#[derive(Clone)]
pub struct Witness {
    pub read: Read,
    pub write: Write,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").finish_non_exhaustive()
    }
}
