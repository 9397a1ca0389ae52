//! One call's work on the open database.

use std::io::ErrorKind;

use bytes::Bytes;
use redb::{
    CommitError, Database, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
    TableError,
};

use crate::kv::{Direction, KvError, RANGE_BYTES, Rows, Transaction, Write};

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");

/// Whether the database can be used after a failure.
pub(super) enum Failed {
    Plain(KvError),
    /// It must be opened anew.
    Poisoned(KvError),
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        let text = error.to_string();
        match error {
            StorageError::Corrupted(_) => Self::Plain(KvError::Corrupt(text)),
            // The file was cut off under the process. Before it commits, redb makes it longer.
            StorageError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Self::Poisoned(KvError::Corrupt(format!("the file is cut off: {text}")))
            }
            StorageError::ValueTooLarge(_) => Self::Plain(KvError::TooLarge),
            _ => Self::Poisoned(KvError::Unavailable(text)),
        }
    }
}

impl From<TableError> for Failed {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            error => Self::Plain(KvError::Corrupt(error.to_string())),
        }
    }
}

impl From<redb::TransactionError> for Failed {
    fn from(error: redb::TransactionError) -> Self {
        match error {
            redb::TransactionError::Storage(error) => error.into(),
            error => Self::Poisoned(KvError::Unavailable(error.to_string())),
        }
    }
}

impl From<CommitError> for Failed {
    fn from(error: CommitError) -> Self {
        // The header may or may not have reached the disk.
        Self::Poisoned(KvError::Unknown(error.to_string()))
    }
}

pub(super) fn get(database: &Database, key: &[u8]) -> Result<Option<Bytes>, Failed> {
    let table = match database.begin_read()?.open_table(ROWS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(table
        .get(key)?
        .map(|value| Bytes::copy_from_slice(value.value())))
}

pub(super) fn range(
    database: &Database,
    start: &[u8],
    end: &[u8],
    limit: usize,
    direction: Direction,
) -> Result<Rows, Failed> {
    if start >= end {
        return Ok(Vec::new());
    }
    let table = match database.begin_read()?.open_table(ROWS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = table.range::<&[u8]>(start..end)?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while rows.len() < limit && bytes < RANGE_BYTES {
        let row = match direction {
            Direction::Forward => found.next(),
            Direction::Backward => found.next_back(),
        };
        let Some(row) = row else { break };
        let (key, value) = row?;
        let (key, value) = (key.value(), value.value());
        bytes += key.len() + value.len();
        rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
    }
    Ok(rows)
}

pub(super) fn commit(database: &Database, transaction: &Transaction) -> Result<(), Failed> {
    // redb's default, Durability::Immediate in one phase: one fsync, and a checksum tells a half-written commit.
    let writing = database.begin_write()?;
    {
        let mut table = writing.open_table(ROWS)?;
        for (key, expected) in &transaction.expect {
            let found = table.get(key.as_ref())?;
            if found.as_ref().map(|value| value.value()) != expected.as_deref() {
                return Err(Failed::Plain(KvError::Conflict));
            }
        }
        for write in &transaction.writes {
            match write {
                Write::Set(key, value) => {
                    table.insert(key.as_ref(), value.as_ref())?;
                }
                Write::Clear(key) => {
                    table.remove(key.as_ref())?;
                }
                Write::ClearRange(start, end) if start < end => {
                    table.retain_in::<&[u8], _>(start.as_ref()..end.as_ref(), |_, _| false)?;
                }
                Write::ClearRange(..) => {}
            }
        }
    }
    writing.commit()?;
    Ok(())
}
