//! What the state machine should say, worked out in another way: from the list of everything ever accepted.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::command::{Command, CreateTopic, Outcome, Placed, Rejected, Submission, Verdict};
use crate::level::known as known_level;
use crate::types::{BucketId, LostRange, Offset};

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) topics: BTreeMap<TopicId, ModelTopic>,
    /// Topics that are gone and held a record.
    pub(super) deleted: BTreeSet<TopicId>,
    /// Those that never did: their ids may come again once a checkpoint that began later is finished.
    pub(super) vanished: BTreeSet<TopicId>,
    /// Objects that a checkpoint has not moved to rows yet.
    pub(super) objects: BTreeSet<ObjectKey>,
    pub(super) sessions: BTreeMap<u64, ModelSession>,
    pub(super) sessions_opened: u64,
    /// 0 as long as nobody raised it.
    level: u32,
    /// The epoch in which objects are named.
    pub(super) naming: u32,
    next_producer: i64,
    bucket: Option<BucketId>,
    /// No producer with this id or a larger one was ever forgotten.
    forgotten_end: i64,
    /// When an older store was accepted last.
    older_accepted: Option<Timestamp>,
    /// Objects that nobody knows are kept.
    held: bool,
    /// Committed so far.
    blocks: u64,
}

#[derive(Clone, Debug)]
pub(super) struct ModelTopic {
    name: String,
    first_producer: i64,
    /// Something is known of its partitions besides what they hold: leader epochs.
    known: bool,
    pub(super) partitions: Vec<Vec<Accepted>>,
    /// Partitions and offsets.
    pub(super) lost: BTreeSet<(i32, i64)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ModelSession {
    last: u64,
    seen: u64,
    outcomes: BTreeMap<u64, Outcome>,
}

/// A batch that is part of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    pub(super) base_offset: i64,
    pub(super) batch: CommitBatch,
    pub(super) object: ObjectKey,
    /// Where its block lies.
    pub(super) position: u32,
    /// Counted over all that were ever committed: an object's name may come again once it is forgotten.
    pub(super) block: u64,
    /// Bytes of its block before it.
    pub(super) raw_start: u32,
    accepted: Timestamp,
    forgotten: bool,
    /// What its producer sent just before it was lost with a newer store: repetitions are known from here on.
    begins: bool,
}

pub(super) fn end(log: &[Accepted]) -> i64 {
    let after = |last: &Accepted| last.base_offset + i64::from(last.batch.record_count);
    log.last().map_or(0, after)
}

/// A producer's batches that are remembered, oldest first.
fn known(log: &[Accepted], id: ProducerId) -> Vec<(BatchProducer, Accepted)> {
    let of = |accepted: &Accepted| accepted.batch.producer.filter(|producer| producer.id == id);
    log.iter()
        .filter(|accepted| !accepted.forgotten)
        .filter_map(|accepted| of(accepted).map(|producer| (producer, *accepted)))
        .collect()
}

/// The sequence that follows a batch.
fn following(sequence: i32, count: u32) -> i32 {
    let next = i64::from(sequence) + i64::from(count);
    i32::try_from(next & i64::from(i32::MAX)).unwrap()
}

impl Model {
    pub(super) fn submit(&mut self, now: Timestamp, asked: &Submission) -> Outcome {
        if asked.session == 0 {
            return self.command(now, &asked.command);
        }
        let Some(session) = self.sessions.get(&asked.session) else {
            return Outcome::Rejected(Rejected::SessionClosed);
        };
        if asked.sequence <= session.last {
            let kept = session.outcomes.get(&asked.sequence).cloned();
            let kept = kept.filter(|_| asked.sequence >= session.seen);
            return kept.unwrap_or(Outcome::Rejected(Rejected::InvalidCommand));
        }
        let outcome = self.command(now, &asked.command);
        if let Some(session) = self.sessions.get_mut(&asked.session) {
            session.last = asked.sequence;
            session.seen = session.seen.max(asked.seen);
            session.outcomes.insert(asked.sequence, outcome.clone());
        }
        outcome
    }

