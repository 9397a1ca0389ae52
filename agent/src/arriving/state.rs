//! Who holds room, who waits for some, who is next, and who has to leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::origin::Origin;

/// While others wait, a frame must arrive at this rate,
const BYTES_PER_SECOND_MIN: usize = 128 * 1024;
/// or at the one at which all of it is here in that time: no client waits longer for an answer.
const TIME_MAX: Duration = Duration::from_secs(30);
/// So much faster, where its origin holds more than its share and others wait.
const PAST_SHARE: u32 = 8;
/// Where less than this part of a shared lane is left, who holds some is in the way of others.
const CROWDED_SHARE: usize = 8;
/// For what is late without being slow: a packet that got lost, a client on the other side of the world.
pub(super) const GRACE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct State {
    total: usize,
    rules: Rules,
    pub(super) free: usize,
    /// The next one in line.
    next: u64,
    /// Those who hold room or wait for it.
    pub(super) origins: BTreeMap<Origin, Party>,
    /// Of each origin that waits: what it holds, and since when it waits for its turn. Kept, for crowds ask for it often.
    line: BTreeSet<(usize, u64, Origin)>,
    pub(super) holders: BTreeMap<u64, Holder>,
    /// Bytes of those who were told to leave.
    pub(super) leaving: usize,
}

/// How a lane goes about its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// An origin that holds some gets no more than it leaves free.
    pub(super) limited: bool,
    /// Whoever comes too slowly is told to leave where others wait.
    pub(super) slow_leave: bool,
}

/// All of one origin.
#[derive(Debug, Default)]
pub(super) struct Party {
    held: usize,
    leaving: usize,
    /// When it was given something last, in numbers of the line.
    turn: u64,
    waiting: BTreeMap<u64, Waiter>,
}

impl Party {
    /// Its place in line: what it holds, and since when it waits. Who was given something stands behind all others who
    /// wait already, though more of its own may have come before them.
    fn place(&self) -> Option<(usize, u64)> {
        let (first, _) = self.waiting.first_key_value()?;
        Some((self.held, self.turn.max(*first)))
    }
}

#[derive(Debug)]
struct Waiter {
    bytes: usize,
    frame_bytes: usize,
    granted: oneshot::Sender<()>,
    told: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct Holder {
    origin: Origin,
    bytes: usize,
    frame_bytes: usize,
    arrival: Arrival,
    /// Rung when it has to leave.
    told: Arc<Notify>,
}

/// How far a frame has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    /// Nothing is known that speaks against its sender.
    Expected,
    /// So long its sender was waited for, and so many bytes came.
    Under { waited: Duration, arrived: usize },
    /// It was told to make room.
    Leaves,
}

impl State {
    pub(super) fn new(total: usize, rules: Rules) -> Self {
        Self {
            total,
            rules,
            free: total,
            next: 0,
            origins: BTreeMap::new(),
            line: BTreeSet::new(),
            holders: BTreeMap::new(),
            leaving: 0,
        }
    }

    /// The number by which whoever waits is known from now on, until he leaves, and how many bytes he gets: no more than there
    /// are. He is told when he has room, and when he has to give it back.
    pub(super) fn stand_in_line(
        &mut self,
        origin: Origin,
        frame_bytes: usize,
        granted: oneshot::Sender<()>,
        told: Arc<Notify>,
    ) -> (u64, usize) {
        let number = self.next;
        self.next += 1;
        let bytes = frame_bytes.clamp(1, self.total);
        let waiter = Waiter {
            bytes,
            frame_bytes,
            granted,
            told,
        };
        self.change(origin, |party| {
            party.waiting.insert(number, waiter);
        });
        self.grant();
        self.make_room();
        (number, bytes)
    }

    /// A holder gives back all but so many bytes.
    pub(super) fn shrink(&mut self, number: u64, bytes: usize) {
        let Some(holder) = self.holders.get_mut(&number) else {
            return;
        };
        let back = holder.bytes.saturating_sub(bytes);
        holder.bytes -= back;
        let (origin, leaves) = (holder.origin, holder.arrival == Arrival::Leaves);
        let leaving = if leaves { back } else { 0 };
        self.free += back;
        self.leaving -= leaving;
        self.change(origin, |party| {
            party.held -= back;
            party.leaving -= leaving;
        });
        self.grant();
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.total - self.free
    }

    /// Whether that origin holds anything.
    pub(super) fn holds(&self, origin: Origin) -> bool {
        let party = self.origins.get(&origin);
        party.is_some_and(|party| party.held > 0)
    }

    /// Whether somebody waits for what that origin holds, or finds next to nothing because of it.
    pub(super) fn is_wanted(&self, origin: Origin) -> bool {
        if !self.rules.limited {
            return !self.line.is_empty();
        }
        let party = self.origins.get(&origin);
        let own = party.is_some_and(|party| !party.waiting.is_empty());
        let crowded = self.free < self.total / CROWDED_SHARE && self.holders.len() > 1;
        own || crowded || self.head().is_some()
    }

    /// What a holder says of its frame, and whether it has to go.
    pub(super) fn must_leave(&mut self, number: u64, waited: Duration, arrived: usize) -> bool {
        let Some(holder) = self.holders.get_mut(&number) else {
            return false;
        };
        if holder.arrival == Arrival::Leaves {
            return true;
        }
        holder.arrival = Arrival::Under { waited, arrived };
        if holder.late(PAST_SHARE).is_none() {
            return false;
        }
        self.make_room();
        let holder = self.holders.get(&number);
        holder.is_some_and(|holder| holder.arrival == Arrival::Leaves)
    }

