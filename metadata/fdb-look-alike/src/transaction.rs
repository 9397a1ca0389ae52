//! Transactions: what they read and write, and the operations that the network thread carries out for them.

#![expect(
    clippy::disallowed_types,
    reason = "timeouts are the client's own, and it has no runtime whose clock it could read"
)]

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::cluster::{Cluster, Outcome};
use crate::database::number;
use crate::errors;
use crate::future::{Future, Rows, Value};
use crate::network;
use crate::store::{Commit, KeyRange, Mutation, Row, Store, Version};

const KEY_BYTES_MAX: usize = 10_000;
const VALUE_BYTES_MAX: usize = 100_000;
const TRANSACTION_BYTES_MAX: i64 = 10_000_000;
/// Bytes that a streaming mode sends at once: of `small`, `medium`, `large`, `serial`, from 1.
const MODE_BYTES: [usize; 4] = [256, 1_000, 4_096, 80_000];

/// What `FDBTransaction*` points to. Operations under way hold the body as well.
pub(crate) struct Transaction {
    cluster: Arc<Cluster>,
    body: Arc<Mutex<Body>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Options {
    timeout: Option<Duration>,
    size_limit: i64,
}

struct Body {
    options: Options,
    began: Instant,
    commit: Commit,
    /// What an operation that cannot fail itself leaves to the next one that can.
    deferred: Option<i32>,
    committing: bool,
    /// -1 if nothing was written.
    committed: Version,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: None,
            size_limit: TRANSACTION_BYTES_MAX,
        }
    }
}

impl Options {
    /// Those that change nothing here are accepted if they exist for what they are set on.
    pub(crate) fn set(&mut self, option: c_int, value: Option<i64>) -> c_int {
        match (option, value) {
            (500, Some(0)) => self.timeout = None,
            (500, Some(millis)) => match u64::try_from(millis) {
                Ok(millis) => self.timeout = Some(Duration::from_millis(millis)),
                Err(_) => return errors::INVALID_OPTION_VALUE,
            },
            (503, Some(bytes @ 32..=TRANSACTION_BYTES_MAX)) => self.size_limit = bytes,
            (500 | 503, _) => return errors::INVALID_OPTION_VALUE,
            // Retry limit, retry delay, causal reads, priorities, names for logs.
            (501 | 502, Some(_)) | (20 | 21 | 200 | 201 | 403 | 504, _) => {}
            _ => return errors::INVALID_OPTION,
        }
        0
    }
}

impl Body {
    fn new(options: Options) -> Self {
        Self {
            options,
            began: network::now(),
            commit: Commit::default(),
            deferred: None,
            committing: false,
            committed: -1,
        }
    }

    fn times_out(&self) -> Option<Instant> {
        self.options.timeout.map(|timeout| self.began + timeout)
    }

    /// Why no operation may begin.
    fn refuses(&self) -> Option<i32> {
        let late = self.times_out().is_some_and(|end| network::now() >= end);
        let late = late.then_some(errors::TRANSACTION_TIMED_OUT);
        let committing = self.committing.then_some(errors::USED_DURING_COMMIT);
        self.deferred.or(late).or(committing)
    }

    fn defer(&mut self, code: i32) {
        self.deferred.get_or_insert(code);
    }

    fn set(&mut self, key: Vec<u8>, value: Vec<u8>) {
        if value.len() > VALUE_BYTES_MAX {
            self.defer(errors::VALUE_TOO_LARGE);
        }
        if self.may_write(&key) {
            self.commit.writes.push(only(&key));
            self.commit.mutations.push(Mutation::Set(key, value));
        }
    }

    fn clear(&mut self, range: KeyRange) {
        if range.0 > range.1 {
            return self.defer(errors::INVERTED_RANGE);
        }
        if range.1.as_slice() > b"\xff" {
            return self.defer(errors::KEY_OUTSIDE_LEGAL_RANGE);
        }
        if range.0 < range.1 {
            self.commit.writes.push(range.clone());
            self.commit.mutations.push(Mutation::Clear(range));
        }
    }

    fn may_write(&mut self, key: &[u8]) -> bool {
        if key >= b"\xff" {
            self.defer(errors::KEY_OUTSIDE_LEGAL_RANGE);
        } else if key.len() > KEY_BYTES_MAX {
            self.defer(errors::KEY_TOO_LARGE);
        }
        if self.committing {
            self.defer(errors::USED_DURING_COMMIT);
        }
        self.deferred.is_none()
    }

