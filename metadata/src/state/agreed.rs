//! What operators decide for the cluster as a whole: the level at which it writes, and whether an older store is accepted.

use super::{Decided, State};
use crate::command::{Outcome, Rejected};
use crate::effect::{ClusterEffect, Effect, PartitionEffect};
use crate::level;
use crate::types::{HistoryId, Offset, PartitionIndex, ProducerId, Timestamp, TopicPartition};

/// Session ids that an older store may have handed out since: no cluster opens so many in a lifetime.
const SESSIONS_SKIPPED: u64 = 1 << 32;
/// Producer ids that it may have handed out.
const PRODUCERS_SKIPPED: i64 = 1 << 40;

impl State {
    /// `None`: to the highest level that this version writes.
    pub(super) fn raise_feature_level(&self, level: Option<u32>) -> Decided {
        let known = self.cluster.level();
        let level = level.unwrap_or_else(level::known);
        if level > level::known() {
            return Err(Rejected::LevelTooHigh);
        }
        let raised = ClusterEffect::FeatureLevelRaised { level };
        let effects = match level > known {
            true => vec![Effect::Cluster(raised)],
            false => Vec::new(),
        };
        Ok((Outcome::FeatureLevel(level.max(known)), effects))
    }

    /// Ids that the lost part of the history may have handed out are skipped, and producers that have some of them go on:
    /// they count as forgotten. Each partition's leader epoch ends here, so that consumers that were past this find out.
    pub(super) fn accept_older_store(
        &self,
        now: Timestamp,
        history: HistoryId,
        epoch: i32,
    ) -> Decided {
        let next_producer = self.cluster.next_producer.checked_add(PRODUCERS_SKIPPED);
        let last_session = self.cluster.last_session.checked_add(SESSIONS_SKIPPED);
        // Each leader epoch has ids of its own: where the same store is accepted again, those of the first time are lost.
        let times = u64::from(epoch.max(0).unsigned_abs());
        let producers = i64::from(epoch.max(0)).checked_mul(PRODUCERS_SKIPPED);
        let next_producer = next_producer.map(|next| next.max(producers.unwrap_or(0)));
        let sessions = times.checked_mul(SESSIONS_SKIPPED).unwrap_or(0);
        let last_session = last_session.map(|last| last.max(sessions));
        let (Some(next_producer), Some(last_session)) = (next_producer, last_session) else {
            return Err(Rejected::InvalidCommand);
        };
        let accepted = ClusterEffect::OlderStoreAccepted {
            history,
            since: now,
            last_session,
            next_producer: ProducerId(next_producer),
            leader_epoch: epoch,
        };
        let mut effects = vec![Effect::Cluster(accepted)];
        effects.extend(self.logs().map(|(partition, log)| {
            let start = log.bounds().high_watermark;
            let what = PartitionEffect::EpochBegan { epoch, start };
            Effect::Partition { partition, what }
        }));
        Ok((Outcome::OlderStoreAccepted, effects))
    }

    /// Begins the leader epoch of partitions that are made, where an older store was accepted: who read a lost topic of that
    /// name before must hear that its epoch ended with nothing.
    pub(super) fn of_this_epoch(&self, made: Decided) -> Decided {
        let (outcome, mut effects) = made?;
        let epoch = self.cluster.leader_epoch;
        if epoch > 0 {
            let partitions = effects.iter().flat_map(|effect| self.made_by(effect));
            let begun = partitions.map(|partition| {
                let start = Offset(0);
                let what = PartitionEffect::EpochBegan { epoch, start };
                Effect::Partition { partition, what }
            });
            let begun: Vec<Effect> = begun.collect();
            effects.extend(begun);
        }
        Ok((outcome, effects))
    }

    /// The partitions that there are more of.
    fn made_by(&self, effect: &Effect) -> impl Iterator<Item = TopicPartition> + use<> {
        let made = match effect {
            Effect::Topic { topic, what } => what.partitions().map(|total| (*topic, total)),
            _ => None,
        };
        let made = made.map(|(topic, total)| {
            let known = self.topics.get(topic);
            let first = known.map_or(0, |known| known.topic.partitions);
            (first..total).map(move |index| TopicPartition {
                topic,
                partition: PartitionIndex(index),
            })
        });
        made.into_iter().flatten()
    }

    pub(super) fn release_hold(&self) -> Decided {
        Ok(match self.cluster.hold() {
            Some(_) => {
                let released = Effect::Cluster(ClusterEffect::HoldReleased);
                (Outcome::HoldReleased, vec![released])
            }
            None => (Outcome::NoHold, Vec::new()),
        })
    }

    /// What a version of the next level writes beside each topic's making, once it may.
    #[cfg(any(test, feature = "level-2"))]
    pub(super) fn with_trial(
        &self,
        lsn: crate::types::Lsn,
        command: &crate::command::Command,
        mut decided: Vec<Effect>,
    ) -> Vec<Effect> {
        let topic = matches!(command, crate::command::Command::CreateTopic(_));
        if topic && self.cluster.writes(2, lsn) {
            decided.push(Effect::Cluster(ClusterEffect::Trial(lsn.0)));
        }
        decided
    }
}