    /// A holder's frame is here.
    pub(super) fn is_whole(&mut self, number: u64) {
        let Some(holder) = self.holders.get_mut(&number) else {
            return;
        };
        let before = std::mem::replace(&mut holder.arrival, Arrival::Expected);
        if before == Arrival::Leaves {
            // It came all the same; somebody else has to make room.
            let (origin, bytes) = (holder.origin, holder.bytes);
            self.leaving -= bytes;
            self.change(origin, |party| party.leaving -= bytes);
            self.make_room();
        }
    }

    /// Somebody waits no longer, or gives back what he held.
    pub(super) fn leave(&mut self, origin: Origin, number: u64) {
        let holder = self.holders.remove(&number);
        let held = holder.as_ref().map_or(0, |holder| holder.bytes);
        let leaves = holder.is_some_and(|holder| holder.arrival == Arrival::Leaves);
        let leaving = if leaves { held } else { 0 };
        self.free += held;
        self.leaving -= leaving;
        self.change(origin, |party| {
            party.held -= held;
            party.leaving -= leaving;
            party.waiting.remove(&number);
        });
        self.grant();
        self.make_room();
    }

    /// Changes what is known of an origin, and its place in line.
    fn change<T>(&mut self, origin: Origin, change: impl FnOnce(&mut Party) -> T) -> T {
        let party = self.origins.entry(origin).or_default();
        if let Some((held, since)) = party.place() {
            self.line.remove(&(held, since, origin));
        }
        let changed = change(party);
        if let Some((held, since)) = party.place() {
            self.line.insert((held, since, origin));
        } else if party.held == 0 {
            self.origins.remove(&origin);
        }
        changed
    }

    /// Who is next, and how much he wants: of the origin that holds least and had its turn longest ago, who came first.
    /// Nobody overtakes him, however little he wants; an origin that holds all it may is passed over.
    fn head(&self) -> Option<(Origin, usize)> {
        let mut line = self.line.iter().filter_map(|(held, _, origin)| {
            let (_, waiter) = self.origins.get(origin)?.waiting.first_key_value()?;
            let may = !self.rules.limited || *held == 0 || held + 2 * waiter.bytes <= self.free;
            may.then_some((*origin, waiter.bytes))
        });
        line.next()
    }

    fn grant(&mut self) {
        while let Some((origin, bytes)) = self.head()
            && bytes <= self.free
        {
            let turn = self.next;
            self.next += 1;
            let first = self.change(origin, |party| {
                party.held += bytes;
                party.turn = turn;
                party.waiting.pop_first()
            });
            let Some((number, waiter)) = first else {
                return;
            };
            self.free -= bytes;
            let holder = Holder {
                origin,
                bytes,
                frame_bytes: waiter.frame_bytes,
                arrival: Arrival::Expected,
                told: waiter.told,
            };
            self.holders.insert(number, holder);
            // One who is gone drops his room in a moment.
            let _ = waiter.granted.send(());
        }
    }

    /// Tells as many to leave as keep the next in line from what it wants: first those past their origin's share, then the
    /// slowest. Where all who wait hold what they may, those leave that keep others of their own origin waiting.
    fn make_room(&mut self) {
        if !self.rules.slow_leave {
            return;
        }
        while let Some(number) = self.in_the_way() {
            let Some(holder) = self.holders.get_mut(&number) else {
                return;
            };
            holder.arrival = Arrival::Leaves;
            holder.told.notify_one();
            self.leaving += holder.bytes;
            if let Some(party) = self.origins.get_mut(&holder.origin) {
                party.leaving += holder.bytes;
            }
        }
    }

    /// Who is to leave next, if anybody is.
    fn in_the_way(&self) -> Option<u64> {
        let Some((next, wanted)) = self.head() else {
            return self.in_the_way_of_its_own();
        };
        if self.free + self.leaving >= wanted {
            return None;
        }
        let late = self.holders.iter().filter_map(|(number, holder)| {
            let past_share = self.past_share(holder, next);
            let late = holder.late(if past_share { PAST_SHARE } else { 1 })?;
            Some((past_share, late, *number))
        });
        late.max().map(|(.., slowest)| slowest)
    }

    fn in_the_way_of_its_own(&self) -> Option<u64> {
        let late = self.holders.iter().filter_map(|(number, holder)| {
            let late = holder.late(1)?;
            let party = self.origins.get(&holder.origin)?;
            let (_, waiter) = party.waiting.first_key_value()?;
            let held = party.held - party.leaving;
            let waits = held + 2 * waiter.bytes > self.free + self.leaving;
            waits.then_some((late, *number))
        });
        late.max().map(|(_, slowest)| slowest)
    }

    /// Whether its origin has, without it, what it could have if all had the same, and another waits.
    fn past_share(&self, holder: &Holder, next: Origin) -> bool {
        let party = &self.origins[&holder.origin];
        let others = (party.held - party.leaving).saturating_sub(holder.bytes);
        holder.origin != next && others >= self.total / self.origins.len()
    }
}

impl Holder {
    /// By how much it is, if it is, where it has to be so much faster than others.
    fn late(&self, faster: u32) -> Option<Duration> {
        let Arrival::Under { waited, arrived } = self.arrival else {
            return None;
        };
        let whole = self.frame_bytes.max(1);
        let slowest = TIME_MAX.min(seconds(whole, BYTES_PER_SECOND_MIN));
        let due = (slowest / faster).mul_f64(share(arrived, whole));
        let late = waited.checked_sub(GRACE + due)?;
        (!late.is_zero()).then_some(late)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share of a frame needs no more than 52 bits"
)]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

fn seconds(bytes: usize, per_second: usize) -> Duration {
    Duration::from_secs_f64(share(bytes, per_second))
}