    fn command(&mut self, now: Timestamp, command: &Command) -> Outcome {
        let done = match command {
            Command::CommitObject(commit) => self.commit(now, commit),
            Command::CreateTopic(create) => self.create(create),
            Command::DeleteTopic(topic) => match self.topics.remove(topic) {
                Some(gone) => {
                    let held = gone.known || gone.partitions.iter().any(|log| !log.is_empty());
                    match held {
                        true => self.deleted.insert(*topic),
                        false => self.vanished.insert(*topic),
                    };
                    Ok(Outcome::TopicDeleted)
                }
                None => Err(Rejected::UnknownTopic),
            },
            Command::CreatePartitions(create) => match self.topics.get_mut(&create.topic) {
                None => Err(Rejected::UnknownTopic),
                Some(topic) => match usize::try_from(create.total) {
                    Ok(total) if total > topic.partitions.len() => {
                        topic.partitions.resize(total, Vec::new());
                        Ok(Outcome::PartitionsCreated)
                    }
                    _ => Err(Rejected::InvalidPartitions),
                },
            },
            Command::AllocateProducerIds { count: 0 } => Err(Rejected::InvalidCommand),
            Command::AllocateProducerIds { count } => {
                let first = ProducerId(self.next_producer);
                self.next_producer += i64::from(*count);
                Ok(Outcome::ProducerIds {
                    first,
                    count: *count,
                })
            }
            Command::BindBucket(bucket) => {
                self.bucket = self.bucket.or(*bucket);
                Ok(Outcome::BucketBound(self.bucket))
            }
            Command::RaiseFeatureLevel(level) => match level.unwrap_or_else(known_level) {
                level if level > known_level() => Err(Rejected::LevelTooHigh),
                level => {
                    self.level = self.level.max(level).max(1);
                    Ok(Outcome::FeatureLevel(self.level))
                }
            },
            Command::KeepFeatureLevel(why) => Ok(Outcome::FeatureLevelKept(why.clone())),
            Command::AcceptOlderStore { epoch, .. } => {
                let epoch = i64::from(*epoch);
                let sessions = u64::try_from(epoch << 32).unwrap();
                self.sessions_opened = sessions.max(self.sessions_opened + (1 << 32));
                self.next_producer = (self.next_producer + (1 << 40)).max(epoch << 40);
                self.forgotten_end = self.next_producer;
                self.older_accepted = self.older_accepted.max(Some(now));
                self.held = true;
                self.topics
                    .values_mut()
                    .for_each(|topic| topic.known = true);
                Ok(Outcome::OlderStoreAccepted)
            }
            Command::ReleaseHold => Ok(match std::mem::take(&mut self.held) {
                true => Outcome::HoldReleased,
                false => Outcome::NoHold,
            }),
            Command::MarkLost { topic, range } => self.lose(*topic, *range),
            Command::OpenSession { closing, .. } => {
                self.sessions.retain(|id, _| !closing.contains(id));
                self.sessions_opened += 1;
                self.sessions
                    .insert(self.sessions_opened, ModelSession::default());
                Ok(Outcome::SessionOpened(self.sessions_opened))
            }
            Command::CloseSession(session) => {
                self.sessions.remove(session);
                Ok(Outcome::SessionClosed)
            }
            Command::ExpireProducers { before } => {
                self.expire(*before);
                Ok(Outcome::ProducersExpired)
            }
        };
        done.unwrap_or_else(Outcome::Rejected)
    }

    fn lose(&mut self, topic: TopicId, range: LostRange) -> Result<Outcome, Rejected> {
        let topic = self.topics.get_mut(&topic).ok_or(Rejected::UnknownTopic)?;
        let log = topic
            .partitions
            .get(usize::try_from(range.partition.0).unwrap());
        let end = end(log.ok_or(Rejected::UnknownPartition)?);
        let (from, until) = (range.from.0, range.until.0);
        if from < 0 || from >= until || until > end {
            return Err(Rejected::NotInLog);
        }
        let offsets = (from..until).map(|offset| (range.partition.0, offset));
        topic.lost.extend(offsets);
        Ok(Outcome::MarkedLost)
    }