    /// Mutations and conflict ranges, as the real limit counts them.
    fn bytes(&self) -> usize {
        let range = |(begin, end): &KeyRange| begin.len() + end.len();
        let mutation = |mutation: &Mutation| match mutation {
            Mutation::Set(key, value) => key.len() + value.len(),
            Mutation::Clear(cleared) => range(cleared),
        };
        let Commit {
            reads,
            writes,
            mutations,
            ..
        } = &self.commit;
        let conflicts: usize = reads.iter().chain(writes).map(range).sum();
        mutations.iter().map(mutation).sum::<usize>() + conflicts
    }
}

/// The range of one key.
fn only(key: &[u8]) -> KeyRange {
    (key.to_vec(), [key, &[0]].concat())
}

/// A range to be read, and how much of it.
struct Wanted {
    range: KeyRange,
    /// Rows; 0 for all.
    limit: usize,
    /// 0 for all.
    bytes: usize,
    reverse: bool,
}

impl Wanted {
    /// Rows as the transaction sees them, and whether more were left.
    fn read(&self, store: &Store, version: Version, mutations: &[Mutation]) -> (Vec<Row>, bool) {
        let stored = store.range(&self.range, version);
        if mutations.is_empty() {
            return match self.reverse {
                false => self.page(stored),
                true => self.page(stored.rev()),
            };
        }
        let mut rows: BTreeMap<&[u8], &[u8]> = stored.collect();
        for mutation in mutations {
            match mutation {
                Mutation::Set(key, value) if *key >= self.range.0 && *key < self.range.1 => {
                    rows.insert(key, value);
                }
                Mutation::Set(..) => {}
                Mutation::Clear((begin, end)) => {
                    rows.retain(|key, _| *key < begin.as_slice() || *key >= end.as_slice());
                }
            }
        }
        match self.reverse {
            false => self.page(rows.into_iter()),
            true => self.page(rows.into_iter().rev()),
        }
    }

    fn page<'a>(&self, rows: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> (Vec<Row>, bool) {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for (key, value) in rows {
            let full = self.limit > 0 && page.len() == self.limit;
            if full || (self.bytes > 0 && bytes >= self.bytes) {
                return (page, true);
            }
            bytes += key.len() + value.len();
            page.push((key.to_vec(), value.to_vec()));
        }
        (page, false)
    }

    /// What must not change for the page to stay true: up to the last row read, if more were left.
    fn conflict(self, rows: &[Row], more: bool) -> KeyRange {
        let (begin, end) = self.range;
        match (rows.last(), more) {
            (Some((last, _)), true) if self.reverse => (last.clone(), end),
            (Some((last, _)), true) => (begin, only(last).1),
            _ => (begin, end),
        }
    }
}

/// A value as the transaction sees it.
fn get(store: &Store, version: Version, mutations: &[Mutation], key: &[u8]) -> Option<Vec<u8>> {
    for mutation in mutations.iter().rev() {
        match mutation {
            Mutation::Set(written, value) if written == key => return Some(value.clone()),
            Mutation::Clear((begin, end)) if begin.as_slice() <= key && key < end.as_slice() => {
                return None;
            }
            _ => {}
        }
    }
    store.get(key, version).map(<[u8]>::to_vec)
}

impl Transaction {
    pub(crate) fn new(cluster: Arc<Cluster>, options: Options) -> Self {
        let body = Arc::new(Mutex::new(Body::new(options)));
        Self { cluster, body }
    }

    /// Has the network thread do the work, unless the transaction is past doing any.
    fn operate(
        &self,
        work: impl FnOnce(&Cluster, &mut Body) -> Outcome<Value> + Send + 'static,
    ) -> *mut Future {
        let future = Future::pending();
        let pointer = Future::pointer(&future);
        let (cluster, body) = (Arc::clone(&self.cluster), Arc::clone(&self.body));
        network::post(move || {
            let mut body = body.lock();
            let outcome = work(&cluster, &mut body);
            let until = body.times_out();
            drop(body);
            match outcome {
                Outcome::Done(value) => future.complete(Ok(value)),
                Outcome::Failed(code) => future.fail(code),
                Outcome::Hangs => network::hang(&future, until),
            }
        });
        pointer
    }

    /// The same for reads.
    fn read(
        &self,
        read: impl FnOnce(&Store, Version, &mut Body) -> Value + Send + 'static,
    ) -> *mut Future {
        if let Some(code) = self.body.lock().refuses() {
            return failed(code);
        }
        self.operate(move |cluster, body| {
            let mut version = body.commit.read_version;
            let outcome = cluster
                .lock()
                .read(&mut version, |store, version| read(store, version, body));
            body.commit.read_version = version;
            outcome
        })
    }

