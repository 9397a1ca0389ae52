//! Lineage: which owners wrote which part of the log. A newer lsn proves nothing, for a store that went back in time soon
//! passes the old one with other content; so the store keeps the chain of those who wrote it, and whoever remembers a
//! point serves only if that point lies on the chain.
//!
//! A [`Chain`] holds a link for each owner that wrote something: `(epoch, nonce, first lsn)`. The nonce is random, so an
//! owner that took over a store that went back is never taken for the one that held it before. A link ends where the next
//! one begins. An owner that wrote nothing leaves no link: nobody can remember anything of it, and a quarrel over the
//! order cannot push the past out of the chain.

use crate::codec::{Decoder, Encoder, Unreadable};
use crate::keys::Key;
pub use crate::types::HistoryId;
use crate::types::Lsn;

/// Owners that a chain remembers; of older ones it cannot tell any more.
pub const LINKS_MAX: usize = 1024;
/// Histories that a chain remembers to have been given up by an operator.
pub const EARLIER_MAX: usize = 64;

const VERSION: u8 = 1;

/// "In this history the owner (epoch, nonce) wrote `lsn`, and it was durable". Made by [`Chain::point`] alone, so that
/// the owner is the one that wrote the lsn, not one that only found it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    pub history: HistoryId,
    pub epoch: u64,
    pub nonce: u64,
    pub lsn: Lsn,
}

/// An owner of the store and the first lsn that it may have written. It wrote up to where the next link begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub epoch: u64,
    pub nonce: u64,
    pub first: Lsn,
}

/// See the file. At most [`LINKS_MAX`] links, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    history: HistoryId,
    /// Histories given up for this one, oldest first.
    earlier: Vec<HistoryId>,
    /// Epochs and first lsns rise.
    links: Vec<Link>,
    /// Whether links were dropped before the first one.
    cut: bool,
    /// The leader epoch: as many histories ended in this one, or more, where those of a lost one were skipped.
    ended: u32,
}

/// Whether a store holds what somebody remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not, and an operator accepted that: what is remembered past the point is lost, and whoever remembers it
    /// begins afresh.
    Accepted,
    /// It does not: the store went back in time, or is another one.
    No,
    /// The chain does not reach back so far. Not proven, so not to be served from.
    TooOld,
}

impl Chain {
    /// Of a store that nobody has written yet.
    #[must_use]
    pub fn new(history: HistoryId, epoch: u64, nonce: u64) -> Self {
        let first = Lsn(1);
        Self {
            history,
            earlier: Vec::new(),
            links: vec![Link {
                epoch,
                nonce,
                first,
            }],
            cut: false,
            ended: 0,
        }
    }

    /// The history of what is written now.
    #[must_use]
    pub fn history(&self) -> HistoryId {
        self.history
    }

