//! The truth in memory: `State::execute` decides a command and folds what it decided; `State::fold` alone replays the
//! log. Both are pure: no clock, randomness or I/O, so the same code runs on every store and in simulation, and state
//! after replay equals state while live. Each file holds the decisions of its concern and the folds beside them.

mod cluster;
mod objects;
mod partition_log;
mod producers;
mod sessions;
mod topics;

#[cfg(test)]
mod invariants;
#[cfg(test)]
mod tests;

pub(crate) use cluster::Cluster;
pub use cluster::Hold;
pub(crate) use objects::{Object, Objects};
pub(crate) use partition_log::PartitionLog;
pub(crate) use producers::Producer;
use producers::{Batch, Producers};
pub(crate) use sessions::{Session, Sessions};
pub(crate) use topics::Topics;

use crate::command::{Command, Outcome, Rejected, Submission};
use crate::effect::Effect;
use crate::types::{BucketId, Lsn, NamingEpoch, ProducerId, Timestamp, TopicPartition};

/// A naming epoch lasts so long, in state time.
const NAMING_INTERVAL_MS: i64 = 10 * 60 * 1000;
/// A segment named so many epochs ago, six hours, may be committed; one named earlier is refused, for the collection of
/// objects never committed may be about to delete it.
const NAMING_EPOCHS_OPEN: u32 = 36;

/// Everything that drains decide on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// The last drain folded.
    pub(crate) lsn: Lsn,
    pub(crate) topics: Topics,
    /// Objects named since the last checkpoint; older ones lie in the store only.
    pub(crate) objects: Objects,
    pub(crate) sessions: Sessions,
    pub(crate) counters: Counters,
    /// What changed since the last checkpoint.
    pub(crate) dirty: Dirty,
}

/// Cluster-wide counters, and what else there is one of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// The next producer id to hand out.
    pub(crate) next_producer: i64,
    /// Producers with this id or a larger one were never forgotten anywhere.
    pub(crate) expired_producer_end: i64,
    pub(crate) next_session: u64,
    pub(crate) cluster: Cluster,
    /// Where segments lie, once an agent said so. No later word moves it: records are only there.
    pub(crate) bucket: Option<BucketId>,
    /// State time: that of the last drain that wrote something; 0 before the first.
    pub(crate) now: Timestamp,
    /// Objects are named in this epoch.
    pub(crate) naming: NamingEpoch,
    /// State time when it began.
    pub(crate) naming_since: Timestamp,
}

/// Rows that differ from the store's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dirty {
    /// The last checkpoint: up to here everything is in rows.
    pub(crate) since: Lsn,
    pub(crate) topics: std::collections::BTreeSet<crate::types::TopicId>,
    pub(crate) partitions: std::collections::BTreeSet<TopicPartition>,
    pub(crate) sessions: std::collections::BTreeSet<u64>,
}

/// What became of a command, and what must be written so that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) outcome: Outcome,
    pub(crate) effects: Vec<Effect>,
}

impl State {
    /// Decides a submission on this state and folds the effects, entry by entry. `lsn` is that of the drain it is in.
    pub(crate) fn execute(&mut self, lsn: Lsn, now: Timestamp, asked: &Submission) -> Decision {
        let mut effects = Vec::new();
        let outcome = match self.sessions.earlier(asked) {
            Some(outcome) => return Decision { outcome, effects },
            None => self.decide_and_fold(lsn, now, &asked.command, &mut effects),
        };
        if asked.session != 0 {
            let answered = Effect::Answered {
                session: asked.session,
                sequence: asked.sequence,
                seen: asked.seen,
                outcome: outcome.clone(),
            };
            self.fold(lsn, now, &answered);
            effects.push(answered);
        }
        Decision { outcome, effects }
    }

    fn decide_and_fold(
        &mut self,
        lsn: Lsn,
        now: Timestamp,
        command: &Command,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let decided = match command {
            Command::CommitObject(commit) => {
                return self.commit_object(lsn, now, commit, effects);
            }
            Command::CreateTopic(create) => {
                let first_producer = ProducerId(self.counters.next_producer);
                self.topics.create(create, first_producer)
            }
            Command::DeleteTopic(topic) => self.topics.delete(*topic),
            Command::CreatePartitions(create) => self.topics.create_partitions(*create),
            Command::AllocateProducerIds { count } => self.counters.allocate(*count),
            Command::BindBucket(bucket) => Ok(self.bind_bucket(*bucket)),
            Command::OpenSession { closing, nonce } => Ok(self.open_session(closing, *nonce)),
            Command::RaiseFeatureLevel(level) => self.raise_feature_level(*level),
            Command::AcceptOlderStore(history) => self.accept_older_store(now, *history),
            Command::ReleaseHold => self.release_hold(),
            Command::CloseSession(session) => Ok(self.close_session(*session)),
            Command::ExpireProducers { before } => Ok(self.expire_producers(*before)),
        };
        let (outcome, decided) = decided.unwrap_or_else(|no| (Outcome::Rejected(no), Vec::new()));
        #[cfg(feature = "level-2")]
        let decided = self.with_trial(lsn, command, decided);
        for effect in decided {
            self.fold(lsn, now, &effect);
            effects.push(effect);
        }
        outcome
    }

    fn bind_bucket(&self, wanted: Option<BucketId>) -> (Outcome, Vec<Effect>) {
        let effects = match (self.counters.bucket, wanted) {
            (None, Some(bucket)) => vec![Effect::BucketBound(bucket)],
            _ => Vec::new(),
        };
        (
            Outcome::BucketBound(self.counters.bucket.or(wanted)),
            effects,
        )
    }

