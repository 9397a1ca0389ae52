//! The truth in memory: `State::execute` decides a command and folds what it decided; `State::fold` alone replays the
//! log. Both are pure: no clock, randomness or I/O, so the same code runs on every store and in simulation, and state
//! after replay equals state while live.
//!
//! One table per concern, each in its file with its rows: `topics`, `partitions`, `producers`, `objects`, `sessions`,
//! `cluster`. An effect folds into one row of one table (see `effect`), which skips it when the row was loaded from one
//! that already holds it (`as_of`). `commit` decides what touches several.

mod agreed;
mod cluster;
mod commit;
mod hash;
mod limits;
mod objects;
mod partitions;
mod producers;
mod sessions;
pub(crate) mod table;
pub(crate) mod tally;
mod topics;

#[cfg(test)]
pub(crate) mod invariants;
#[cfg(test)]
mod tests;

use cluster::Cluster;
pub use cluster::Hold;
pub(crate) use limits::Exceeded;
pub use limits::{Limits, PRODUCER_BYTES, STATE_BYTES_MAX, STATE_BYTES_MIN, Usage};
pub(crate) use objects::Object;
use objects::Objects;
pub(crate) use partitions::PartitionLog;
use partitions::Partitions;
#[cfg(test)]
pub(crate) use producers::Producer;
use producers::Producers;
use sessions::Sessions;
use topics::Topics;

use crate::codec::{Decoder, Unreadable};
use crate::command::{Command, Outcome, Rejected, Submission};
use crate::effect::{Asked, ClusterEffect, Effect, ProducersEffect, SessionEffect};
use crate::error::Error;
use crate::keys::Key;
use crate::types::{Lsn, ProducerId, Timestamp, TopicId, TopicPartition};
use table::Table;
use tally::{Mark, Tallies};

/// Everything that drains decide on.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// The last drain folded.
    pub(crate) lsn: Lsn,
    pub(crate) limits: Limits,
    pub(crate) topics: Topics,
    pub(crate) partitions: Partitions,
    pub(crate) producers: Producers,
    pub(crate) objects: Objects,
    pub(crate) sessions: Sessions,
    pub(crate) cluster: Cluster,
}

/// What became of a command, and what must be written so that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) outcome: Outcome,
    pub(crate) effects: Vec<Effect>,
}

impl Decision {
    /// What it took, about, in bytes of memory: of its outcome, and of the partitions that it made.
    pub(crate) fn work(&self) -> u64 {
        let made = self.effects.iter().filter_map(|effect| match effect {
            Effect::Topic { what, .. } => what.partitions(),
            _ => None,
        });
        let made: u64 = made.map(|made| u64::from(made.max(0).unsigned_abs())).sum();
        sessions::bytes(&self.outcome) + made * size_of::<PartitionLog>() as u64
    }
}

/// Producers that one command forgets: a drain of them takes little time and log.
pub(crate) const FORGOTTEN_AT_ONCE: usize = 20_000;

type Decided = Result<(Outcome, Vec<Effect>), Rejected>;

impl State {
    /// Decides a submission on this state and folds the effects. `lsn` is that of the drain it is in.
    pub(crate) fn execute(&mut self, lsn: Lsn, now: Timestamp, asked: &Submission) -> Decision {
        if let Some(outcome) = self.sessions.earlier(asked, &self.limits) {
            let effects = Vec::new();
            return Decision { outcome, effects };
        }
        let place = (asked.session != 0).then_some(Asked {
            session: asked.session,
            sequence: asked.sequence,
            seen: asked.seen,
        });
        let refused = match &asked.command {
            Command::CommitObject(commit) => match self.commit_object(lsn, now, commit, place) {
                Ok((outcome, effect)) => {
                    self.at(lsn, now);
                    let effects = vec![effect];
                    return Decision { outcome, effects };
                }
                Err(rejected) => Err(rejected),
            },
            command => self.decide(now, command),
        };
        let refuse = |rejected| (Outcome::Rejected(rejected), Vec::new());
        let (outcome, mut effects) = refused.unwrap_or_else(refuse);
        #[cfg(any(test, feature = "level-2"))]
        {
            effects = self.with_trial(lsn, &asked.command, effects);
        }
        if let Some(Asked {
            session,
            sequence,
            seen,
        }) = place
        {
            let answered = SessionEffect::Answered {
                sequence,
                seen,
                outcome: outcome.clone(),
            };
            effects.push(Effect::session(session, answered));
        }
        for effect in &effects {
            self.fold(lsn, now, effect);
        }
        Decision { outcome, effects }
    }

