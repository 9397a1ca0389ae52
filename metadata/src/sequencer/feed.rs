//! The queue of one that is told what became durable, bounded by what is in it. The sequencer has one end, `rpc` the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::types::Extent;
use crate::update::Update;

/// Updates that may wait for one subscriber, one for each drain that touches what it watches.
const UPDATES_MAX: usize = 16 * 1024;
/// The extents and topics in them.
const UPDATE_ITEMS_MAX: usize = 256 * 1024;
/// About what the sequencer holds for each partition that a subscriber watches.
const WATCHED_BYTES: usize = 192;

/// The sequencer's end of a subscriber's queue.
#[derive(Debug)]
pub(crate) struct Feed {
    sender: mpsc::Sender<Update>,
    items: Arc<AtomicUsize>,
    watched: Arc<AtomicUsize>,
}

/// The subscriber's end.
#[derive(Debug)]
pub(crate) struct Updates {
    receiver: mpsc::Receiver<Update>,
    items: Arc<AtomicUsize>,
    watched: Arc<AtomicUsize>,
}

/// What is in a queue right now.
#[derive(Debug)]
pub(crate) enum Waiting {
    Update(Update),
    Nothing,
    /// Cut off: too slow, one of too many of the same session, or the sequencer ended.
    CutOff,
}

pub(crate) fn feed() -> (Feed, Updates) {
    let (sender, receiver) = mpsc::channel(UPDATES_MAX);
    let items = Arc::new(AtomicUsize::new(0));
    let watched = Arc::new(AtomicUsize::new(0));
    let feed = Feed {
        sender,
        items: Arc::clone(&items),
        watched: Arc::clone(&watched),
    };
    let updates = Updates {
        receiver,
        items,
        watched,
    };
    (feed, updates)
}

impl Feed {
    /// False: it does not fit, or nobody reads it.
    pub(super) fn push(&self, update: Update) -> bool {
        let items = update.items();
        let before = self.items.fetch_add(items, Ordering::AcqRel);
        // What is larger than the bound goes when nothing else waits.
        let fits = before == 0 || before + items <= UPDATE_ITEMS_MAX;
        fits && self.sender.try_send(update).is_ok()
    }

    /// Items for which there is room.
    pub(super) fn room(&self) -> usize {
        UPDATE_ITEMS_MAX.saturating_sub(self.items.load(Ordering::Acquire))
    }

    /// The subscriber watches so many partitions now.
    pub(super) fn watches(&self, partitions: usize) {
        self.watched.store(partitions, Ordering::Release);
    }

    /// Nobody reads it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Updates {
    /// About what waits, and what the sequencer knows of what is watched, in memory.
    pub(crate) fn bytes(&self) -> usize {
        let watched = self.watched.load(Ordering::Acquire);
        self.items.load(Ordering::Acquire) * size_of::<Extent>() + watched * WATCHED_BYTES
    }

    /// The next update; `None` once cut off.
    pub(crate) async fn next(&mut self) -> Option<Update> {
        let update = self.receiver.recv().await?;
        self.items.fetch_sub(update.items(), Ordering::AcqRel);
        Some(update)
    }

    /// What is there already. Whatever was published before an answer is there when the answer is.
    pub(crate) fn waiting(&mut self) -> Waiting {
        match self.receiver.try_recv() {
            Ok(update) => {
                self.items.fetch_sub(update.items(), Ordering::AcqRel);
                Waiting::Update(update)
            }
            Err(mpsc::error::TryRecvError::Empty) => Waiting::Nothing,
            Err(mpsc::error::TryRecvError::Disconnected) => Waiting::CutOff,
        }
    }
}
