//! Room for downloads: how many bytes may be on their way from the bucket and be unpacked at once. Called by `cache`, whose
//! bound they are part of.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All there is.
#[derive(Debug)]
pub(super) struct Rooms {
    bytes: Arc<Semaphore>,
    total: u32,
}

/// What all downloads of one asker take. They have it together or not at all: askers that had some and waited for more
/// would wait for each other.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Mutex<OwnedSemaphorePermit>>);

/// What one of them takes; given back when dropped.
#[derive(Debug)]
pub(super) struct Part(OwnedSemaphorePermit);

impl Rooms {
    pub(super) fn new(bytes_max: u64) -> Self {
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let total = u32::try_from(bytes_max).unwrap_or(u32::MAX).clamp(1, most);
        Self {
            bytes: Arc::new(Semaphore::new(total as usize)),
            total,
        }
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.total.into()
    }

    pub(super) fn left(&self) -> u64 {
        self.bytes.available_permits() as u64
    }

    pub(super) fn taken(&self) -> u64 {
        self.bytes_max().saturating_sub(self.left())
    }

    /// That many bytes, if they are there and nobody stands in line for them.
    pub(super) fn now(&self, bytes: u64) -> Option<Room> {
        let taken = Arc::clone(&self.bytes).try_acquire_many_owned(self.at_most(bytes));
        taken.ok().map(Room::new)
    }

    /// The same, once it is the caller's turn. One who wants more than there is gets it all.
    pub(super) async fn in_line(&self, bytes: u64) -> Room {
        let taken = Arc::clone(&self.bytes).acquire_many_owned(self.at_most(bytes));
        Room::new(taken.await.expect("it is never closed"))
    }

    fn at_most(&self, bytes: u64) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total)
    }
}

impl Room {
    fn new(taken: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(taken)))
    }

    /// Of what is left of it.
    pub(super) fn part(&self, bytes: u64) -> Part {
        Part(split(&mut self.0.lock(), bytes))
    }
}

impl Part {
    /// Gives back all but so many bytes.
    pub(super) fn shrink(&mut self, bytes: u64) {
        self.0 = split(&mut self.0, bytes);
    }
}

fn split(of: &mut OwnedSemaphorePermit, bytes: u64) -> OwnedSemaphorePermit {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let bytes = bytes.min(of.num_permits());
    of.split(bytes).expect("no more than there is")
}
