//! How calls of the metadata store go that this process works on. Noted by `server`, shown by the page of its health.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// What is shown of a reason: errors of other systems may carry pages.
const WHY_CHARS_MAX: usize = 500;

/// Of the store of this process; of one that works on none nothing is ever noted.
#[derive(Debug, Default)]
pub(crate) struct StoreCalls {
    /// Those that have been silent for seconds.
    silent: AtomicUsize,
    failed: Mutex<Option<Failure>>,
}

/// Why the store cannot be written, as far as its calls say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: String,
    /// The disk is full on which the store lies, and whoever reads this can make room.
    pub(crate) no_room: bool,
}

impl StoreCalls {
    /// A call is silent; how many others are.
    pub(crate) fn falls_silent(&self) -> usize {
        self.silent.fetch_add(1, Ordering::Relaxed)
    }

    /// One that was is answered, or nobody waits for it any more; how many others are silent.
    pub(crate) fn is_over(&self) -> usize {
        self.silent.fetch_sub(1, Ordering::Relaxed) - 1
    }

    pub(crate) fn silent(&self) -> usize {
        self.silent.load(Ordering::Relaxed)
    }

    /// A full disk is not forgotten for what follows from it.
    pub(crate) fn failed(&self, failure: Failure) {
        let mut failed = self.failed.lock();
        if failure.no_room || !failed.as_ref().is_some_and(|before| before.no_room) {
            *failed = Some(failure);
        }
    }

    pub(crate) fn was_written(&self) {
        *self.failed.lock() = None;
    }

    /// A sentence about a store that is known not to be writable.
    pub(crate) fn unwritable(&self) -> String {
        let mut said = "the metadata store cannot be written".to_owned();
        if let Some(Failure { why, no_room }) = &*self.failed.lock() {
            said.push_str(&format!(": {}", brief(why)));
            if *no_room {
                said.push_str(": make room on its disk, and it goes on by itself");
            }
        }
        said
    }
}

/// A reason on one line, as long as a page of health wants it.
pub(super) fn brief(why: &str) -> String {
    let line: Vec<&str> = why.split_whitespace().collect();
    line.join(" ").chars().take(WHY_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_until_something_is_written() {
        let calls = StoreCalls::default();
        let failed = |why: &str, no_room| {
            calls.failed(Failure {
                why: why.to_owned(),
                no_room,
            });
        };
        let nothing = "the metadata store cannot be written";
        assert_eq!(calls.unwritable(), nothing);
        failed("I/O error:\n  broken", false);
        assert_eq!(calls.unwritable(), format!("{nothing}: I/O error: broken"));
        failed("no space left", true);
        let full =
            format!("{nothing}: no space left: make room on its disk, and it goes on by itself");
        assert_eq!(calls.unwritable(), full);
        failed("an I/O error occurred before", false);
        assert_eq!(calls.unwritable(), full);
        calls.was_written();
        assert_eq!(calls.unwritable(), nothing);
        failed(&"x".repeat(10_000), false);
        assert_eq!(calls.unwritable().len(), nothing.len() + 2 + WHY_CHARS_MAX);
    }
}
