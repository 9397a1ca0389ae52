//! What the cluster as a whole agreed on: the level at which it writes, and whether an older store was accepted. One row,
//! the checkpoint's own; every effect moves it forward or sets it, so that folding one again changes nothing.

use crate::codec::{Decoder, Encoder, Unreadable};
use crate::command::{Outcome, Rejected};
use crate::effect::{ClusterEffect, Effect};
use crate::history::HistoryId;
use crate::level;
use crate::types::{Lsn, ProducerId, Timestamp, TopicPartition};

use super::State;

/// Session ids that an older store may have handed out since: no cluster opens so many in a lifetime.
const SESSIONS_SKIPPED: u64 = 1 << 32;
/// Producer ids that it may have handed out.
const PRODUCERS_SKIPPED: i64 = 1 << 40;

/// See the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// Effects up to this level are written.
    level: u32,
    /// The drain that raised it, which still writes at the level before: whoever cannot read the new one stops there.
    raised_at: Lsn,
    hold: Option<Hold>,
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

impl Default for Cluster {
    fn default() -> Self {
        Self {
            level: 1,
            raised_at: Lsn(0),
            hold: None,
        }
    }
}

impl Cluster {
    /// The feature level.
    pub(crate) fn level(&self) -> u32 {
        self.level
    }

    /// Whether effects of that level may be written in the drain of `lsn`.
    #[cfg(feature = "level-2")]
    pub(crate) fn writes(&self, level: u32, lsn: Lsn) -> bool {
        self.level >= level && self.raised_at < lsn
    }

    pub(crate) fn hold(&self) -> Option<Hold> {
        self.hold
    }

    pub(crate) fn encode(&self, row: &mut Encoder) {
        row.u32(self.level);
        row.u64(self.raised_at.0);
        match self.hold {
            None => row.u8(0),
            Some(hold) => {
                row.u8(1);
                row.u64(hold.history.0);
                row.i64(hold.since.0);
            }
        }
    }

    pub(crate) fn decode(row: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(Self {
            level: row.u32()?,
            raised_at: Lsn(row.u64()?),
            hold: match row.u8()? {
                0 => None,
                1 => Some(Hold {
                    history: HistoryId(row.u64()?),
                    since: Timestamp(row.i64()?),
                }),
                _ => return Err(Unreadable),
            },
        })
    }
}

type Decided = Result<(Outcome, Vec<Effect>), Rejected>;

impl State {
    /// `None`: to the highest level that this version writes.
    pub(super) fn raise_feature_level(&self, level: Option<u32>) -> Decided {
        let known = self.counters.cluster.level;
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
    pub(super) fn accept_older_store(&self, now: Timestamp, history: HistoryId) -> Decided {
        let next_producer = self.counters.next_producer.checked_add(PRODUCERS_SKIPPED);
        let next_session = self.counters.next_session.checked_add(SESSIONS_SKIPPED);
        let (Some(next_producer), Some(next_session)) = (next_producer, next_session) else {
            return Err(Rejected::InvalidCommand);
        };
        let accepted = ClusterEffect::OlderStoreAccepted {
            history,
            since: now,
            next_session,
            next_producer: ProducerId(next_producer),
        };
        let mut effects = vec![Effect::Cluster(accepted)];
        effects.extend(self.topics.iter().flat_map(|topic| {
            (0..)
                .zip(&topic.logs)
                .map(|(index, log)| Effect::EpochBegan {
                    partition: TopicPartition {
                        topic: topic.topic.id,
                        partition: crate::types::PartitionIndex(index),
                    },
                    start: log.bounds().high_watermark,
                })
        }));
        Ok((Outcome::OlderStoreAccepted, effects))
    }

    pub(super) fn release_hold(&self) -> Decided {
        let effects = match self.counters.cluster.hold {
            Some(_) => vec![Effect::Cluster(ClusterEffect::HoldReleased)],
            None => Vec::new(),
        };
        Ok((Outcome::HoldReleased, effects))
    }

    /// What a version of the next level writes beside each topic's making, once it may.
    #[cfg(feature = "level-2")]
    pub(super) fn with_trial(
        &self,
        lsn: Lsn,
        command: &crate::command::Command,
        mut decided: Vec<Effect>,
    ) -> Vec<Effect> {
        let topic = matches!(command, crate::command::Command::CreateTopic(_));
        if topic && self.counters.cluster.writes(2, lsn) {
            decided.push(Effect::Cluster(ClusterEffect::Trial(lsn.0)));
        }
        decided
    }

    pub(super) fn fold_cluster(&mut self, lsn: Lsn, effect: &ClusterEffect) {
        let cluster = &mut self.counters.cluster;
        match effect {
            ClusterEffect::FeatureLevelRaised { level } => {
                if *level > cluster.level {
                    (cluster.level, cluster.raised_at) = (*level, lsn);
                }
            }
            ClusterEffect::OlderStoreAccepted {
                history,
                since,
                next_session,
                next_producer,
            } => {
                cluster.hold = Some(Hold {
                    history: *history,
                    since: *since,
                });
                let counters = &mut self.counters;
                counters.next_session = counters.next_session.max(*next_session);
                counters.next_producer = counters.next_producer.max(next_producer.0);
                counters.forgot(next_producer.0);
            }
            ClusterEffect::HoldReleased => cluster.hold = None,
            #[cfg(feature = "level-2")]
            ClusterEffect::Trial(_) => {}
        }
    }
}