    fn create(&mut self, create: &CreateTopic) -> Result<Outcome, Rejected> {
        let alike = |a: &str, b: &str| a.replace('_', ".") == b.replace('_', ".");
        let partitions = usize::try_from(create.partitions).unwrap();
        if partitions == 0 {
            return Err(Rejected::InvalidPartitions);
        }
        if self.topics.values().any(|topic| topic.name == create.name) {
            return Err(Rejected::TopicExists);
        }
        if self
            .topics
            .values()
            .any(|topic| alike(&topic.name, &create.name))
        {
            return Err(Rejected::TopicNameCollides);
        }
        let was = self.deleted.contains(&create.id) || self.vanished.contains(&create.id);
        if was || self.topics.contains_key(&create.id) {
            return Err(Rejected::InvalidCommand);
        }
        let topic = ModelTopic {
            name: create.name.clone(),
            first_producer: self.next_producer,
            known: self.older_accepted.is_some(),
            partitions: vec![Vec::new(); partitions],
            lost: BTreeSet::new(),
        };
        self.topics.insert(create.id, topic);
        Ok(Outcome::TopicCreated(create.id))
    }

    fn commit(&mut self, now: Timestamp, commit: &CommitObject) -> Result<Outcome, Rejected> {
        let named = commit.object.epoch().0;
        if named + 36 < self.naming {
            return Err(Rejected::ObjectTooOld);
        }
        if named > self.naming {
            return Err(Rejected::InvalidCommand);
        }
        if self.objects.contains(&commit.object) {
            return Err(Rejected::ObjectCommitted);
        }
        let torn = |block: &CommitBlock| {
            let lengths: u32 = block.batches.iter().map(|batch| batch.raw_length).sum();
            lengths != block.range.raw_length
        };
        if commit.blocks.iter().any(torn) {
            return Err(Rejected::InvalidCommand);
        }
        self.objects.insert(commit.object);
        let mut verdicts = Vec::new();
        for block in &commit.blocks {
            self.blocks += 1;
            let mut raw_start = 0;
            for batch in &block.batches {
                verdicts.push(self.batch(now, commit.object, block, *batch, raw_start));
                raw_start += batch.raw_length;
            }
        }
        Ok(Outcome::Committed(verdicts))
    }

    pub(super) fn batch(
        &mut self,
        now: Timestamp,
        object: ObjectKey,
        block: &CommitBlock,
        batch: CommitBatch,
        raw_start: u32,
    ) -> Verdict {
        let (forgotten_end, ids_end) = (self.forgotten_end, self.next_producer);
        let topic = self
            .topics
            .get_mut(&block.topic)
            .ok_or(Rejected::UnknownTopic)?;
        let first_producer = topic.first_producer;
        let log = usize::try_from(block.partition.0).ok();
        let log = log.and_then(|index| topic.partitions.get_mut(index));
        let log = log.ok_or(Rejected::UnknownPartition)?;
        let placed = |offset, duplicate| Placed {
            base_offset: Offset(offset),
            log_start_offset: Offset(0),
            duplicate,
        };
        if batch.withheld {
            return Err(Rejected::Withheld);
        }
        let mut begins = false;
        if let Some(claimed) = batch.producer {
            let may_be_forgotten = claimed.id.0 < first_producer || claimed.id.0 < forgotten_end;
            let (first, sequence) = (claimed.base_sequence.0 == 0, claimed.base_sequence.0);
            let mine = known(log, claimed.id);
            let is_behind = mine.last().is_some_and(|(last, newest)| {
                let next = following(last.base_sequence.0, newest.batch.record_count);
                let ahead = (i64::from(sequence) - i64::from(next)).rem_euclid(1 << 31);
                let later = (last.epoch == claimed.epoch && ahead < (1 << 30) - 1)
                    || last.epoch < claimed.epoch;
                later && self.older_accepted >= Some(newest.accepted)
            });
            match mine.last() {
                None if claimed.id.0 >= ids_end => return Err(Rejected::UnknownProducerId),
                None if first || may_be_forgotten => {}
                None => return Err(Rejected::OutOfOrderSequence),
                Some((last, _)) if claimed.epoch < last.epoch => {
                    return Err(Rejected::InvalidProducerEpoch);
                }
                Some((last, _)) if claimed.epoch > last.epoch => {
                    if !first && !is_behind {
                        return Err(Rejected::OutOfOrderSequence);
                    }
                }
                Some((last, newest)) => {
                    let after = mine.iter().rposition(|(_, accepted)| accepted.begins);
                    let window = mine[after.unwrap_or(0)..].iter().rev().take(5);
                    let mut window = window.take_while(|(known, _)| known.epoch == claimed.epoch);
                    let original = window.find(|(known, accepted)| {
                        known.base_sequence == claimed.base_sequence
                            && accepted.batch.record_count == batch.record_count
                    });
                    if let Some((_, original)) = original {
                        return Ok(placed(original.base_offset, true));
                    }
                    if following(last.base_sequence.0, newest.batch.record_count) != sequence {
                        if !is_behind {
                            return Err(Rejected::OutOfOrderSequence);
                        }
                        begins = true;
                    }
                }
            }
        }
        let base_offset = end(log);
        log.push(Accepted {
            base_offset,
            batch,
            object,
            position: block.range.position,
            block: self.blocks,
            raw_start,
            accepted: now,
            forgotten: false,
            begins,
        });
        Ok(placed(base_offset, false))
    }

