//! Stores in memory of which some rows cannot be read, as those on a page of PostgreSQL's that is damaged: nor can they be
//! written over or cleared, and who would do so is told that the store is damaged.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;

use crate::kv::{Direction, Kv, KvError, Memory, Rows, Transaction, Write};

#[derive(Clone, Debug)]
pub(crate) struct Scratched {
    memory: Memory,
    rows: BTreeSet<Bytes>,
    is_of_rows: bool,
}

impl Scratched {
    /// With the keys of rows that are there.
    pub(crate) fn over(memory: &Memory, rows: impl IntoIterator<Item = Bytes>) -> Self {
        Self {
            memory: memory.clone(),
            rows: rows.into_iter().collect(),
            is_of_rows: true,
        }
    }

    /// A store that does not say that its damage is that of rows.
    pub(crate) fn as_a_whole(self) -> Self {
        let is_of_rows = false;
        Self { is_of_rows, ..self }
    }

    fn is_touched_by(&self, write: &Write) -> bool {
        match write {
            Write::Set(key, _) | Write::Clear(key) => self.rows.contains(key),
            Write::ClearRange(start, end) => {
                self.rows.iter().any(|key| (start..end).contains(&key))
            }
        }
    }
}

fn readable(is: bool) -> Result<(), KvError> {
    let said = "PostgreSQL says that invalid page in block 5 of relation base/1/2";
    is.then_some(())
        .ok_or_else(|| KvError::Corrupt(said.to_owned()))
}

#[async_trait]
impl Kv for Scratched {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        readable(!self.rows.contains(key))?;
        self.memory.get(key).await
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        let rows = self.memory.range(start, end, limit, direction).await?;
        readable(!rows.iter().any(|(key, _)| self.rows.contains(key)))?;
        Ok(rows)
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        let mut writes = transaction.writes.iter();
        readable(!writes.any(|write| self.is_touched_by(write)))?;
        self.memory.commit(transaction).await
    }

    fn name(&self) -> &'static str {
        "scratched"
    }

    fn damage_is_of_rows(&self) -> bool {
        self.is_of_rows
    }
}
