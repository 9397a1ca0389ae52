//! What a transaction holds until it is committed, and what it refuses to hold.

#![expect(
    clippy::disallowed_types,
    reason = "timeouts are the client's own, and it has no runtime whose clock it could read"
)]

use std::ffi::c_int;
use std::time::{Duration, Instant};

use super::only;
use crate::errors;
use crate::network;
use crate::store::{Commit, KeyRange, Mutation, Version};

const KEY_BYTES_MAX: usize = 10_000;
const VALUE_BYTES_MAX: usize = 100_000;
const TRANSACTION_BYTES_MAX: i64 = 10_000_000;

#[derive(Clone, Copy)]
pub(crate) struct Options {
    timeout: Option<Duration>,
    pub(super) size_limit: i64,
}

pub(super) struct Body {
    pub(super) options: Options,
    began: Instant,
    pub(super) commit: Commit,
    /// What an operation that cannot fail itself leaves to the next one that can.
    deferred: Option<i32>,
    pub(super) committing: bool,
    /// -1 if nothing was written.
    pub(super) committed: Version,
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
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            began: network::now(),
            commit: Commit::default(),
            deferred: None,
            committing: false,
            committed: -1,
        }
    }

    pub(super) fn times_out(&self) -> Option<Instant> {
        self.options.timeout.map(|timeout| self.began + timeout)
    }

    /// Why no operation may begin.
    pub(super) fn refuses(&self) -> Option<i32> {
        let late = self.times_out().is_some_and(|end| network::now() >= end);
        let late = late.then_some(errors::TRANSACTION_TIMED_OUT);
        let committing = self.committing.then_some(errors::USED_DURING_COMMIT);
        self.deferred.or(late).or(committing)
    }

    pub(super) fn defer(&mut self, code: i32) {
        self.deferred.get_or_insert(code);
    }

    pub(super) fn set(&mut self, key: Vec<u8>, value: Vec<u8>) {
        if value.len() > VALUE_BYTES_MAX {
            self.defer(errors::VALUE_TOO_LARGE);
        }
        if self.may_write(&key) {
            self.commit.writes.push(only(&key));
            self.commit.mutations.push(Mutation::Set(key, value));
        }
    }

    pub(super) fn clear(&mut self, range: KeyRange) {
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

    pub(super) fn may_write(&mut self, key: &[u8]) -> bool {
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
    pub(super) fn bytes(&self) -> usize {
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
