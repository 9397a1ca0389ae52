//! The lane as those see it who wait in it, and hold room for what arrives.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::state::{Rules, State};
use crate::origin::Origin;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ArrivingLane(pub(super) Arc<Mutex<State>>);

/// A place in line, and then room for a frame. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    lane: ArrivingLane,
    origin: Origin,
    number: u64,
    bytes: usize,
    told: Arc<Notify>,
}

impl ArrivingLane {
    /// One in which a lone origin may have everything, and whoever comes too slowly makes room for others.
    pub(crate) fn new(total: usize) -> Self {
        Self::with(total, false, true)
    }

    /// One in which no origin that holds something gets more than it leaves free: whatever one machine has there, others find
    /// as much, and however it holds it, they wait for none of it. Nobody is told to leave.
    pub(crate) fn shared(total: usize) -> Self {
        Self::with(total, true, false)
    }

    /// One in which both is so: what has arrived there may wait for others for long.
    pub(crate) fn shared_by_arriving(total: usize) -> Self {
        Self::with(total, true, true)
    }

    fn with(total: usize, limited: bool, slow_leave: bool) -> Self {
        let rules = Rules {
            limited,
            slow_leave,
        };
        Self(Arc::new(Mutex::new(State::new(total, rules))))
    }

    /// Waits in line for that many bytes; one who wants more than there are gets them all.
    pub(crate) async fn take(&self, origin: Origin, bytes: usize) -> Room {
        let (room, got) = self.stand_in_line(origin, bytes);
        got.await.expect("who waits is granted room or gone");
        room
    }

    /// The same where nobody stands in line.
    pub(crate) fn take_now(&self, origin: Origin, bytes: usize) -> Option<Room> {
        let (room, mut got) = self.stand_in_line(origin, bytes);
        got.try_recv().is_ok().then_some(room)
    }

    fn stand_in_line(&self, origin: Origin, bytes: usize) -> (Room, oneshot::Receiver<()>) {
        let (granted, got) = oneshot::channel();
        let told = Arc::new(Notify::new());
        let (number, bytes) = {
            let mut state = self.0.lock();
            state.stand_in_line(origin, bytes, granted, Arc::clone(&told))
        };
        let room = Room {
            lane: self.clone(),
            origin,
            number,
            bytes,
            told,
        };
        (room, got)
    }

    /// Whether an origin holds something here for which others wait.
    pub(crate) fn is_wanted(&self, origin: Origin) -> bool {
        let state = self.0.lock();
        state.holds(origin) && state.is_wanted(origin)
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.0.lock().taken()
    }
}

impl Room {
    /// Whose it is.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// How many bytes it is for: no more than there are.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back all but so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if bytes < self.bytes {
            self.bytes = bytes;
            self.lane.0.lock().shrink(self.number, bytes);
        }
    }

    /// Told by its holder now and then while the frame arrives: how long its sender was waited for, and how many bytes came.
    /// True where the frame is to be given up, because others wait for its room and it comes more slowly than theirs would.
    pub(crate) fn must_leave(&self, waited: Duration, arrived: usize) -> bool {
        let mut state = self.lane.0.lock();
        state.must_leave(self.number, waited, arrived)
    }

    /// Resolves when the frame is to be given up.
    pub(crate) async fn told_to_leave(&self) {
        self.told.notified().await;
    }

    /// The frame is here: how long its room is held is no longer its sender's doing.
    pub(crate) fn is_whole(&self) {
        self.lane.0.lock().is_whole(self.number);
    }

    /// Whether others wait for it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.lane.0.lock().is_wanted(self.origin)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.lane.0.lock().leave(self.origin, self.number);
    }
}
