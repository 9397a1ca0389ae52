//! Whether a store takes writes, tried with a row that nobody reads. Beside whoever holds the order: that one's writes need
//! the owner's row and the head as it left them, and neither is touched here.

use super::store::{LOG_ROW_BYTES, commit};
use crate::error::Error;
use crate::keys::Key;
use crate::kv::{Kv, KvError, Transaction};
use crate::types::Lsn;

/// The log begins with 1, so this is no part of it. Were it left, it would go with the log at the next checkpoint.
const TRIAL: Key = Key::Log(Lsn(0), 0);
/// The format row rarely changes: once when a store is made, and where the level is raised.
const ATTEMPTS: usize = 3;

/// Writes a row as large as the log's, and clears it. False: the store is empty, and a row alone in it would be taken for
/// damage, so nothing was tried.
///
/// # Errors
/// With the store's reason.
pub(super) async fn takes_writes(kv: &dyn Kv) -> Result<bool, Error> {
    let mut clear = Transaction::default();
    clear.clear(TRIAL.encode());
    let mut last = KvError::Conflict;
    for _ in 0..ATTEMPTS {
        let Some(format) = kv.get(&Key::Format.encode()).await? else {
            return Ok(false);
        };
        let mut write = Transaction::default();
        write.expect(Key::Format.encode(), Some(format));
        // Before the row is there: a role that may not delete leaves none.
        write.clear_range(TRIAL.encode(), Key::Log(Lsn(1), 0).encode());
        write.set(TRIAL.encode(), vec![0; LOG_ROW_BYTES].into());
        match commit(kv, write).await {
            Ok(()) => {
                let cleared = commit(kv, clear).await;
                return cleared.map(|()| true).map_err(|error| left(&error));
            }
            Err(KvError::Conflict | KvError::TooOld) => last = KvError::Conflict,
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.into())
}

fn left(error: &KvError) -> Error {
    Error::unavailable(format!(
        "{error}; what was written to try it is left, which nobody reads, and the next checkpoint clears it"
    ))
}
