//! The functions that C calls.

use std::ffi::c_int;

use super::read::{Wanted, get, mode_bytes, selected};
use super::{Transaction, failed, only};
use crate::cluster::Outcome;
use crate::database::number;
use crate::errors;
use crate::future::{Future, Rows, Value};

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