    /// Moves the naming epoch if it is time to. What must be written then.
    pub(crate) fn advance_naming(&mut self, lsn: Lsn, now: Timestamp) -> Option<Effect> {
        if now < self.counters.naming_due() {
            return None;
        }
        let epoch = NamingEpoch(self.counters.naming.0.saturating_add(1));
        let advanced = Effect::NamingAdvanced { epoch };
        self.fold(lsn, now, &advanced);
        Some(advanced)
    }

    fn open_session(&self, closing: &[u64], nonce: u64) -> (Outcome, Vec<Effect>) {
        let closed = closing
            .iter()
            .filter(|session| self.sessions.get(**session).is_some());
        let mut effects: Vec<_> = closed
            .map(|session| Effect::SessionClosed { session: *session })
            .collect();
        let session = self.counters.next_session + 1;
        effects.push(Effect::SessionOpened { session, nonce });
        (Outcome::SessionOpened(session), effects)
    }

    fn close_session(&self, session: u64) -> (Outcome, Vec<Effect>) {
        let effects = match self.sessions.get(session) {
            Some(_) => vec![Effect::SessionClosed { session }],
            None => Vec::new(),
        };
        (Outcome::SessionClosed, effects)
    }

    fn expire_producers(&self, before: Timestamp) -> (Outcome, Vec<Effect>) {
        let effects = match self.topics.anybody_silent(before) {
            true => vec![Effect::ProducersExpired { before }],
            // An idle cluster writes nothing.
            false => Vec::new(),
        };
        (Outcome::ProducersExpired, effects)
    }

    /// Makes an effect true. Total: an effect on something gone is nothing. Effects that a row loaded from a checkpoint
    /// already holds (its `as_of`) are skipped, for a crash may have come between a checkpoint's transactions.
    pub(crate) fn fold(&mut self, lsn: Lsn, now: Timestamp, effect: &Effect) {
        self.lsn = lsn;
        self.counters.fold_time(now);
        match effect {
            Effect::TopicCreated(created) => {
                self.dirty.topics.insert(created.id);
                self.topics.fold_created(lsn, now, created);
            }
            Effect::TopicDeleted(topic) => {
                self.dirty.topics.insert(*topic);
                self.topics.fold_deleted(*topic);
            }
            Effect::PartitionsCreated { topic, total } => {
                self.dirty.topics.insert(*topic);
                self.topics.fold_partitions(lsn, *topic, *total);
            }
            Effect::ProducerIdsAllocated { next } => {
                self.counters.next_producer = self.counters.next_producer.max(next.0);
            }
            Effect::ObjectCommitted {
                object,
                size,
                references,
            } => {
                let object_state = Object::committed(*size, *references, now);
                self.objects.insert(*object, object_state);
            }
            Effect::Appended(appended) => {
                if let Some(forgotten) = self.topics.fold_appended(lsn, now, appended) {
                    self.dirty.partitions.insert(appended.partition);
                    self.counters.forgot(forgotten);
                }
            }
            Effect::ProducersExpired { before } => {
                let (partitions, id_end) = self.topics.fold_expired(lsn, *before);
                self.dirty.partitions.extend(partitions);
                self.counters.forgot(id_end);
            }
            Effect::BucketBound(bucket) => self.counters.bucket = Some(*bucket),
            Effect::Cluster(effect) => self.fold_cluster(lsn, effect),
            Effect::EpochBegan { partition, start } => {
                self.dirty.partitions.insert(*partition);
                self.topics.fold_epoch(lsn, *partition, *start);
            }
            Effect::SessionOpened { session, nonce } => {
                self.dirty.sessions.insert(*session);
                self.counters.next_session = self.counters.next_session.max(*session);
                self.sessions.fold_opened(lsn, *session, *nonce);
            }
            Effect::SessionClosed { session } => {
                self.dirty.sessions.insert(*session);
                self.sessions.fold_closed(*session);
            }
            Effect::Answered {
                session,
                sequence,
                seen,
                outcome,
            } => {
                self.dirty.sessions.insert(*session);
                self.sessions
                    .fold_answered(lsn, *session, *sequence, *seen, outcome);
            }
            Effect::NamingAdvanced { epoch } => self.counters.fold_naming(now, *epoch),
        }
    }
}

impl Counters {
    /// State time at which the next naming epoch is to begin.
    pub(crate) fn naming_due(&self) -> Timestamp {
        Timestamp(self.naming_since.0.saturating_add(NAMING_INTERVAL_MS))
    }

    /// Objects named in an earlier epoch are committed no more.
    pub(crate) fn naming_floor(&self) -> NamingEpoch {
        NamingEpoch(self.naming.0.saturating_sub(NAMING_EPOCHS_OPEN))
    }

    fn fold_time(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if self.naming_since == Timestamp::default() {
            // The first epoch begins with the store.
            self.naming_since = now;
        }
    }

    fn fold_naming(&mut self, now: Timestamp, epoch: NamingEpoch) {
        if epoch > self.naming {
            self.naming = epoch;
            self.naming_since = now;
        }
    }

    /// Producers before that id, or nobody (0), were forgotten somewhere.
    fn forgot(&mut self, id_end: i64) {
        self.expired_producer_end = self.expired_producer_end.max(id_end);
    }

    fn allocate(&self, count: u32) -> Result<(Outcome, Vec<Effect>), Rejected> {
        let first = ProducerId(self.next_producer);
        let next = first.0.checked_add(count.into());
        match next {
            Some(next) if (1..=1_000_000).contains(&count) => Ok((
                Outcome::ProducerIds { first, count },
                vec![Effect::ProducerIdsAllocated {
                    next: ProducerId(next),
                }],
            )),
            _ => Err(Rejected::InvalidCommand),
        }
    }
}