    /// Moves the naming epoch if it is time to. What must be written then. It stands still while nobody has a session: what
    /// agents named before they lost the sequencer must not become too old meanwhile, and nobody names what could.
    pub(crate) fn advance_naming(&mut self, lsn: Lsn, now: Timestamp) -> Option<Effect> {
        if self.sessions.len() == 0 {
            return None;
        }
        let advanced = self.cluster.next_naming(now)?;
        self.fold(lsn, now, &advanced);
        Some(advanced)
    }

    fn decide(&self, now: Timestamp, command: &Command) -> Decided {
        match command {
            Command::CommitObject(_) => Err(Rejected::InvalidCommand),
            Command::CreateTopic(create) => {
                let first_producer = ProducerId(self.cluster.next_producer);
                let made = self
                    .topics
                    .create(now, create, first_producer, &self.limits);
                self.of_this_epoch(made)
            }
            Command::DeleteTopic(topic) => {
                let held = self.partitions.any_is_known(*topic);
                self.topics.delete(*topic, held, &self.limits)
            }
            Command::CreatePartitions(create) => {
                self.of_this_epoch(self.topics.create_partitions(*create, &self.limits))
            }
            Command::AllocateProducerIds { count } => self.cluster.allocate(*count),
            Command::BindBucket(bucket) => Ok(self.cluster.bind_bucket(*bucket)),
            Command::RaiseFeatureLevel(level) => self.raise_feature_level(*level),
            Command::KeepFeatureLevel(why) => {
                Ok((Outcome::FeatureLevelKept(why.clone()), Vec::new()))
            }
            Command::AcceptOlderStore { history, epoch } => {
                self.accept_older_store(now, *history, *epoch)
            }
            Command::ReleaseHold => self.release_hold(),
            Command::MarkLost { topic, range } => {
                let at = TopicPartition {
                    topic: *topic,
                    partition: range.partition,
                };
                let bounds = self.partitions.get(at).map(PartitionLog::bounds);
                self.topics.mark_lost(*topic, *range, bounds)
            }
            Command::OpenSession { closing, nonce } => self.open_session(closing, *nonce),
            Command::CloseSession(session) => Ok(self.close_session(*session)),
            Command::ExpireProducers { before } => Ok(self.expire_producers(*before)),
        }
    }

    fn open_session(&self, closing: &[u64], nonce: u64) -> Decided {
        let closed = closing
            .iter()
            .filter(|session| self.sessions.get(**session).is_some());
        let mut effects: Vec<_> = closed
            .map(|session| Effect::session(*session, SessionEffect::Closed))
            .collect();
        if self.sessions.len().saturating_sub(effects.len()) >= self.limits.sessions {
            return Err(Rejected::TooManySessions);
        }
        let session = self.cluster.last_session + 1;
        let numbered = ClusterEffect::SessionNumbered { last: session };
        effects.push(Effect::Cluster(numbered));
        effects.push(Effect::session(session, SessionEffect::Opened { nonce }));
        Ok((Outcome::SessionOpened(session), effects))
    }

    fn close_session(&self, session: u64) -> (Outcome, Vec<Effect>) {
        let effects = match self.sessions.get(session) {
            Some(_) => vec![Effect::session(session, SessionEffect::Closed)],
            None => Vec::new(),
        };
        (Outcome::SessionClosed, effects)
    }

    fn expire_producers(&self, before: Timestamp) -> (Outcome, Vec<Effect>) {
        // An idle cluster writes nothing.
        let mut effects = Vec::new();
        let mut end = 0;
        for (partition, ids) in self.producers.silent(before, FORGOTTEN_AT_ONCE) {
            let last = ids.last().map_or(0, |id| id.0.saturating_add(1));
            end = end.max(last);
            let what = ProducersEffect::Forgotten(ids);
            effects.push(Effect::Producers { partition, what });
        }
        if !effects.is_empty() {
            let end = ProducerId(end);
            let before = ClusterEffect::ProducersForgottenBefore { end };
            effects.push(Effect::Cluster(before));
        }
        (Outcome::ProducersExpired, effects)
    }

