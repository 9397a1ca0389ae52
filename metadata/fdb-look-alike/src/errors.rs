//! Error codes with FoundationDB's names and texts, and the three questions that clients ask about them.

use std::ffi::{CStr, c_char, c_int};

pub(crate) const TRANSACTION_TOO_OLD: i32 = 1007;
pub(crate) const NOT_COMMITTED: i32 = 1020;
pub(crate) const TRANSACTION_CANCELLED: i32 = 1025;
pub(crate) const TRANSACTION_TIMED_OUT: i32 = 1031;
pub(crate) const OPERATION_CANCELLED: i32 = 1101;
pub(crate) const NO_CLUSTER_FILE_FOUND: i32 = 1515;
pub(crate) const CLIENT_INVALID_OPERATION: i32 = 2000;
pub(crate) const KEY_OUTSIDE_LEGAL_RANGE: i32 = 2004;
pub(crate) const INVERTED_RANGE: i32 = 2005;
pub(crate) const INVALID_OPTION_VALUE: i32 = 2006;
pub(crate) const INVALID_OPTION: i32 = 2007;
pub(crate) const NETWORK_NOT_SETUP: i32 = 2008;
pub(crate) const NETWORK_ALREADY_SETUP: i32 = 2009;
pub(crate) const FUTURE_NOT_SET: i32 = 2015;
pub(crate) const USED_DURING_COMMIT: i32 = 2017;
pub(crate) const NETWORK_CANNOT_BE_RESTARTED: i32 = 2025;
pub(crate) const TRANSACTION_TOO_LARGE: i32 = 2101;
pub(crate) const KEY_TOO_LARGE: i32 = 2102;
pub(crate) const VALUE_TOO_LARGE: i32 = 2103;
pub(crate) const CONNECTION_STRING_INVALID: i32 = 2104;
pub(crate) const API_VERSION_UNSET: i32 = 2200;
pub(crate) const API_VERSION_ALREADY_SET: i32 = 2201;
pub(crate) const API_VERSION_NOT_SUPPORTED: i32 = 2203;
pub(crate) const EXACT_MODE_WITHOUT_LIMITS: i32 = 2210;

fn text(code: i32) -> &'static CStr {
    match code {
        0 => c"Success",
        1000 => c"Operation failed",
        TRANSACTION_TOO_OLD => c"Transaction is too old to perform reads or be committed",
        1009 => c"Request for future version",
        NOT_COMMITTED => c"Transaction not committed due to conflict with another transaction",
        1021 => c"Transaction may or may not have committed",
        TRANSACTION_CANCELLED => c"Operation aborted because the transaction was cancelled",
        TRANSACTION_TIMED_OUT => c"Operation aborted because the transaction timed out",
        1037 => c"Storage process does not have recent mutations",
        1038 => c"Database is locked",
        1039 => c"The protocol version of the cluster has changed",
        1042 => c"CommitProxy commit memory limit exceeded",
        1051 => c"Batch GRV request rate limit exceeded",
        1078 => c"GetReadVersion proxy memory limit exceeded",
        OPERATION_CANCELLED => c"Asynchronous operation cancelled",
        1213 => c"Transaction tag is being throttled",
        1223 => c"Exceeded maximum proxy tag throttling duration",
        1235 => c"Transaction throttled due to hot shard",
        NO_CLUSTER_FILE_FOUND => c"No cluster file found in current directory or default location",
        KEY_OUTSIDE_LEGAL_RANGE => c"Key outside legal range",
        INVERTED_RANGE => c"Range begin key larger than end key",
        USED_DURING_COMMIT => c"Operation issued while a commit was outstanding",
        NETWORK_CANNOT_BE_RESTARTED => c"Network can only be started once",
        TRANSACTION_TOO_LARGE => c"Transaction exceeds byte limit",
        KEY_TOO_LARGE => c"Key length exceeds limit",
        VALUE_TOO_LARGE => c"Value length exceeds limit",
        CONNECTION_STRING_INVALID => c"Connection string invalid",
        API_VERSION_NOT_SUPPORTED => c"API version not supported",
        _ => c"An error that the look-alike has no text for",
    }
}

fn is_maybe_committed(code: i32) -> bool {
    matches!(code, 1021 | 1039)
}

fn is_retryable_not_committed(code: i32) -> bool {
    matches!(
        code,
        TRANSACTION_TOO_OLD
            | 1009
            | NOT_COMMITTED
            | 1037
            | 1038
            | 1042
            | 1051
            | 1078
            | 1213
            | 1223
            | 1235
    )
}

pub(crate) fn is_retryable(code: i32) -> bool {
    is_maybe_committed(code) || is_retryable_not_committed(code)
}

#[unsafe(no_mangle)]
extern "C" fn fdb_get_error(code: c_int) -> *const c_char {
    text(code).as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn fdb_error_predicate(predicate: c_int, code: c_int) -> c_int {
    c_int::from(match predicate {
        50_000 => is_retryable(code),
        50_001 => is_maybe_committed(code),
        50_002 => is_retryable_not_committed(code),
        _ => false,
    })
}
