//! Rows in memory, with the faults of a distributed store on demand. For tests, simulation and `--store memory:`.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{Direction, Kv, KvError, RANGE_BYTES, Rows, Transaction, Write};

/// A store that lives as long as its process. Clones share the rows.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    rows: BTreeMap<Bytes, Bytes>,
    /// What happens to the next commits, one each.
    faults: VecDeque<Fault>,
    /// Commits reported as unknown that have yet to land.
    late: Vec<Transaction>,
    /// Everything fails while set.
    away: bool,
    commits: u64,
}

/// What may happen to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// A conflict is reported that is none; nothing is written.
    Conflict,
    /// Written, but the answer is lost.
    UnknownLanded,
    /// Not written, and the answer is lost.
    UnknownLost,
    /// The answer is lost, and it is written only after the next commit, if its expectations hold then.
    UnknownLate,
    TooOld,
    Unavailable,
}

impl Memory {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What happens to the commits to come, in turn; after them nothing does.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().faults.extend(faults);
    }

    /// Lets everything fail, or work again.
    pub fn set_away(&self, away: bool) {
        self.0.lock().away = away;
    }

    /// Commits that were asked for.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.0.lock().commits
    }

    /// All rows, for comparisons.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<Bytes, Bytes> {
        self.0.lock().rows.clone()
    }
}

impl Inner {
    fn check_away(&self) -> Result<(), KvError> {
        match self.away {
            true => Err(KvError::Unavailable("the store is away".to_owned())),
            false => Ok(()),
        }
    }

    fn apply(&mut self, transaction: &Transaction) -> Result<(), KvError> {
        let holds = |(key, value): &(Bytes, Option<Bytes>)| self.rows.get(key) == value.as_ref();
        if !transaction.expect.iter().all(holds) {
            return Err(KvError::Conflict);
        }
        for write in &transaction.writes {
            match write {
                Write::Set(key, value) => {
                    self.rows.insert(key.clone(), value.clone());
                }
                Write::Clear(key) => {
                    self.rows.remove(key);
                }
                Write::ClearRange(start, end) if start < end => {
                    let bounds = (Bound::Included(start.clone()), Bound::Excluded(end.clone()));
                    let keys: Vec<_> = self
                        .rows
                        .range(bounds)
                        .map(|(key, _)| key.clone())
                        .collect();
                    for key in keys {
                        self.rows.remove(&key);
                    }
                }
                Write::ClearRange(..) => {}
            }
        }
        Ok(())
    }

    fn commit(&mut self, transaction: Transaction) -> Result<(), KvError> {
        self.commits += 1;
        self.check_away()?;
        let late = std::mem::take(&mut self.late);
        let unknown = || KvError::Unknown("the answer was lost".to_owned());
        let outcome = match self.faults.pop_front().unwrap_or(Fault::None) {
            Fault::None => self.apply(&transaction),
            Fault::Conflict => Err(KvError::Conflict),
            Fault::UnknownLanded => self.apply(&transaction).and_then(|()| Err(unknown())),
            Fault::UnknownLost => Err(unknown()),
            Fault::UnknownLate => {
                self.late.push(transaction);
                Err(unknown())
            }
            Fault::TooOld => Err(KvError::TooOld),
            Fault::Unavailable => Err(KvError::Unavailable("injected".to_owned())),
        };
        for transaction in late {
            // Lands now, or never: that is its own business.
            let _ = self.apply(&transaction);
        }
        outcome
    }
}

#[async_trait]
impl Kv for Memory {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        let inner = self.0.lock();
        inner.check_away()?;
        Ok(inner.rows.get(key).cloned())
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        let inner = self.0.lock();
        inner.check_away()?;
        if start >= end {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(start), Bound::Excluded(end));
        let rows = inner
            .rows
            .range::<[u8], _>(bounds)
            .map(|(k, v)| (k.clone(), v.clone()));
        Ok(match direction {
            Direction::Forward => page(rows, limit),
            Direction::Backward => page(rows.rev(), limit),
        })
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        transaction.check(self.limits())?;
        self.0.lock().commit(transaction)
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

/// As many rows as one answer holds.
fn page(rows: impl Iterator<Item = (Bytes, Bytes)>, limit: usize) -> Rows {
    let mut bytes = 0;
    let mut page = Vec::new();
    for (key, value) in rows.take(limit) {
        bytes += key.len() + value.len();
        page.push((key, value));
        if bytes >= RANGE_BYTES {
            break;
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_contract() {
        super::super::contract::suite(|| Arc::new(Memory::new())).await;
    }

    fn set(key: &'static [u8], expect: Option<&'static [u8]>) -> Transaction {
        let mut transaction = Transaction::default();
        transaction.expect(Bytes::from_static(key), expect.map(Bytes::from_static));
        transaction.set(Bytes::from_static(key), Bytes::from_static(b"new"));
        transaction
    }

    #[tokio::test]
    async fn faults_do_what_they_say() {
        let memory = Memory::new();
        for (fault, landed) in [
            (Fault::Conflict, false),
            (Fault::UnknownLost, false),
            (Fault::TooOld, false),
            (Fault::Unavailable, false),
            (Fault::UnknownLanded, true),
        ] {
            memory.inject([fault]);
            assert!(memory.commit(set(b"k", None)).await.is_err(), "{fault:?}");
            assert_eq!(
                memory.get(b"k").await.unwrap().is_some(),
                landed,
                "{fault:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_late_commit_lands_after_the_next_one_if_it_still_may() {
        let memory = Memory::new();
        memory.inject([Fault::UnknownLate]);
        assert!(memory.commit(set(b"a", None)).await.is_err());
        assert_eq!(memory.get(b"a").await.unwrap(), None);
        memory.commit(set(b"b", None)).await.unwrap();
        assert!(memory.get(b"a").await.unwrap().is_some());

        memory.inject([Fault::UnknownLate]);
        assert!(memory.commit(set(b"c", None)).await.is_err());
        memory.commit(set(b"c", None)).await.unwrap();
        assert_eq!(memory.rows().len(), 3);
    }
}
