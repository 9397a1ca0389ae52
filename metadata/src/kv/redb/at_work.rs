//! Which file a thread is at work on, for whoever hears of its panic.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::kv::KvError;

std::thread_local! {
    static FILE: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// This thread is, until this is dropped.
#[derive(Debug)]
pub(super) struct AtWork(());

impl AtWork {
    pub(super) fn on(path: &Path) -> Self {
        FILE.set(Some(path.to_owned()));
        Self(())
    }

    pub(super) fn file() -> Option<PathBuf> {
        FILE.with_borrow(Clone::clone)
    }

    /// A panic as damage of the file, in builds that unwind.
    pub(super) fn unless_it_panics<T>(
        self,
        work: impl FnOnce() -> Result<T, KvError>,
    ) -> Result<T, KvError> {
        // What it worked on is not used afterwards.
        let done = catch_unwind(AssertUnwindSafe(work));
        done.unwrap_or_else(|_| {
            let path = Self::file().unwrap_or_default();
            let text = format!("{}: redb panicked on what is in it", path.display());
            Err(KvError::Corrupt(text))
        })
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        FILE.set(None);
    }
}