    /// Kafka's leader epoch of every partition: 0 until an older store was accepted. Never larger than the newest owner's
    /// epoch, so that by a point of a lost history it is known which it may have had.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        i32::try_from(self.ended).unwrap_or(i32::MAX)
    }

    /// Those who wrote the log, oldest first.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Whether the owner comes after all that the chain has, or is its last.
    #[must_use]
    pub fn may_extend(&self, epoch: u64, nonce: u64) -> bool {
        let last = self.links.last();
        last.is_none_or(|last| (last.epoch, last.nonce) == (epoch, nonce) || last.epoch < epoch)
    }

    /// A new owner took over from `head`, the last durable lsn: it writes from the next one on. Epochs that do not rise
    /// are a fault of the caller, who took over from an owner on this chain.
    pub fn extend(&mut self, epoch: u64, nonce: u64, head: Lsn) {
        let first = Lsn(head.0.saturating_add(1));
        // Owners that wrote nothing.
        while self.links.last().is_some_and(|last| last.first >= first) {
            self.links.pop();
        }
        if self.links.len() == LINKS_MAX {
            self.links.remove(0);
            self.cut = true;
        }
        self.links.push(Link {
            epoch,
            nonce,
            first,
        });
    }

    /// An operator accepts this store although more was known: a new history begins with the next owner.
    pub fn begin_history(&mut self, history: HistoryId) {
        if self.earlier.len() == EARLIER_MAX {
            self.earlier.remove(0);
        }
        self.earlier.push(self.history);
        self.history = history;
        self.ended = self.ended.saturating_add(1);
    }

    /// Leader epochs before that one may have been those of a history that is lost: the next one is no smaller.
    pub fn skip_leader_epochs(&mut self, before: u64) {
        let ended = before.saturating_sub(1).min(i32::MAX.unsigned_abs().into());
        self.ended = self.ended.max(u32::try_from(ended).unwrap_or(0));
    }

    /// An operator says that this store goes on from another history, too, as that of a lost store.
    pub fn give_up(&mut self, history: HistoryId) {
        if history != self.history && !self.earlier.contains(&history) {
            if self.earlier.len() == EARLIER_MAX {
                self.earlier.remove(0);
            }
            self.earlier.push(history);
        }
    }

    /// What to remember once `lsn` is durable; `None` before the first one, or if the chain does not reach back so far.
    #[must_use]
    pub fn point(&self, lsn: Lsn) -> Option<Point> {
        let link = self.links[..self.after(lsn)].last()?;
        Some(Point {
            history: self.history,
            epoch: link.epoch,
            nonce: link.nonce,
            lsn,
        })
    }

    /// Whether a store with this chain, durable up to `head`, holds what is remembered.
    #[must_use]
    pub fn holds(&self, head: Lsn, point: &Point) -> Holds {
        let current = point.history == self.history;
        if !current && !self.earlier.contains(&point.history) {
            return Holds::No;
        }
        let writer = match self.after(point.lsn) {
            0 => None,
            after => self.links.get(after - 1),
        };
        match writer {
            Some(link)
                if point.lsn <= head && (link.epoch, link.nonce) == (point.epoch, point.nonce) =>
            {
                Holds::Yes
            }
            _ if !current => Holds::Accepted,
            None if self.cut => Holds::TooOld,
            _ => Holds::No,
        }
    }

    /// How many links begin at or before `lsn`.
    fn after(&self, lsn: Lsn) -> usize {
        self.links.partition_point(|link| link.first <= lsn)
    }

    /// As a row of the store.
    pub(crate) fn to_row(&self) -> bytes::Bytes {
        let mut row = Encoder::versioned(VERSION);
        self.encode(&mut row);
        row.sealed(&Key::Lineage.encode())
    }

    /// From a row of the store.
    pub(crate) fn from_row(row: bytes::Bytes) -> Result<Self, Unreadable> {
        let mut row = Decoder::versioned(&Key::Lineage.encode(), row, VERSION)?;
        let chain = Self::decode(&mut row)?;
        row.end()?;
        Ok(chain)
    }

    pub(crate) fn encode(&self, row: &mut Encoder) {
        row.u64(self.history.0);
        row.u64(self.earlier.len() as u64);
        self.earlier.iter().for_each(|history| row.u64(history.0));
        row.u8(u8::from(self.cut));
        row.u32(self.ended);
        row.u64(self.links.len() as u64);
        // Epochs and lsns rise: the difference to the link before is short.
        let (mut epoch, mut first) = (0, 0);
        for link in &self.links {
            row.u64(link.epoch - epoch);
            row.u64(link.nonce);
            row.u64(link.first.0 - first);
            (epoch, first) = (link.epoch, link.first.0);
        }
    }

    pub(crate) fn decode(row: &mut Decoder) -> Result<Self, Unreadable> {
        let history = HistoryId(row.u64()?);
        let earlier = row.list(|row| row.u64().map(HistoryId))?;
        let cut = match row.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Unreadable),
        };
        let ended = row.u32()?;
        let mut last: Option<Link> = None;
        let links = row.list(|row| {
            let (epoch, nonce, first) = (row.u64()?, row.u64()?, row.u64()?);
            let link = match last {
                None => Link {
                    epoch,
                    nonce,
                    first: Lsn(first),
                },
                Some(_) if epoch == 0 || first == 0 => return Err(Unreadable),
                Some(before) => Link {
                    epoch: before.epoch.checked_add(epoch).ok_or(Unreadable)?,
                    nonce,
                    first: Lsn(before.first.0.checked_add(first).ok_or(Unreadable)?),
                },
            };
            last = Some(link);
            Ok(link)
        })?;
        if links.is_empty() || links.len() > LINKS_MAX || earlier.len() > EARLIER_MAX {
            return Err(Unreadable);
        }
        Ok(Self {
            history,
            earlier,
            links,
            cut,
            ended,
        })
    }
}

