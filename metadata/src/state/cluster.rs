//! What there is one of in the cluster: counters, and the time.

use super::table::{Page, Table, Wrote, decode_row};
use super::tally::{Mark, Tallies};
use crate::codec::{Decoder, Unreadable};
use crate::command::{Outcome, Rejected};
use crate::effect::{ClusterEffect, Effect};
use crate::error::Error;
use crate::keys::Key;
use crate::types::{BucketId, HistoryId, Lsn, NamingEpoch, ProducerId, Timestamp};

/// Producer ids handed out at once.
const PRODUCER_IDS_MAX: u32 = 1_000_000;
/// A naming epoch lasts so long, in state time.
const NAMING_INTERVAL_MS: i64 = 10 * 60 * 1000;
/// A segment named so many epochs ago, six hours, may be committed; one named earlier is refused, for the collection of
/// objects never committed may be about to delete it.
const NAMING_EPOCHS_OPEN: u32 = 36;

/// One row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    known: Known,
    /// The row holds everything up to here.
    as_of: Lsn,
    /// The rows of others in the store.
    tallies: Tallies,
}

wire_struct! {
    /// What its row holds.
    struct Row {
        as_of: Lsn,
        known: Known,
        tallies: Tallies,
    }
}

wire_struct! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Known {
        /// Effects up to this level are written.
        level: u32,
        /// The drain that raised it, which still writes at the level before: whoever cannot read the new one stops there.
        raised_at: Lsn,
        hold: Option<Hold>,
        /// The next producer id to hand out.
        pub(crate) next_producer: i64,
        /// Producers with this id or a larger one were never forgotten anywhere.
        pub(crate) expired_producer_end: i64,
        /// The last session so far.
        pub(crate) last_session: u64,
        /// Where segments lie, once an agent said so. No later word moves it: records are only there.
        pub(crate) bucket: Option<BucketId>,
        /// State time: that of the last drain that wrote something; 0 before the first.
        pub(crate) now: Timestamp,
        /// Objects are named in this epoch.
        pub(crate) naming: NamingEpoch,
        /// State time when it began.
        pub(crate) naming_since: Timestamp,
        /// State time when an older store was accepted last; before all times if none ever was. Of producers that were
        /// not heard of since, the last batches may be lost.
        pub(crate) older_accepted: Timestamp,
        /// The leader epoch that began then, 0 if none ever did: that of partitions made since.
        pub(super) leader_epoch: i32,
    }
}

/// Objects that the metadata does not know may be records that an older store lost: none may be deleted until an
/// operator releases them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The history that began when the older store was accepted.
    pub history: HistoryId,
    /// When it was.
    pub since: Timestamp,
}

wire_fields!(Hold { history, since });

impl Default for Known {
    fn default() -> Self {
        Self {
            level: 1,
            raised_at: Lsn(0),
            hold: None,
            next_producer: 0,
            expired_producer_end: 0,
            last_session: 0,
            bucket: None,
            now: Timestamp::default(),
            naming: NamingEpoch::default(),
            naming_since: Timestamp::default(),
            older_accepted: Timestamp(i64::MIN),
            leader_epoch: 0,
        }
    }
}

impl std::ops::Deref for Cluster {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

impl Cluster {
    pub(super) fn passed(&mut self, now: Timestamp) {
        self.known.now = self.known.now.max(now);
        if self.known.naming_since == Timestamp::default() {
            // The first epoch begins with the store.
            self.known.naming_since = now;
        }
    }

    pub(super) fn fold(&mut self, lsn: Lsn, what: &ClusterEffect) {
        if self.as_of >= lsn {
            return;
        }
        let known = &mut self.known;
        match what {
            ClusterEffect::ProducerIdsAllocated { next } => {
                known.next_producer = known.next_producer.max(next.0);
            }
            ClusterEffect::ProducersForgottenBefore { end } => {
                known.expired_producer_end = known.expired_producer_end.max(end.0);
            }
            ClusterEffect::SessionNumbered { last } => {
                known.last_session = known.last_session.max(*last);
            }
            ClusterEffect::BucketBound(bucket) => known.bucket = Some(*bucket),
            ClusterEffect::NamingAdvanced { epoch, now } if *epoch > known.naming => {
                (known.naming, known.naming_since) = (*epoch, *now);
            }
            ClusterEffect::NamingAdvanced { .. } => {}
            ClusterEffect::FeatureLevelRaised { level } if *level > known.level => {
                (known.level, known.raised_at) = (*level, lsn);
            }
            ClusterEffect::FeatureLevelRaised { .. } => {}
            ClusterEffect::OlderStoreAccepted {
                history,
                since,
                last_session,
                next_producer,
                leader_epoch,
            } => {
                known.hold = Some(Hold {
                    history: *history,
                    since: *since,
                });
                known.older_accepted = known.older_accepted.max(*since);
                known.leader_epoch = known.leader_epoch.max(*leader_epoch);
                known.last_session = known.last_session.max(*last_session);
                known.next_producer = known.next_producer.max(next_producer.0);
                known.expired_producer_end = known.expired_producer_end.max(next_producer.0);
            }
            ClusterEffect::HoldReleased => known.hold = None,
            #[cfg(any(test, feature = "level-2"))]
            ClusterEffect::Trial(_) => {}
        }
    }

