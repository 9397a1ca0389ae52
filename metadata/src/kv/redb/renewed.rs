//! What lies under redb: the file, written anew before it is read if whoever had it open did not close it.
//!
//! After an fsync that failed, Linux marks the pages that it could not write as clean and keeps them in its page cache. Reads
//! find them there, in this process and in the next one, and the next fsync says that all is well; a power cut then loses
//! them. redb would find in such pages that its last commit landed, and build further commits on them. Whether an fsync of
//! the process before failed is nowhere written, but redb's header says whether it closed the file. If it did not, each byte
//! is written again as it is read, and synced: what is read from then on is on the disk. A power cut meanwhile leaves what
//! one amid a commit does: pages as of the last good fsync, some of the last commit's beside them.
//!
//! A page that cannot be read is left as it is: in no page cache is anything of it that could be believed. redb does not ask
//! for it where it is free, and nobody can have it where it is not. Where there are many, the disk is to be mended first.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use redb::{BackendError, StorageBackend};

use crate::said::Said;

/// Lines a minute that say so: a file on a full disk is opened again and again.
pub(super) const LINES_MAX: u32 = 4;
static RENEWED: Said<()> = Said::seldom(LINES_MAX);

/// Of a file of redb's, as its design document has it: what it begins with, and where and what says that it is open.
const MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";
const FLAGS_AT: usize = MAGIC.len();
const IS_OPEN: u8 = 2;
/// Read and written at once.
const PIECE_BYTES: usize = 1024 * 1024;
/// What file systems allocate at least.
const PAGE_BYTES: usize = 4096;
/// A read that fails is tried again so often, each after this pause: redb gives up the whole file at the first that does.
const READS: u32 = 4;
const READ_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Pages that may be left as they are: each costs its reads, and many are no bad sectors.
const UNREADABLE_MAX: u32 = 64;

/// Whether the page cache may have what the disk has not: so it is until the file was written anew once, while something
/// is not synced, and from when something could not be written or synced. The same for all times that a process opens its
/// file.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt(Arc<Doubts>);

#[derive(Debug)]
struct Doubts {
    failed: AtomicBool,
    unsynced: AtomicBool,
}

impl Default for Doubts {
    /// Nothing is known of the process before.
    fn default() -> Self {
        Self {
            failed: AtomicBool::new(true),
            unsynced: AtomicBool::new(true),
        }
    }
}

impl Doubt {
    fn is_there(&self) -> bool {
        self.0.failed.load(Ordering::Relaxed) || self.0.unsynced.load(Ordering::Relaxed)
    }

    fn ends(&self) {
        self.0.failed.store(false, Ordering::Relaxed);
        self.0.unsynced.store(false, Ordering::Relaxed);
    }

    fn wrote(&self, done: io::Result<()>) -> io::Result<()> {
        self.0.unsynced.store(true, Ordering::Relaxed);
        self.0.failed.fetch_or(done.is_err(), Ordering::Relaxed);
        done
    }

    fn synced(&self, done: io::Result<()>) -> io::Result<()> {
        self.0.unsynced.store(done.is_err(), Ordering::Relaxed);
        self.0.failed.fetch_or(done.is_err(), Ordering::Relaxed);
        done
    }
}

/// A file, or what stands for one, which is looked at with the first call that redb makes once it is locked.
#[derive(Debug)]
pub(super) struct Renewed<B> {
    file: B,
    looked: AtomicBool,
    doubt: Doubt,
    /// That it is written anew, in the log. Tests have one of their own.
    pub(super) said: &'static Said<()>,
}

impl<B: StorageBackend> Renewed<B> {
    pub(super) fn new(file: B, doubt: Doubt) -> Self {
        Self {
            file,
            looked: AtomicBool::new(false),
            doubt,
            said: &RENEWED,
        }
    }

    /// Before the first byte is read. A failure leaves it to be done again.
    fn look(&self) -> io::Result<()> {
        if self.looked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let length = self.file.len()?;
        if self.doubt.is_there() && was_left_open(&self.file, length)? {
            if let Some(unsaid) = self.said.admit(()) {
                tracing::info!(
                    bytes = length,
                    unsaid,
                    "the metadata file was not closed; it is written anew, so that what is read of it lies on the disk"
                );
            }
            renew(&self.file, length)?;
        }
        self.doubt.ends();
        self.looked.store(true, Ordering::Relaxed);
        Ok(())
    }
}