impl Point {
    pub(crate) fn encode(&self, row: &mut Encoder) {
        row.u64(self.history.0);
        row.u64(self.epoch);
        row.u64(self.nonce);
        row.u64(self.lsn.0);
    }

    pub(crate) fn decode(row: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(Self {
            history: HistoryId(row.u64()?),
            epoch: row.u64()?,
            nonce: row.u64()?,
            lsn: Lsn(row.u64()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HISTORY: HistoryId = HistoryId(9);

    /// A store, its log as numbers that are never given twice, so that two logs are the same where their numbers are.
    #[derive(Clone)]
    struct Model {
        chain: Chain,
        epoch: u64,
        log: Vec<u64>,
    }

    /// The world around it: what lies in backups, what somebody remembers.
    struct World {
        store: Model,
        backups: Vec<Model>,
        remembered: Vec<(Point, u64)>,
        fresh: u64,
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// So many lsns become durable.
        Write(u8),
        TakeOver,
        Backup,
        /// A backup is put back, the newest or an older one, and somebody takes it over.
        GoBack(u8),
        Remember,
        /// An operator accepts the store as it is.
        Accept,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..5_u8).prop_map(Step::Write),
            2 => Just(Step::TakeOver),
            2 => Just(Step::Backup),
            1 => (0..4_u8).prop_map(Step::GoBack),
            3 => Just(Step::Remember),
            1 => Just(Step::Accept),
        ]
    }

    impl World {
        fn new() -> Self {
            Self {
                store: Model {
                    chain: Chain::new(HISTORY, 0, 1),
                    epoch: 0,
                    log: Vec::new(),
                },
                backups: Vec::new(),
                remembered: Vec::new(),
                fresh: 100,
            }
        }

        fn fresh(&mut self) -> u64 {
            self.fresh += 1;
            self.fresh
        }

        fn take_over(&mut self) {
            self.store.epoch += 1;
            let (nonce, head) = (self.fresh(), self.head());
            let epoch = self.store.epoch;
            self.store.chain.extend(epoch, nonce, head);
        }

        fn head(&self) -> Lsn {
            Lsn(self.store.log.len() as u64)
        }

        fn step(&mut self, step: &Step) {
            match step {
                Step::Write(count) => {
                    for _ in 0..*count {
                        let content = self.fresh();
                        self.store.log.push(content);
                    }
                }
                Step::TakeOver => self.take_over(),
                Step::Backup => self.backups.push(self.store.clone()),
                Step::GoBack(age) => {
                    let newest = self.backups.len().checked_sub(1 + usize::from(*age));
                    if let Some(backup) = newest.and_then(|index| self.backups.get(index)) {
                        self.store = backup.clone();
                        self.take_over();
                    }
                }
                Step::Remember => {
                    if let Some(point) = self.store.chain.point(self.head()) {
                        let last = self.store.log.last().copied();
                        self.remembered.push((point, last.unwrap()));
                    }
                }
                Step::Accept => {
                    let history = HistoryId(self.fresh());
                    self.store.chain.begin_history(history);
                    self.take_over();
                }
            }
        }

        /// Whether the store's log still has what was remembered, by what it says.
        fn has(&self, point: &Point, content: u64) -> bool {
            let index = usize::try_from(point.lsn.0 - 1).unwrap();
            self.store.log.get(index) == Some(&content)
        }
    }

    proptest! {
        /// By any amount, at any time, and however far it went on since, also past the lsn remembered.
        #[test]
        fn a_store_that_went_back_is_told_from_one_that_did_not(
            steps in proptest::collection::vec(step(), 0..60)
        ) {
            let mut world = World::new();
            for step in &steps {
                world.step(step);
                for (point, content) in &world.remembered {
                    let holds = world.store.chain.holds(world.head(), point);
                    if world.has(point, *content) {
                        // Where a backup of an earlier history is back, the later history is unknown to it, even for
                        // the part that both have: whoever accepted the later one must say so again.
                        let known = world.store.chain.history == point.history
                            || world.store.chain.earlier.contains(&point.history);
                        prop_assert_eq!(holds, if known { Holds::Yes } else { Holds::No });
                    } else {
                        prop_assert_ne!(holds, Holds::Yes);
                        prop_assert_ne!(holds, Holds::TooOld);
                        if world.store.chain.history == point.history {
                            prop_assert_eq!(holds, Holds::No);
                        }
                    }
                }
            }
        }

        #[test]
        fn a_chain_comes_back_as_it_went(steps in proptest::collection::vec(step(), 0..60)) {
            let mut world = World::new();
            steps.iter().for_each(|step| world.step(step));
            let row = world.store.chain.to_row();
            prop_assert_eq!(Chain::from_row(row), Ok(world.store.chain.clone()));
        }

        #[test]
        fn no_bytes_upset_it(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(chain) = Chain::from_row(bytes.into()) {
                prop_assert_eq!(Chain::from_row(chain.to_row()), Ok(chain));
            }
        }
    }

    #[test]
    fn of_owners_long_ago_it_cannot_tell() {
        let mut chain = Chain::new(HISTORY, 0, 1);
        let old = chain.point(Lsn(1)).unwrap();
        for epoch in 1..=LINKS_MAX as u64 {
            chain.extend(epoch, epoch, Lsn(epoch));
        }
        assert_eq!(chain.links().len(), LINKS_MAX);
        let head = Lsn(5_000);
        assert_eq!(chain.holds(head, &old), Holds::TooOld);
        let new = chain.point(Lsn(2)).unwrap();
        assert_eq!(chain.holds(head, &new), Holds::Yes);
        let other = Point { nonce: 0, ..new };
        assert_eq!(chain.holds(head, &other), Holds::No);
        assert!(chain.to_row().len() < 16 * 1024, "it fits in a message");
    }

    #[test]
    fn owners_that_wrote_nothing_leave_nothing() {
        let mut chain = Chain::new(HISTORY, 0, 1);
        let point = chain.point(Lsn(1)).unwrap();
        for epoch in 1..=5_000 {
            chain.extend(epoch, epoch, Lsn(1));
        }
        assert_eq!(chain.links().len(), 2);
        assert_eq!(chain.holds(Lsn(1), &point), Holds::Yes);
    }

    #[test]
    fn what_is_past_the_head_is_not_held() {
        let chain = Chain::new(HISTORY, 0, 1);
        let point = chain.point(Lsn(10)).unwrap();
        assert_eq!(chain.holds(Lsn(9), &point), Holds::No);
        assert_eq!(chain.holds(Lsn(10), &point), Holds::Yes);
    }

    #[test]
    fn an_older_store_that_was_accepted_says_so() {
        let mut chain = Chain::new(HISTORY, 0, 1);
        let (kept, lost) = (chain.point(Lsn(5)).unwrap(), chain.point(Lsn(8)).unwrap());
        chain.begin_history(HistoryId(10));
        chain.extend(1, 2, Lsn(5));
        assert_eq!(chain.holds(Lsn(20), &kept), Holds::Yes);
        assert_eq!(chain.holds(Lsn(20), &lost), Holds::Accepted);
        assert_eq!(chain.leader_epoch(), 1);
        let new = chain.point(Lsn(8)).unwrap();
        assert_eq!(new.history, HistoryId(10));
        assert_eq!(Chain::new(HISTORY, 0, 1).holds(Lsn(20), &new), Holds::No);
    }
}
