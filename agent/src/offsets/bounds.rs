//! The bounds of all partitions of a request in one confirmed read. Used by both handlers of this room.

use metadata::{Bounds, PartitionIndex, TopicPartition};
use protocol::ErrorCode;

use crate::call::Call;
use crate::named::Turns;
use crate::refusal;
use crate::said::warn_seldom;

/// What a partition of a request takes while it is answered: its place in some lists, what is known of it, and its line in
/// the answer, as encoded, too.
const PARTITION_BYTES: usize = 4 * size_of::<(&str, i32)>()
    + 2 * size_of::<TopicPartition>()
    + size_of::<Option<Bounds>>()
    + LINE_BYTES;
/// What it takes of that while the metadata is asked: neither its bounds nor its line.
const ASKED_BYTES: usize = 4 * size_of::<(&str, i32)>() + 2 * size_of::<TopicPartition>();
/// The line alone, which is all of a request that is refused.
const LINE_BYTES: usize = 128;
/// What a topic takes besides its name.
const TOPIC_BYTES: usize = 128;
/// So many times as much as in their frame topics take that were named.
const NAMES_FACTOR: usize = 4;

/// Has the call hold what the answer for these topics takes, each given with the length of its name and how many of its
/// partitions are asked for.
///
/// # Errors
/// POLICY_VIOLATION for every partition, where that is more than one answer may take.
pub(super) async fn charge(
    call: &Call,
    topics: impl Iterator<Item = (usize, usize)> + Clone,
) -> Result<(), ErrorCode> {
    let bytes = |of_partition: usize| -> usize {
        let of_topic =
            |(name, partitions): (usize, usize)| TOPIC_BYTES + 2 * name + partitions * of_partition;
        topics.clone().map(of_topic).sum()
    };
    let bytes_max = bytes(PARTITION_BYTES);
    match Call::check_answer(bytes_max) {
        Ok(()) => {
            call.charge(bytes_max).await;
            Ok(())
        }
        Err(_) => {
            call.charge(bytes(LINE_BYTES)).await;
            Err(ErrorCode::POLICY_VIOLATION)
        }
    }
}

/// What a partition's topic is, and what its bounds are.
pub(super) struct Confirmed<'a> {
    /// In order, each once; the other two are beside them.
    places: Vec<(&'a str, i32)>,
    partitions: Vec<TopicPartition>,
    bounds: Vec<Option<Bounds>>,
    /// Why nothing is known, if so.
    failed: Option<ErrorCode>,
}

impl<'a> Confirmed<'a> {
    /// As of a moment after the call. Who finds no room among those who wait for the metadata is told to ask again.
    pub(super) async fn read(call: &Call, wanted: impl Iterator<Item = (&'a str, i32)>) -> Self {
        let context = call.context.as_ref();
        let catalogue = context.metadata.catalogue();
        let wanted: Vec<(&str, i32)> = wanted.collect();
        let held = wanted.len() * ASKED_BYTES + NAMES_FACTOR * call.frame_bytes;
        let mut known = Vec::with_capacity(wanted.len());
        let mut turns = Turns::default();
        for place in wanted {
            turns.pass(1).await;
            known.extend(catalogue.topic(place.0).map(|topic| (place, topic.id)));
        }
        known.sort_unstable();
        known.dedup();
        let partitions = known.iter().map(|((_, partition), topic)| TopicPartition {
            topic: *topic,
            partition: PartitionIndex(*partition),
        });
        let mut confirmed = Self {
            partitions: partitions.collect(),
            places: known.into_iter().map(|(place, _)| place).collect(),
            bounds: Vec::new(),
            failed: None,
        };
        if confirmed.places.is_empty() {
            // Nothing to confirm: the catalogue knows none of the topics.
            return confirmed;
        }
        if !call.step_aside(held) {
            confirmed.failed = Some(refusal::NOT_ASKED);
            return confirmed;
        }
        match context.metadata.bounds(confirmed.partitions.clone()).await {
            Ok(bounds) => confirmed.bounds = bounds,
            Err(error) => {
                warn_seldom!(%error, "cannot confirm bounds");
                confirmed.failed = Some(refusal::metadata_read(&error));
            }
        }
        confirmed
    }

    /// The partition's place in the metadata, and its bounds.
    pub(super) fn at(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<(TopicPartition, Bounds), ErrorCode> {
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        if let Some(code) = self.failed {
            return Err(code);
        }
        let place = self.places.binary_search(&(topic, partition));
        let place = place.map_err(|_| unknown)?;
        match (self.partitions.get(place), self.bounds.get(place)) {
            (Some(at), Some(Some(bounds))) => Ok((*at, *bounds)),
            _ => Err(unknown),
        }
    }

    /// The partition's bounds.
    pub(super) fn of(&self, topic: &str, partition: i32) -> Result<Bounds, ErrorCode> {
        self.at(topic, partition).map(|(_, bounds)| bounds)
    }
}