pub(super) fn was_left_open(file: &impl StorageBackend, length: u64) -> io::Result<bool> {
    let mut header = [0; FLAGS_AT + 1];
    if length < header.len() as u64 {
        return Ok(false);
    }
    file.read(0, &mut header)?;
    Ok(header.starts_with(&MAGIC) && header[FLAGS_AT] & IS_OPEN != 0)
}

fn renew(file: &impl StorageBackend, length: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let (mut at, mut unreadable) = (0, 0);
    while at < length {
        let rest = usize::try_from(length - at).unwrap_or(PIECE_BYTES);
        let piece = &mut piece[..rest.min(PIECE_BYTES)];
        let written = file.read(at, piece);
        let written = written.and_then(|()| file.write(at, piece));
        if written.is_err() {
            piece
                .chunks_mut(PAGE_BYTES)
                .zip((at..).step_by(PAGE_BYTES))
                .try_for_each(|(page, at)| renew_page(file, at, page, &mut unreadable))?;
        }
        at += piece.len() as u64;
    }
    file.sync_data()
}

/// One of those of which something failed. On a full disk, a page of zeros for which there is no room was never written: redb
/// makes its file longer before it fills it. Nothing lies on the disk there that could differ from what is read.
fn renew_page(
    file: &impl StorageBackend,
    at: u64,
    page: &mut [u8],
    unreadable: &mut u32,
) -> io::Result<()> {
    match read(file, at, page) {
        Ok(()) => {}
        Err(error) if is_of_the_disk(&error) && *unreadable < UNREADABLE_MAX => {
            *unreadable += 1;
            tracing::error!(at, %error, "a page of the metadata file cannot be read, and is left as it is");
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    match file.write(at, page) {
        Err(error)
            if error.kind() == io::ErrorKind::StorageFull && page.iter().all(|byte| *byte == 0) =>
        {
            Ok(())
        }
        written => written,
    }
}

/// Not of the file: it is longer than what was asked for.
fn is_of_the_disk(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::UnexpectedEof
}

/// A whim of the disk, or of a network before it, passes.
#[expect(
    clippy::disallowed_methods,
    reason = "the thread is redb's, or starts the process"
)]
fn read(file: &impl StorageBackend, at: u64, out: &mut [u8]) -> io::Result<()> {
    for _ in 1..READS {
        match file.read(at, out) {
            Err(error) if is_of_the_disk(&error) => {
                tracing::warn!(at, %error, "the metadata file cannot be read there, which is tried again");
                thread::sleep(READ_AGAIN_AFTER);
            }
            done => return done,
        }
    }
    file.read(at, out)
}

impl<B: StorageBackend> StorageBackend for Renewed<B> {
    fn len(&self) -> io::Result<u64> {
        self.look()?;
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.look()?;
        read(&self.file, offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.doubt.wrote(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.doubt.synced(self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.doubt.wrote(self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use redb::backends::InMemoryBackend;

    use super::*;

    /// A full disk: what was written before can be written again, holes cannot be filled.
    #[derive(Debug)]
    struct Full {
        file: InMemoryBackend,
        hole: std::ops::Range<u64>,
        written: Mutex<u64>,
    }

    impl StorageBackend for Full {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            let end = offset + data.len() as u64;
            if offset < self.hole.end && self.hole.start < end {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *self.written.lock() += data.len() as u64;
            self.file.write(offset, data)
        }
    }

    #[test]
    fn on_a_full_disk_holes_stay_holes_and_the_rest_is_written_anew() {
        let page = PAGE_BYTES as u64;
        let full = |zeros: bool| {
            let file = InMemoryBackend::new();
            file.set_len(8 * page).unwrap();
            file.write(0, &vec![1; 5 * PAGE_BYTES]).unwrap();
            if !zeros {
                file.write(6 * page, &[1]).unwrap();
            }
            Full {
                file,
                hole: 5 * page..8 * page,
                written: Mutex::new(0),
            }
        };
        let disk = full(true);
        renew(&disk, 8 * page).unwrap();
        assert_eq!(*disk.written.lock(), 5 * page);
        // Bytes that may be in the page cache alone are not believed.
        let refused = renew(&full(false), 8 * page).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    }
}
