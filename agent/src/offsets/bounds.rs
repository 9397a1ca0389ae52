//! The bounds of all partitions of a request in one confirmed read. Used by both handlers of this room.

use std::collections::HashMap;

use metadata::{Bounds, PartitionIndex, TopicPartition};
use protocol::ErrorCode;

use crate::call::Call;
use crate::refusal;

/// What a partition's topic is, and what its bounds are.
pub(super) struct Confirmed<'a> {
    found: HashMap<(&'a str, i32), (TopicPartition, Bounds)>,
    /// Why nothing is known, if so.
    failed: Option<ErrorCode>,
}

impl<'a> Confirmed<'a> {
    /// As of a moment after the call. Who finds no room among those who wait for the metadata is told to ask again.
    pub(super) async fn read(call: &Call, wanted: impl Iterator<Item = (&'a str, i32)>) -> Self {
        let context = call.context.as_ref();
        let catalogue = context.metadata.catalogue();
        let (mut names, mut partitions) = (Vec::new(), Vec::new());
        for (topic, partition) in wanted {
            if let Some(known) = catalogue.topic(topic) {
                names.push((topic, partition));
                partitions.push(TopicPartition {
                    topic: known.id,
                    partition: PartitionIndex(partition),
                });
            }
        }
        if partitions.is_empty() {
            // Nothing to confirm: the catalogue knows none of the topics.
            return Self {
                found: HashMap::new(),
                failed: None,
            };
        }
        if !call.step_aside() {
            return Self {
                found: HashMap::new(),
                failed: Some(refusal::NOT_ASKED),
            };
        }
        match context.metadata.bounds(partitions.clone()).await {
            Ok(bounds) => {
                let places = names.into_iter().zip(partitions).zip(bounds);
                let found = places.filter_map(|((name, at), bounds)| Some((name, (at, bounds?))));
                Self {
                    found: found.collect(),
                    failed: None,
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot confirm bounds");
                let failed = Some(refusal::metadata_read(&error));
                let found = HashMap::new();
                Self { found, failed }
            }
        }
    }

    /// The partition's place in the metadata, and its bounds.
    pub(super) fn at(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<(TopicPartition, Bounds), ErrorCode> {
        match (self.found.get(&(topic, partition)), self.failed) {
            (Some(found), _) => Ok(*found),
            (None, Some(code)) => Err(code),
            (None, None) => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        }
    }

    /// The partition's bounds.
    pub(super) fn of(&self, topic: &str, partition: i32) -> Result<Bounds, ErrorCode> {
        self.at(topic, partition).map(|(_, bounds)| bounds)
    }
}