    fn commit(&self) -> *mut Future {
        {
            let mut body = self.body.lock();
            if let Some(code) = body.refuses() {
                return failed(code);
            }
            body.committing = true;
        }
        self.operate(|cluster, body| {
            body.committing = false;
            // Reads done meanwhile count as well.
            if i64::try_from(body.bytes()).unwrap_or(i64::MAX) > body.options.size_limit {
                return Outcome::Failed(errors::TRANSACTION_TOO_LARGE);
            }
            if body.commit.writes.is_empty() && body.commit.mutations.is_empty() {
                // Serializable as of its read version; nothing is asked of the cluster.
                return Outcome::Done(Value::Nothing);
            }
            let commit = mem::take(&mut body.commit);
            match cluster.lock().commit(commit) {
                Outcome::Done(version) => {
                    body.committed = version;
                    Outcome::Done(Value::Nothing)
                }
                Outcome::Failed(code) => Outcome::Failed(code),
                Outcome::Hangs => Outcome::Hangs,
            }
        })
    }

    fn reset(&self) {
        let mut body = self.body.lock();
        *body = Body::new(body.options);
    }
}

fn failed(code: i32) -> *mut Future {
    let future = Future::pending();
    future.fail(code);
    Future::pointer(&future)
}

/// # Safety
/// There are `length` bytes.
unsafe fn bytes(start: *const u8, length: c_int) -> Vec<u8> {
    match usize::try_from(length) {
        // SAFETY: see above.
        Ok(length) if length > 0 => unsafe { std::slice::from_raw_parts(start, length) }.to_vec(),
        _ => Vec::new(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_destroy(transaction: *mut Transaction) {
    // SAFETY: it came from `fdb_database_create_transaction` and ends here; what is under way has counts of its own.
    drop(unsafe { Box::from_raw(transaction) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_reset(transaction: *mut Transaction) {
    // SAFETY: C passes a transaction that lives.
    unsafe { &*transaction }.reset();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_cancel(transaction: *mut Transaction) {
    // SAFETY: C passes a transaction that lives.
    let transaction = unsafe { &*transaction };
    transaction.body.lock().defer(errors::TRANSACTION_CANCELLED);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_set_option(
    transaction: *mut Transaction,
    option: c_int,
    value: *const u8,
    length: c_int,
) -> c_int {
    // SAFETY: C passes a transaction that lives, and a value of that length.
    unsafe {
        let mut body = (*transaction).body.lock();
        body.options.set(option, number(value, length))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_set(
    transaction: *mut Transaction,
    key: *const u8,
    key_length: c_int,
    value: *const u8,
    value_length: c_int,
) {
    // SAFETY: C passes a transaction that lives, and keys and values of those lengths.
    unsafe {
        let (key, value) = (bytes(key, key_length), bytes(value, value_length));
        (*transaction).body.lock().set(key, value);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_clear(
    transaction: *mut Transaction,
    key: *const u8,
    key_length: c_int,
) {
    // SAFETY: C passes a transaction that lives, and a key of that length.
    unsafe {
        let key = bytes(key, key_length);
        let mut body = (*transaction).body.lock();
        if body.may_write(&key) {
            body.clear(only(&key));
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_clear_range(
    transaction: *mut Transaction,
    begin: *const u8,
    begin_length: c_int,
    end: *const u8,
    end_length: c_int,
) {
    // SAFETY: C passes a transaction that lives, and keys of those lengths.
    unsafe {
        let range = (bytes(begin, begin_length), bytes(end, end_length));
        (*transaction).body.lock().clear(range);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_add_conflict_range(
    transaction: *mut Transaction,
    begin: *const u8,
    begin_length: c_int,
    end: *const u8,
    end_length: c_int,
    kind: c_int,
) -> c_int {
    // SAFETY: C passes a transaction that lives, and keys of those lengths.
    unsafe {
        let range = (bytes(begin, begin_length), bytes(end, end_length));
        let mut body = (*transaction).body.lock();
        match (range.0 <= range.1, kind) {
            (false, _) => return errors::INVERTED_RANGE,
            (true, 0) => body.commit.reads.push(range),
            (true, _) => body.commit.writes.push(range),
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_get_read_version(
    transaction: *mut Transaction,
) -> *mut Future {
    // SAFETY: C passes a transaction that lives.
    unsafe { &*transaction }.read(|_, version, _| Value::Version(version))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_get_committed_version(
    transaction: *mut Transaction,
    out: *mut i64,
) -> c_int {
    // SAFETY: C passes a transaction that lives, and room for a number.
    unsafe { *out = (*transaction).body.lock().committed };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_get(
    transaction: *mut Transaction,
    key: *const u8,
    key_length: c_int,
    snapshot: c_int,
) -> *mut Future {
    // SAFETY: C passes a transaction that lives, and a key of that length.
    let (transaction, key) = unsafe { (&*transaction, bytes(key, key_length)) };
    if key.as_slice() >= b"\xff" {
        return failed(errors::KEY_OUTSIDE_LEGAL_RANGE);
    }
    transaction.read(move |store, version, body| {
        let value = get(store, version, &body.commit.mutations, &key);
        if snapshot == 0 {
            body.commit.reads.push(only(&key));
        }
        Value::Found(value)
    })
}

/// Bytes that a call may return, by its streaming mode; `None` if its arguments do not fit each other.
fn mode_bytes(mode: c_int, iteration: c_int, limit: usize, target: usize) -> Result<usize, i32> {
    let all = MODE_BYTES[3];
    let most = match mode {
        // The caller says how many rows, and all come.
        0 if limit == 0 => return Err(errors::EXACT_MODE_WITHOUT_LIMITS),
        0 => usize::MAX,
        -2 => all,
        // Each call returns more than the one before.
        -1 => match u32::try_from(iteration) {
            Ok(1..) => (4_096_usize << iteration.clamp(1, 16)).min(all),
            _ => return Err(errors::CLIENT_INVALID_OPERATION),
        },
        1..=4 => MODE_BYTES[usize::try_from(mode - 1).unwrap_or(3)],
        _ => return Err(errors::CLIENT_INVALID_OPERATION),
    };
    Ok(match target {
        0 => most,
        target => most.min(target),
    })
}

/// A key selector with offset 1 as the key it begins at.
fn selected(key: Vec<u8>, or_equal: c_int, offset: c_int) -> Result<Vec<u8>, i32> {
    match (offset, or_equal) {
        (1, 0) => Ok(key),
        (1, _) => Ok(only(&key).1),
        _ => Err(errors::CLIENT_INVALID_OPERATION),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_get_range(
    transaction: *mut Transaction,
    begin: *const u8,
    begin_length: c_int,
    begin_or_equal: c_int,
    begin_offset: c_int,
    end: *const u8,
    end_length: c_int,
    end_or_equal: c_int,
    end_offset: c_int,
    limit: c_int,
    target_bytes: c_int,
    mode: c_int,
    iteration: c_int,
    snapshot: c_int,
    reverse: c_int,
) -> *mut Future {
    // SAFETY: C passes a transaction that lives, and keys of those lengths.
    let (transaction, begin, end) = unsafe {
        let (begin, end) = (bytes(begin, begin_length), bytes(end, end_length));
        (&*transaction, begin, end)
    };
    let positive = |number: c_int| usize::try_from(number).unwrap_or(0);
    let (limit, target) = (positive(limit), positive(target_bytes));
    let wanted = || {
        Ok(Wanted {
            range: (
                selected(begin, begin_or_equal, begin_offset)?,
                selected(end, end_or_equal, end_offset)?,
            ),
            limit,
            bytes: mode_bytes(mode, iteration, limit, target)?,
            reverse: reverse != 0,
        })
    };
    let mut wanted = match wanted() {
        Ok(wanted) => wanted,
        Err(code) => return failed(code),
    };
    if let Some(page) = transaction.cluster.lock().plan.page_bytes {
        wanted.bytes = wanted.bytes.min(page);
    }
    transaction.read(move |store, version, body| {
        let (rows, more) = wanted.read(store, version, &body.commit.mutations);
        if snapshot == 0 {
            body.commit.reads.push(wanted.conflict(&rows, more));
        }
        Value::Rows(Rows::new(rows, more))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_commit(transaction: *mut Transaction) -> *mut Future {
    // SAFETY: C passes a transaction that lives.
    unsafe { &*transaction }.commit()
}

/// Without the pause that the real one takes.
#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_transaction_on_error(
    transaction: *mut Transaction,
    code: c_int,
) -> *mut Future {
    if !errors::is_retryable(code) {
        return failed(code);
    }
    // SAFETY: C passes a transaction that lives.
    let transaction = unsafe { &*transaction };
    transaction.reset();
    transaction.operate(|_, _| Outcome::Done(Value::Nothing))
}
