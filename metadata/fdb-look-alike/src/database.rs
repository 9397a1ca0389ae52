//! Databases: a cluster, by its file, and options for its transactions.

use std::ffi::{CStr, c_char, c_int};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cluster::{self, Cluster};
use crate::errors;
use crate::transaction::{Options, Transaction};

/// What `FDBDatabase*` points to.
pub(crate) struct Database {
    cluster: Arc<Cluster>,
    /// Of transactions yet to be made.
    options: Mutex<Options>,
}

/// A number as options carry it.
///
/// # Safety
/// If `length` is 8, there are so many bytes.
pub(crate) unsafe fn number(value: *const u8, length: c_int) -> Option<i64> {
    // SAFETY: see above; an array of bytes is aligned anywhere.
    (length == 8 && !value.is_null())
        .then(|| i64::from_le_bytes(unsafe { *value.cast::<[u8; 8]>() }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_create_database(path: *const c_char, out: *mut *mut Database) -> c_int {
    if path.is_null() {
        return errors::NO_CLUSTER_FILE_FOUND;
    }
    // SAFETY: C passes a C string, and room for a pointer.
    unsafe {
        match cluster::open(CStr::from_ptr(path)) {
            Ok(cluster) => {
                let database = Database {
                    cluster,
                    options: Mutex::default(),
                };
                *out = Box::into_raw(Box::new(database));
                0
            }
            Err(code) => code,
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_database_destroy(database: *mut Database) {
    // SAFETY: it came from `fdb_create_database` and ends here; its transactions have counts of their own.
    drop(unsafe { Box::from_raw(database) });
}

/// The options 500 to 503 are those of transactions with the same numbers.
#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_database_set_option(
    database: *mut Database,
    option: c_int,
    value: *const u8,
    length: c_int,
) -> c_int {
    // SAFETY: C passes a database that lives, and a value of that length.
    unsafe {
        (*database)
            .options
            .lock()
            .set(option, number(value, length))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_database_create_transaction(
    database: *mut Database,
    out: *mut *mut Transaction,
) -> c_int {
    // SAFETY: C passes a database that lives, and room for a pointer.
    unsafe {
        let database = &*database;
        let options = *database.options.lock();
        let transaction = Transaction::new(Arc::clone(&database.cluster), options);
        *out = Box::into_raw(Box::new(transaction));
    }
    0
}
