//! What each error of the FoundationDB client is to a caller of [`Kv`](super::super::Kv): whether the transaction may have
//! happened, and whether it makes sense to read again. Names and meanings are those of FoundationDB's
//! `flow/error_definitions.h`; which are "maybe committed" and "retryable" is what its `fdb_error_predicate` says, which
//! the tests ask.

use ::foundationdb::FdbError;

use super::super::KvError;

/// Said by this process itself, of an answer that makes no sense.
pub(super) const OPERATION_FAILED: i32 = 1000;

/// What became of a transaction whose commit failed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    /// Another one wrote what it read.
    Conflict,
    TooOld,
    TooLarge,
    /// The cluster is busy or behind: it was refused just now.
    Busy,
    /// It was refused, until somebody acts.
    Refused,
    /// It may have happened, or may still.
    Unknown,
}

/// A code, what it means for a commit, and whether a read may be tried again.
pub(super) struct Class {
    pub(super) code: i32,
    pub(super) commit: Commit,
    pub(super) read_again: bool,
}

const fn class(code: i32, commit: Commit, read_again: bool) -> Class {
    Class {
        code,
        commit,
        read_again,
    }
}

/// Every error that is known to reach a client in operation. Any other leaves the outcome of a commit open.
pub(super) const CLASSES: [Class; 21] = [
    // transaction_too_old. A read or commit more than 5 s after the read version; storage servers and resolvers.
    class(1007, Commit::TooOld, true),
    // future_version. A storage server lags behind the read version.
    class(1009, Commit::Busy, true),
    // not_committed. The resolvers found a conflict.
    class(1020, Commit::Conflict, true),
    // commit_unknown_result. The connection to the commit proxy broke, or the transaction system recovered. The client
    // sees to it that the transaction is no longer on its way.
    class(1021, Commit::Unknown, false),
    // commit_unknown_result_fatal. The same, and an idempotency id expired.
    class(1022, Commit::Unknown, false),
    // transaction_cancelled. By this process; a commit may be on its way.
    class(1025, Commit::Unknown, false),
    // transaction_timed_out. By the timeout that `begin` sets; a commit may still be on its way.
    class(1031, Commit::Unknown, false),
    // process_behind. A storage server does not have recent mutations.
    class(1037, Commit::Busy, true),
    // database_locked. An operator's lock, for a restore or a switch-over.
    class(1038, Commit::Refused, true),
    // cluster_version_changed. The multi-version client changes its library; a commit may be on its way.
    class(1039, Commit::Unknown, true),
    // commit_proxy_memory_limit_exceeded.
    class(1042, Commit::Busy, true),
    // batch_transaction_throttled. Ratekeeper, for transactions of low priority.
    class(1051, Commit::Busy, true),
    // grv_proxy_memory_limit_exceeded.
    class(1078, Commit::Busy, true),
    // operation_cancelled. The future was cancelled; a commit may be on its way.
    class(1101, Commit::Unknown, false),
    // tag_throttled. Ratekeeper, by tag.
    class(1213, Commit::Busy, true),
    // proxy_tag_throttled. Too long in a GRV proxy's queue.
    class(1223, Commit::Busy, true),
    // transaction_throttled_hot_shard. Ratekeeper, by shard.
    class(1235, Commit::Busy, true),
    // storage_quota_exceeded. The tenant has no room.
    class(1225, Commit::Refused, false),
    // transaction_too_large. More than 10 MB, conflict ranges included; the client refuses it.
    class(2101, Commit::TooLarge, false),
    // key_too_large. More than 10 kB.
    class(2102, Commit::TooLarge, false),
    // value_too_large. More than 100 kB.
    class(2103, Commit::TooLarge, false),
];

fn find(code: i32) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.code == code)
}

/// Whether a read that failed so may succeed if it is tried again.
pub(super) fn may_pass(code: i32) -> bool {
    find(code).is_some_and(|class| class.read_again)
}

/// What a commit that failed so is to its caller.
pub(super) fn of_commit(code: i32) -> KvError {
    match find(code).map_or(Commit::Unknown, |class| class.commit) {
        Commit::Conflict => KvError::Conflict,
        Commit::TooOld => KvError::TooOld,
        Commit::TooLarge => KvError::TooLarge,
        Commit::Busy => KvError::Busy(text(code)),
        Commit::Refused => KvError::Unavailable(text(code)),
        Commit::Unknown => KvError::Unknown(text(code)),
    }
}

/// What a failure before any commit is to its caller: nothing was written.
pub(super) fn before_commit(code: i32) -> KvError {
    match find(code).map(|class| class.commit) {
        Some(Commit::TooOld) => KvError::TooOld,
        Some(Commit::TooLarge) => KvError::TooLarge,
        Some(Commit::Busy) => KvError::Busy(text(code)),
        _ => KvError::Unavailable(text(code)),
    }
}

fn text(code: i32) -> String {
    let said = FdbError::from_code(code).message();
    format!("FoundationDB answers: {said} ({code})")
}
