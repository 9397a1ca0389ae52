//! A lane in which whoever has bytes keeps them, and all others stand in one line.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::budgets::{CROWDED_SHARE, REPLY_SHARES};
use super::permit::{Held, Permit, Taken};

#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) bytes: Arc<Semaphore>,
    pub(super) total: u32,
    /// Of another lane that goes first: where that is crowded, who holds some of this is in the way of others already where
    /// less than this part is left.
    before: Option<(Box<Lane>, usize)>,
    pub(super) line: Arc<Line>,
}

#[derive(Debug, Default)]
pub(super) struct Line {
    /// How many wait in line.
    waiting: AtomicUsize,
    /// How many have a permit.
    pub(super) holders: AtomicUsize,
}

/// Counted until dropped, also where the wait is cancelled.
struct InLine<'a>(&'a AtomicUsize);

impl<'a> InLine<'a> {
    fn stand(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    pub(super) fn new(bytes: usize) -> Self {
        let total = u32::try_from(bytes.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self {
            bytes: Arc::new(Semaphore::new(total as usize)),
            total,
            before: None,
            line: Arc::default(),
        }
    }

    /// Taken from where another has less to offer, and kept free in that part for as long as others wait there.
    pub(super) fn behind(self, before: &Self, part: usize) -> Self {
        let before = Some((Box::new(before.clone()), part));
        Self { before, ..self }
    }

    /// Waits in line for that many bytes; one who wants more than there are gets them all.
    pub(super) async fn take(&self, bytes: usize) -> Permit {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.total);
        let in_line = InLine::stand(&self.line.waiting);
        let bytes = Arc::clone(&self.bytes)
            .acquire_many_owned(wanted)
            .await
            .expect("the lanes are never closed");
        drop(in_line);
        self.permit(bytes)
    }

    /// That many bytes, if they are there and nobody stands in line for them.
    pub(super) fn take_now(&self, bytes: usize) -> Option<Permit> {
        let wanted = u32::try_from(bytes).ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(wanted);
        bytes.ok().map(|bytes| self.permit(bytes))
    }

    fn permit(&self, bytes: OwnedSemaphorePermit) -> Permit {
        self.line.holders.fetch_add(1, Ordering::Relaxed);
        let lane = self.clone();
        Permit(Held::Taken(Taken { bytes, lane }))
    }

    /// Adds to a permit what is missing to `wanted`, as far as that is its share. Who has something waits for no more.
    pub(super) fn grow(&self, permit: &mut Permit, wanted: usize) {
        let more = wanted.min(self.share()).saturating_sub(permit.bytes());
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if let Ok(more) = Arc::clone(&self.bytes).try_acquire_many_owned(more) {
            permit.merge(more);
        }
    }

    /// Of what is left: however many have theirs already, something remains for one more.
    pub(super) fn share(&self) -> usize {
        self.available() / (REPLY_SHARES + self.line.holders.load(Ordering::Relaxed))
    }

    /// What somebody gets at once who takes so many bytes at least: nothing, or that, or his share.
    pub(super) fn offers(&self, least: usize) -> usize {
        let least = least.min(self.total as usize);
        match self.available() >= least {
            true => self.share().max(least),
            false => 0,
        }
    }

    pub(super) fn is_crowded(&self) -> bool {
        let part = match &self.before {
            Some((before, part)) if before.is_crowded() => *part,
            _ => CROWDED_SHARE,
        };
        let little = self.available() < self.total as usize / part;
        let others = self.line.holders.load(Ordering::Relaxed) > 1;
        self.line.waiting.load(Ordering::Relaxed) > 0 || (little && others)
    }

    pub(super) fn taken(&self) -> usize {
        (self.total as usize).saturating_sub(self.available())
    }

    pub(super) fn available(&self) -> usize {
        self.bytes.available_permits()
    }
}