    /// Makes an effect true. Total: an effect on something gone is nothing. Effects that a row loaded from a checkpoint
    /// already holds (its `as_of`) are skipped, for a crash may have come between a checkpoint's transactions.
    pub(crate) fn fold(&mut self, lsn: Lsn, now: Timestamp, effect: &Effect) {
        self.at(lsn, now);
        match effect {
            Effect::Committed(committed) => self.fold_committed(lsn, now, committed),
            Effect::Topic { topic, what } => {
                let before = self.topics.get(*topic).map(|known| known.topic.partitions);
                if self.topics.fold(lsn, *topic, what) {
                    self.topic_changed(*topic, before.unwrap_or(0));
                }
            }
            Effect::Partition { partition, what } => self.partitions.fold(lsn, *partition, what),
            Effect::Producers { partition, what } => {
                self.producers.fold_effect(lsn, *partition, what);
            }
            Effect::Session { session, what } => self.sessions.fold(lsn, *session, what),
            Effect::Cluster(what) => self.cluster.fold(lsn, what),
        }
    }

    fn at(&mut self, lsn: Lsn, now: Timestamp) {
        self.lsn = lsn;
        self.cluster.passed(now);
    }

    /// Partitions are there, with nothing in them, because their topic says so.
    fn topic_changed(&mut self, topic: TopicId, before: i32) {
        let total = self.topics.get(topic).map(|known| known.topic.partitions);
        if total.is_none() {
            let rows = self.partitions.rows_of(topic);
            self.topics.left_rows(topic, rows);
            self.producers.drop_topic(topic, before);
        }
        self.partitions.resize(topic, total);
    }

    /// Every partition's log, in order.
    pub(crate) fn logs(&self) -> impl Iterator<Item = (TopicPartition, &PartitionLog)> {
        let topics = self.topics.iter().map(|topic| topic.topic.id);
        topics.flat_map(|topic| self.partitions.of(topic))
    }

    /// Takes a state row back, which the store has as that mark says. Topics come first.
    pub(crate) fn load(&mut self, key: Key, row: Decoder, stored: Mark) -> Result<(), Unreadable> {
        match key {
            Key::Topic(topic) => {
                self.topics.load(key, row, stored)?;
                if let Some(known) = self.topics.get(topic) {
                    let total = known.topic.partitions;
                    self.partitions.resize(topic, Some(total));
                }
                Ok(())
            }
            Key::Deleted(_) => self.topics.load(key, row, stored),
            // Still to be cleared.
            Key::Partition(of) if self.topics.is_deleted(of.topic) => Ok(()),
            Key::Producer(of, id) if self.topics.is_deleted(of.topic) => {
                self.producers.left(of, id, stored);
                Ok(())
            }
            Key::Partition(_) => self.partitions.load(key, row, stored),
            Key::Producer(of, _) if self.partitions.get(of).is_none() => Err(Unreadable),
            Key::Producer(..) => self.producers.load(key, row, stored),
            Key::Outcome(..) | Key::Session(_) => self.sessions.load(key, row, stored),
            Key::Cluster => self.cluster.load(key, row, stored),
            _ => Err(Unreadable),
        }
    }

    /// Once all rows are loaded.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where rows are not those that were written last: what is missing would pass for what never was,
    /// and what is older for the truth.
    pub(crate) fn check_rows(&self) -> Result<(), Error> {
        let differ = self.cluster.tallies().differ(&self.tallies());
        differ.map_or(Ok(()), |why| Err(Error::Corrupt(why)))
    }

    /// The rows that are in the store, as the cluster's row counts them.
    pub(crate) fn tallies(&self) -> Tallies {
        let mut partitions = self.partitions.rows();
        partitions.add_all(self.topics.rows_left());
        Tallies {
            topics: self.topics.rows(),
            partitions,
            producers: self.producers.rows(),
            sessions: self.sessions.rows(),
        }
    }

    /// The kinds of rows that [`State::load`] takes, in the order in which it needs them.
    pub(crate) const KINDS: &[u8] = b"ktdpqas";

    /// The tables in the order in which a checkpoint writes them: a partition's row needs its topic's. The cluster's one
    /// row goes with each of its transactions.
    pub(crate) fn tables(&mut self) -> [&mut dyn Table; TABLES] {
        [
            &mut self.topics,
            &mut self.partitions,
            &mut self.producers,
            &mut self.objects,
            &mut self.sessions,
        ]
    }

    #[cfg(test)]
    pub(crate) fn is_clean(&self) -> bool {
        self.topics.is_clean() && self.partitions.is_clean() && self.producers.is_clean()
    }

    /// How much there is of what is bounded.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            topics: self.topics.len() as u64,
            topic_bytes: self.topics.bytes(),
            partitions: self.topics.partitions(),
            deleted_topics: self.topics.left() as u64,
            sessions: self.sessions.len() as u64,
            outcome_bytes: self.sessions.bytes(),
            producers: self.producers.len(),
            producer_bytes: self.producers.bytes(),
        }
    }
}

/// Tables of a state.
pub(crate) const TABLES: usize = 5;