    fn expire(&mut self, before: Timestamp) {
        for log in self
            .topics
            .values_mut()
            .flat_map(|topic| &mut topic.partitions)
        {
            let ids: BTreeSet<_> = log
                .iter()
                .filter_map(|accepted| accepted.batch.producer)
                .map(|p| p.id)
                .collect();
            for id in ids {
                let silent = known(log, id)
                    .last()
                    .is_some_and(|(_, last)| last.accepted < before);
                if silent {
                    self.forgotten_end = self.forgotten_end.max(id.0 + 1);
                    let mine = |accepted: &&mut Accepted| {
                        accepted
                            .batch
                            .producer
                            .is_some_and(|producer| producer.id == id)
                    };
                    log.iter_mut()
                        .filter(mine)
                        .for_each(|accepted| accepted.forgotten = true);
                }
            }
        }
    }

    /// A batch that stands to its producer's earlier ones as `kind` says.
    pub(super) fn make(&self, at: TopicPartition, sent: Sent, now: Timestamp) -> CommitBatch {
        let time = Timestamp(now.0 - sent.age_ms);
        let log = self
            .topics
            .get(&at.topic)
            .and_then(|topic| topic.partitions.get(usize::try_from(at.partition.0).ok()?));
        let mine = |producer| known(log.map_or(&[][..], Vec::as_slice), ProducerId(producer));
        // Epoch and next sequence.
        let next = |producer| match mine(producer).last() {
            Some((last, accepted)) => {
                let count = accepted.batch.record_count;
                (last.epoch.0, following(last.base_sequence.0, count))
            }
            None => (0, 0),
        };
        let (count, producer) = match sent.kind {
            Kind::Plain => (sent.count, None),
            Kind::Next { producer } | Kind::Withheld { producer } => {
                let (epoch, sequence) = next(producer);
                (sent.count, Some((producer, epoch, sequence)))
            }
            Kind::Again { producer, back } => match mine(producer).iter().rev().nth(back) {
                Some((known, accepted)) => {
                    let claimed = (producer, known.epoch.0, known.base_sequence.0);
                    (accepted.batch.record_count, Some(claimed))
                }
                None => (sent.count, Some((producer, 0, 0))),
            },
            Kind::Other { producer } => match mine(producer).last() {
                Some((known, accepted)) => {
                    let claimed = (producer, known.epoch.0, known.base_sequence.0);
                    (accepted.batch.record_count + 1, Some(claimed))
                }
                None => (sent.count, Some((producer, 0, 0))),
            },
            Kind::Gap { producer, by } => {
                let (epoch, sequence) = next(producer);
                let sequence = sequence.saturating_add(by).max(0);
                (sent.count, Some((producer, epoch, sequence)))
            }
            Kind::NewEpoch { producer, sequence } => {
                (sent.count, Some((producer, next(producer).0 + 1, sequence)))
            }
            Kind::OldEpoch { producer } => {
                let (epoch, sequence) = next(producer);
                (sent.count, Some((producer, (epoch - 1).max(0), sequence)))
            }
            Kind::NearWrap { producer } => {
                (sent.count, Some((producer, next(producer).0, i32::MAX - 3)))
            }
        };
        CommitBatch {
            withheld: matches!(sent.kind, Kind::Withheld { .. }),
            flags: sent.flags,
            ..batch(count, time, producer)
        }
    }
}
