//! Room that somebody holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::budgets::ASKING_BYTES_MAX;
use super::lane::Lane;
use crate::arriving::{ArrivingLane, Room};

/// Given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(pub(super) Held);

#[derive(Debug)]
pub(super) enum Held {
    Taken(Taken),
    Arriving(Room),
    /// For what many hold at once, and is there once.
    Shared(Arc<Permit>),
    /// Of a request that may ask the metadata: whoever does, waits in a lane of their own.
    Decoded {
        room: Room,
        asking: ArrivingLane,
        /// What it has there, where that is not all that it holds meanwhile: the rest is still in `room`.
        aside: Option<Room>,
    },
    /// Of a request behind which others of its connection were read: what they hold may be of the other lane.
    Place {
        room: Room,
        other: ArrivingLane,
    },
}

/// Of a lane in which whoever has bytes keeps them.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: OwnedSemaphorePermit,
    pub(super) lane: Lane,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.lane.line.holders.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Permit {
    /// How many bytes it is for.
    pub(crate) fn bytes(&self) -> usize {
        match &self.0 {
            Held::Taken(taken) => taken.bytes.num_permits(),
            Held::Arriving(room) | Held::Place { room, .. } => room.bytes(),
            Held::Decoded { room, aside, .. } => {
                room.bytes() + aside.as_ref().map_or(0, Room::bytes)
            }
            Held::Shared(permit) => permit.bytes(),
        }
    }

    /// One of several for the same bytes, given back with the last of them.
    pub(crate) fn shared(permit: &Arc<Self>) -> Self {
        Self(Held::Shared(Arc::clone(permit)))
    }

    pub(super) fn merge(&mut self, more: OwnedSemaphorePermit) {
        if let Held::Taken(taken) = &mut self.0 {
            taken.bytes.merge(more);
        }
    }

    /// Whether others wait in its lane, or get little because hardly anything is left.
    pub(crate) fn is_wanted(&self) -> bool {
        match &self.0 {
            Held::Taken(taken) => taken.lane.is_crowded(),
            Held::Arriving(room) | Held::Decoded { room, .. } => room.is_wanted(),
            Held::Place { room, other } => room.is_wanted() || other.is_wanted(room.origin()),
            Held::Shared(permit) => permit.is_wanted(),
        }
    }

    /// How many hold something in a lane where whoever has bytes keeps them, with this one.
    pub(crate) fn holders(&self) -> usize {
        match &self.0 {
            Held::Taken(taken) => taken.lane.line.holders.load(Ordering::Relaxed),
            Held::Shared(permit) => permit.holders(),
            Held::Arriving(_) | Held::Decoded { .. } | Held::Place { .. } => 1,
        }
    }

    /// Gives its room to others, for what it holds meanwhile among those who wait for the metadata. False where there is no
    /// room: then its request asks nothing, for many would have all of it while the metadata does not answer. Nobody gets more
    /// than half there, and who holds more keeps room for the rest: of those there are two at a time.
    pub(crate) fn step_aside(&mut self, held: usize) -> bool {
        let Held::Decoded {
            room,
            asking,
            aside,
        } = &mut self.0
        else {
            return true;
        };
        if aside.is_some() {
            return true;
        }
        let bytes = held.min(ASKING_BYTES_MAX / 2);
        let Some(taken) = asking.take_now(room.origin(), bytes) else {
            return false;
        };
        match held - bytes {
            0 => self.0 = Held::Arriving(taken),
            rest => {
                room.shrink(rest);
                *aside = Some(taken);
            }
        }
        true
    }

    /// Gives back what is not needed.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        match &mut self.0 {
            Held::Taken(taken) => {
                let more = taken.bytes.num_permits().saturating_sub(bytes);
                drop(taken.bytes.split(more));
            }
            Held::Arriving(room) | Held::Decoded { room, .. } | Held::Place { room, .. } => {
                room.shrink(bytes);
            }
            // It is for others, too.
            Held::Shared(_) => {}
        }
    }

    /// Of a frame that arrives: how long its sender was waited for, and how many bytes came. True where it is to be given
    /// up, because it comes too slowly for those who wait for its permit.
    pub(crate) fn must_leave(&self, waited: Duration, arrived: usize) -> bool {
        matches!(&self.0, Held::Arriving(room) if room.must_leave(waited, arrived))
    }

    /// Resolves when that is so, as soon as others wait and it is known to come too slowly.
    pub(crate) async fn told_to_leave(&self) {
        match &self.0 {
            Held::Arriving(room) => room.told_to_leave().await,
            Held::Taken(_) | Held::Decoded { .. } | Held::Place { .. } | Held::Shared(_) => {
                std::future::pending().await
            }
        }
    }

    /// The frame is here.
    pub(crate) fn is_whole(&self) {
        if let Held::Arriving(room) = &self.0 {
            room.is_whole();
        }
    }
}
