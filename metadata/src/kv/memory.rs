//! Rows in memory, with the faults of a distributed store on demand. For tests, simulation and `--store memory:`.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{Direction, Kv, KvError, LIMITS, RANGE_BYTES, Rows, Transaction, Write};

/// A store that lives as long as its process. Clones share the rows.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Inner>>);

/// What goes wrong with a [`Memory`], and when. Clones steer the same store.
#[derive(Clone, Debug)]
pub struct Faults(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    rows: BTreeMap<Bytes, Bytes>,
    plan: Plan,
    /// Commits reported as unknown that have yet to land.
    late: Vec<Late>,
    transactions: u64,
}

/// The faults to come.
#[derive(Debug, Default)]
struct Plan {
    commits: VecDeque<Fault>,
    reads: VecDeque<ReadFault>,
    random: Option<Chance>,
    /// Everything fails while set.
    away: bool,
}

#[derive(Debug)]
struct Late {
    /// Operations that still go first.
    operations: u32,
    transaction: Transaction,
}

#[derive(Debug)]
struct Chance {
    random: SplitMix,
    per_mille: u64,
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
    /// The answer is lost, and it is written only after so many more operations (reads count), if its expectations hold
    /// then.
    UnknownLate { operations: u32 },
    /// It took too long; nothing is written.
    TooOld,
    /// Nothing is written.
    Unavailable,
    /// There is too much to do; nothing is written.
    Busy,
    /// It happens as it should, after the caller has let others run so many times.
    Delay { yields: u32 },
}

/// What may happen to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// Nothing.
    None,
    /// It took too long.
    TooOld,
    /// The store does not answer.
    Unavailable,
    /// It happens as it should, after the caller has let others run so many times.
    Delay { yields: u32 },
}

impl Memory {
    /// An empty store in which nothing fails.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that holds these rows.
    #[must_use]
    pub fn of(rows: BTreeMap<Bytes, Bytes>) -> Self {
        let inner = Inner {
            rows,
            ..Inner::default()
        };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// The handle that makes this store fail.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults(Arc::clone(&self.0))
    }

    /// Commits that were asked for, whatever became of them; those past the limits are not counted.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.0.lock().transactions
    }

    /// All rows, for comparisons. No fault touches it, and it is no operation.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<Bytes, Bytes> {
        self.0.lock().rows.clone()
    }

    /// A store of its own with the rows of this one, in which nothing fails.
    #[must_use]
    pub fn copy(&self) -> Self {
        let rows = self.snapshot();
        Self(Arc::new(Mutex::new(Inner {
            rows,
            ..Inner::default()
        })))
    }

    /// Waits its turn; then the read may happen.
    async fn before_read(&self) -> Result<(), KvError> {
        let fault = self.0.lock().begin_read()?;
        match fault {
            ReadFault::None => Ok(()),
            ReadFault::TooOld => Err(KvError::TooOld),
            ReadFault::Unavailable => Err(unavailable()),
            ReadFault::Delay { yields } => {
                yield_times(yields).await;
                Ok(())
            }
        }
    }
}

impl Faults {
    /// What happens to the commits to come, in turn. After them it is chance's turn, if [`Self::at_random`] was asked for.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().plan.commits.extend(faults);
    }

    /// What happens to the reads to come, in turn.
    pub fn inject_reads(&self, faults: impl IntoIterator<Item = ReadFault>) {
        self.0.lock().plan.reads.extend(faults);
    }

    /// From now on so many of 1000 operations meet a fault, each kind as often. The same seed and the same operations make
    /// the same faults.
    pub fn at_random(&self, seed: u64, per_mille: u16) {
        self.0.lock().plan.random = Some(Chance {
            random: SplitMix(seed),
            per_mille: per_mille.into(),
        });
    }

    /// Everything is unavailable until [`Self::cease`].
    pub fn go_away(&self) {
        self.0.lock().plan.away = true;
    }

    /// The store holds these rows from now on, as when a backup is brought back; returns what it held.
    #[must_use]
    pub fn put_back(&self, rows: BTreeMap<Bytes, Bytes>) -> BTreeMap<Bytes, Bytes> {
        mem::replace(&mut self.0.lock().rows, rows)
    }

    /// No more faults. What is late still is: see [`Self::land`].
    pub fn cease(&self) {
        self.0.lock().plan = Plan::default();
    }

    /// Whatever is late happens now, oldest first, as far as its expectations hold.
    pub fn land(&self) {
        let mut inner = self.0.lock();
        for late in mem::take(&mut inner.late) {
            inner.try_apply(&late.transaction);
        }
    }
}