    pub(super) fn allocate(&self, count: u32) -> Result<(Outcome, Vec<Effect>), Rejected> {
        let first = ProducerId(self.next_producer);
        match first.0.checked_add(count.into()) {
            Some(next) if (1..=PRODUCER_IDS_MAX).contains(&count) => {
                let next = ProducerId(next);
                let allocated = ClusterEffect::ProducerIdsAllocated { next };
                let outcome = Outcome::ProducerIds { first, count };
                Ok((outcome, vec![Effect::Cluster(allocated)]))
            }
            _ => Err(Rejected::InvalidCommand),
        }
    }

    pub(super) fn bind_bucket(&self, wanted: Option<BucketId>) -> (Outcome, Vec<Effect>) {
        let effects = match (self.bucket, wanted) {
            (None, Some(bucket)) => vec![Effect::Cluster(ClusterEffect::BucketBound(bucket))],
            _ => Vec::new(),
        };
        (Outcome::BucketBound(self.bucket.or(wanted)), effects)
    }

    /// The feature level.
    pub(crate) fn level(&self) -> u32 {
        self.known.level
    }

    /// Whether effects of that level may be written in the drain of `lsn`.
    #[cfg(any(test, feature = "level-2"))]
    pub(super) fn writes(&self, level: u32, lsn: Lsn) -> bool {
        self.known.level >= level && self.known.raised_at < lsn
    }

    pub(crate) fn hold(&self) -> Option<Hold> {
        self.known.hold
    }

    /// State time at which the next naming epoch is to begin.
    pub(crate) fn naming_due(&self) -> Timestamp {
        Timestamp(self.naming_since.0.saturating_add(NAMING_INTERVAL_MS))
    }

    /// Objects named in an earlier epoch are committed no more.
    pub(super) fn naming_floor(&self) -> NamingEpoch {
        NamingEpoch(self.naming.0.saturating_sub(NAMING_EPOCHS_OPEN))
    }

    /// What moves the naming epoch, if it is time to.
    pub(super) fn next_naming(&self, now: Timestamp) -> Option<Effect> {
        if now < self.naming_due() {
            return None;
        }
        let epoch = NamingEpoch(self.naming.0.saturating_add(1));
        Some(Effect::Cluster(ClusterEffect::NamingAdvanced {
            epoch,
            now,
        }))
    }

    /// These rows are in the store with the page.
    pub(crate) fn counted(&mut self, tallies: Tallies) {
        self.tallies = tallies;
    }

    /// The rows of others that are in the store.
    pub(crate) fn tallies(&self) -> Tallies {
        self.tallies
    }

    /// The row that this was loaded from holds everything up to here.
    pub(crate) fn as_of(&self) -> Lsn {
        self.as_of
    }
}

/// A table of one row, which says at which level other rows are written: it goes with each transaction of a checkpoint,
/// and is read before all others.
impl Table for Cluster {
    fn begin(&mut self) {}

    fn write(&mut self, page: &mut Page) -> Result<Wrote, Error> {
        let row = Row {
            as_of: page.lsn,
            known: self.known,
            tallies: self.tallies,
        };
        page.set_uncounted(Key::Cluster, &row);
        Ok(Wrote::All)
    }

    fn load(&mut self, key: Key, row: Decoder, _: Mark) -> Result<(), Unreadable> {
        match key {
            Key::Cluster => {
                let row: Row = decode_row(row)?;
                (self.as_of, self.known) = (row.as_of, row.known);
                self.tallies = row.tallies;
                Ok(())
            }
            _ => Err(Unreadable),
        }
    }
}