impl Inner {
    /// An operation starts: what was late enough happens before it.
    fn begin(&mut self) -> Result<(), KvError> {
        for mut late in mem::take(&mut self.late) {
            match late.operations.checked_sub(1) {
                None => self.try_apply(&late.transaction),
                Some(operations) => {
                    late.operations = operations;
                    self.late.push(late);
                }
            }
        }
        if self.plan.away {
            return Err(unavailable());
        }
        Ok(())
    }

    fn begin_read(&mut self) -> Result<ReadFault, KvError> {
        self.begin()?;
        let planned = self.plan.reads.pop_front();
        let drawn = || self.plan.random.as_mut().map(Chance::read_fault);
        Ok(planned.or_else(drawn).unwrap_or(ReadFault::None))
    }

    fn begin_commit(&mut self) -> Result<Fault, KvError> {
        self.transactions += 1;
        self.begin()?;
        let planned = self.plan.commits.pop_front();
        let drawn = || self.plan.random.as_mut().map(Chance::fault);
        Ok(planned.or_else(drawn).unwrap_or(Fault::None))
    }

    fn commit(&mut self, transaction: Transaction, fault: Fault) -> Result<(), KvError> {
        let unknown = || KvError::Unknown("the answer was lost".to_owned());
        match fault {
            Fault::None | Fault::Delay { .. } => self.apply(&transaction),
            Fault::Conflict => Err(KvError::Conflict),
            Fault::UnknownLanded => {
                // Nor does the caller hear that it was a conflict.
                self.try_apply(&transaction);
                Err(unknown())
            }
            Fault::UnknownLost => Err(unknown()),
            Fault::UnknownLate { operations } => {
                self.late.push(Late {
                    operations,
                    transaction,
                });
                Err(unknown())
            }
            Fault::TooOld => Err(KvError::TooOld),
            Fault::Unavailable => Err(unavailable()),
            Fault::Busy => Err(KvError::Busy("the store is busy".to_owned())),
        }
    }

    /// Nobody waits for the outcome.
    fn try_apply(&mut self, transaction: &Transaction) {
        let _ = self.apply(transaction);
    }

    fn apply(&mut self, transaction: &Transaction) -> Result<(), KvError> {
        let holds = |(key, value): &(Bytes, Option<Bytes>)| self.rows.get(key) == value.as_ref();
        if !transaction.expect.iter().all(holds) {
            return Err(KvError::Conflict);
        }
        self.check_cleared(transaction)?;
        for write in &transaction.writes {
            match write {
                Write::Set(key, value) => {
                    self.rows.insert(key.clone(), value.clone());
                }
                Write::Clear(key) => {
                    self.rows.remove(key);
                }
                Write::ClearRange(start, end) => self.clear_range(start, end),
            }
        }
        Ok(())
    }

    /// That other stores can clear so much at once. This one could clear any, but then tests would not show who asks for
    /// too much.
    fn check_cleared(&self, transaction: &Transaction) -> Result<(), KvError> {
        let (mut rows, mut bytes) = (0, 0);
        for write in &transaction.writes {
            let Write::ClearRange(start, end) = write else {
                continue;
            };
            if start >= end {
                continue;
            }
            for (key, value) in self.rows.range(start.clone()..end.clone()) {
                rows += 1;
                bytes += key.len() + value.len();
                if rows > LIMITS.cleared_rows_max || bytes > LIMITS.cleared_bytes_max {
                    return Err(KvError::TooLarge);
                }
            }
        }
        Ok(())
    }

    fn clear_range(&mut self, start: &Bytes, end: &Bytes) {
        if start >= end {
            return;
        }
        // Ranges cleared are short and rows many, so the map is not taken apart.
        let found = self.rows.range(start.clone()..end.clone());
        let keys: Vec<_> = found.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.rows.remove(&key);
        }
    }
}

#[async_trait]
impl Kv for Memory {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.before_read().await?;
        Ok(self.0.lock().rows.get(key).cloned())
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        self.before_read().await?;
        if start >= end {
            return Ok(Vec::new());
        }
        let inner = self.0.lock();
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
        let fault = self.0.lock().begin_commit()?;
        if let Fault::Delay { yields } = fault {
            yield_times(yields).await;
        }
        self.0.lock().commit(transaction, fault)
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

fn unavailable() -> KvError {
    KvError::Unavailable("the store is away".to_owned())
}

async fn yield_times(yields: u32) {
    for _ in 0..yields {
        tokio::task::yield_now().await;
    }
}

impl Chance {
    fn strikes(&mut self) -> bool {
        self.random.below(1000) < self.per_mille
    }

    fn few(&mut self) -> u32 {
        u32::try_from(self.random.below(6)).unwrap_or(0)
    }

    fn fault(&mut self) -> Fault {
        if !self.strikes() {
            return Fault::None;
        }
        match self.random.below(7) {
            0 => Fault::Conflict,
            1 => Fault::UnknownLanded,
            2 => Fault::UnknownLost,
            3 => Fault::UnknownLate {
                operations: self.few(),
            },
            4 => Fault::TooOld,
            5 => Fault::Unavailable,
            _ => Fault::Delay { yields: self.few() },
        }
    }

    fn read_fault(&mut self) -> ReadFault {
        if !self.strikes() {
            return ReadFault::None;
        }
        match self.random.below(3) {
            0 => ReadFault::TooOld,
            1 => ReadFault::Unavailable,
            _ => ReadFault::Delay { yields: self.few() },
        }
    }
}

/// SplitMix64: one addition and a mix per number, good enough for choosing faults, and the same everywhere.
#[derive(Debug)]
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`, all but evenly.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_contract() {
        super::super::contract::suite(|| Arc::new(Memory::new())).await;
    }

    /// What would be too much for PostgreSQL is refused here, where tests see it.
    #[tokio::test]
    async fn more_rows_than_a_transaction_may_clear_are_refused() {
        let memory = Memory::new();
        let (count, kept) = (LIMITS.cleared_rows_max + 1, Bytes::from_static(b"z"));
        for from in (0..count).step_by(5_000) {
            let mut transaction = Transaction::default();
            for number in from..count.min(from + 5_000) {
                transaction.set(format!("{number:08}").into(), Bytes::new());
            }
            transaction.set(kept.clone(), Bytes::new());
            memory.commit(transaction).await.unwrap();
        }
        let mut transaction = Transaction::default();
        transaction.clear_range(Bytes::new(), kept);
        assert_eq!(memory.commit(transaction).await, Err(KvError::TooLarge));
        assert_eq!(memory.snapshot().len(), count + 1);
    }

    fn set(key: impl Into<Bytes>, expect: Option<&'static [u8]>) -> Transaction {
        let key = key.into();
        let mut transaction = Transaction::default();
        transaction
            .expect(key.clone(), expect.map(Bytes::from_static))
            .set(key, Bytes::from_static(b"new"));
        transaction
    }

    #[tokio::test]
    async fn faults_do_what_they_say() {
        let unknown = KvError::Unknown("the answer was lost".to_owned());
        for (fault, said, landed) in [
            (Fault::None, Ok(()), true),
            (Fault::Conflict, Err(KvError::Conflict), false),
            (Fault::UnknownLost, Err(unknown.clone()), false),
            (Fault::UnknownLanded, Err(unknown), true),
            (Fault::TooOld, Err(KvError::TooOld), false),
            (Fault::Unavailable, Err(unavailable()), false),
            (Fault::Delay { yields: 3 }, Ok(()), true),
        ] {
            let memory = Memory::new();
            memory.faults().inject([fault]);
            assert_eq!(memory.commit(set("k", None)).await, said, "{fault:?}");
            assert_eq!(memory.snapshot().len(), usize::from(landed), "{fault:?}");
            memory.commit(set("other", None)).await.unwrap();
            assert_eq!(memory.transactions(), 2);
        }
    }

    #[tokio::test]
    async fn reads_fail_as_planned_and_then_no_more() {
        let memory = Memory::new();
        let faults = memory.faults();
        faults.inject_reads([ReadFault::TooOld, ReadFault::Unavailable]);
        assert_eq!(memory.get(b"k").await, Err(KvError::TooOld));
        let rows = memory.range(b"a", b"z", 9, Direction::Forward).await;
        assert_eq!(rows, Err(unavailable()));
        assert_eq!(memory.get(b"k").await, Ok(None));
        faults.go_away();
        assert_eq!(memory.get(b"k").await, Err(unavailable()));
        assert_eq!(memory.commit(set("k", None)).await, Err(unavailable()));
        faults.cease();
        assert_eq!(memory.get(b"k").await, Ok(None));
    }

    #[tokio::test]
    async fn a_delayed_operation_lets_others_pass() {
        let memory = Memory::new();
        memory.faults().inject([Fault::Delay { yields: 5 }]);
        let slow = memory.commit(set("k", None));
        let fast = async { memory.commit(set("k", None)).await };
        let (slow, fast) = tokio::join!(biased; slow, fast);
        assert_eq!((slow, fast), (Err(KvError::Conflict), Ok(())));
    }

    #[tokio::test]
    async fn a_late_commit_lands_after_so_many_operations_if_it_still_may() {
        let memory = Memory::new();
        let late = Fault::UnknownLate { operations: 2 };
        memory.faults().inject([late]);
        assert!(memory.commit(set("a", None)).await.is_err());
        assert_eq!(memory.get(b"a").await, Ok(None));
        memory.commit(set("b", None)).await.unwrap();
        assert!(memory.get(b"a").await.unwrap().is_some());

        memory.faults().inject([late]);
        let mut outrun = set("c", None);
        outrun.set(Bytes::from_static(b"d"), Bytes::new());
        assert!(memory.commit(outrun).await.is_err());
        memory.commit(set("c", None)).await.unwrap();
        memory.faults().land();
        assert_eq!(memory.snapshot().len(), 3, "c is there, d never is");
    }

    /// Each commit writes a row of its own: what was said of it must agree with whether the row is there in the end.
    async fn story(seed: u64) -> Vec<(Result<(), KvError>, bool)> {
        let memory = Memory::new();
        memory.faults().at_random(seed, 700);
        let mut said = Vec::new();
        for number in 0..1000 {
            said.push(memory.commit(set(format!("{number}"), None)).await);
        }
        memory.faults().cease();
        memory.faults().land();
        let rows = memory.snapshot();
        let found = |number: usize| rows.contains_key(format!("{number}").as_bytes());
        said.into_iter()
            .enumerate()
            .map(|(number, said)| (said, found(number)))
            .collect()
    }

    #[tokio::test]
    async fn random_faults_never_lie_and_come_again_with_their_seed() {
        let told = story(7).await;
        let count = |of: fn(&Result<(), KvError>) -> bool, landed| {
            told.iter()
                .filter(|(said, there)| of(said) && *there == landed)
                .count()
        };
        let unknown = |said: &Result<(), KvError>| matches!(said, Err(KvError::Unknown(_)));
        let refused =
            |said: &Result<(), KvError>| !matches!(said, Ok(()) | Err(KvError::Unknown(_)));
        assert_eq!(count(Result::is_ok, false), 0);
        assert_eq!(count(refused, true), 0);
        assert!(count(Result::is_ok, true) > 300);
        assert!(count(refused, false) > 200);
        assert!(count(unknown, true) > 100 && count(unknown, false) > 50);
        assert!(told == story(7).await);
        assert!(told != story(8).await);
    }
}
