//! What must hold after every command. Run by tests and simulation, never in production.

use std::collections::BTreeMap;

use super::{PartitionLog, State};
use crate::types::{Extent, ObjectKey, Offset, TopicPartition};

/// Panics with what is broken.
pub(crate) fn check(state: &State) {
    assert!(state.topics.agrees(), "names and ids disagree");
    let rows = (state.cluster.tallies(), state.tallies());
    assert_eq!(
        rows.0, rows.1,
        "the cluster's row says which rows there are"
    );
    for topic in state.topics.iter() {
        let partitions = usize::try_from(topic.topic.partitions).unwrap();
        let logs = state.partitions.of(topic.topic.id);
        assert_eq!(logs.count(), partitions, "one log per partition");
        assert!(topic.first_producer.0 <= state.cluster.next_producer);
        assert!(topic.as_of <= state.lsn);
    }
    for deleted in state.topics.deleted() {
        assert!(state.topics.get(deleted).is_none(), "{deleted} is gone");
    }
    for (partition, log) in state.logs() {
        assert!(log.as_of() <= state.lsn, "{partition:?}");
        check_offsets(partition, log);
        check_producers(state, partition, log);
    }
    state.producers.check();
    for partition in state.producers.partitions() {
        assert!(state.partitions.get(partition).is_some(), "{partition:?}");
    }
    assert!(state.cluster.as_of() <= state.lsn);
    check_objects(state);
    state.sessions.check();
    for id in state.sessions.ids() {
        let session = state.sessions.get(id).unwrap();
        assert!((1..=state.cluster.last_session).contains(&id));
        assert!(session.as_of <= state.lsn);
        if let Some((last, _)) = session.outcomes.last_key_value() {
            assert_eq!(
                *last, session.last,
                "the last outcome is the first to be asked for"
            );
        }
    }
}

fn check_offsets(partition: TopicPartition, log: &PartitionLog) {
    let bounds = log.bounds();
    assert!(bounds.log_start <= bounds.last_stable, "{partition:?}");
    assert!(bounds.last_stable <= bounds.high_watermark, "{partition:?}");
    let starts = bounds.epochs.starts();
    for pair in starts.windows(2) {
        let rise = pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start;
        assert!(rise, "{partition:?}: epochs rise");
    }
    let last = starts.last().map_or(Offset(0), |last| last.start);
    assert!(last <= bounds.high_watermark, "{partition:?}");
    let mut next = log.recent_start();
    for extent in log.recent() {
        assert_eq!(extent.base_offset, next, "{partition:?}: offsets are dense");
        assert!(
            extent.offset_span > 0,
            "{partition:?}: an extent takes offsets"
        );
        assert!(
            extent.record_count <= extent.offset_span,
            "{partition:?}: a record takes an offset"
        );
        if let Some(stored) = extent.stored() {
            assert!(stored.raw_length > 0, "{partition:?}: an extent has bytes");
            let end = u64::from(stored.raw_start) + u64::from(stored.raw_length);
            assert!(
                end <= u64::from(stored.block.raw_length),
                "{partition:?}: inside its block"
            );
        }
        next = extent.end_offset();
    }
    assert_eq!(
        next, bounds.high_watermark,
        "{partition:?}: extents end at the high watermark"
    );
}

fn check_producers(state: &State, partition: TopicPartition, log: &PartitionLog) {
    let high_watermark = log.bounds().high_watermark;
    for (id, producer) in state.producers.of(partition) {
        assert!(id.0 < state.cluster.next_producer, "{id:?} was handed out");
        let batches: Vec<_> = producer.batches.iter().collect();
        assert!((1..=5).contains(&batches.len()), "{partition:?} {id:?}");
        for pair in batches.windows(2) {
            let follows = pair[0].next_sequence() == pair[1].base_sequence;
            assert!(
                follows,
                "{partition:?} {id:?}: sequences are dense within an epoch"
            );
            let end = pair[0].base_offset.0 + i64::from(pair[0].record_count);
            assert!(
                end <= pair[1].base_offset.0,
                "{partition:?} {id:?}: offsets ascend"
            );
        }
        let last = batches[batches.len() - 1];
        let end = last.base_offset.0 + i64::from(last.record_count);
        assert!(
            end <= high_watermark.0,
            "{partition:?} {id:?}: what is known is committed"
        );
    }
}

/// Extents may have moved to index rows; but none is unaccounted for.
fn check_objects(state: &State) {
    let mut live: BTreeMap<ObjectKey, u32> = BTreeMap::new();
    for (_, log) in state.logs().chain(state.partitions.leaving()) {
        for stored in log.recent().iter().filter_map(Extent::stored) {
            *live.entry(stored.object).or_default() += 1;
        }
    }
    for (key, object) in state.objects.iter() {
        let live = live.remove(key).unwrap_or(0);
        let references = object.references;
        assert!(
            live <= references,
            "{key}: {live} extents, {references} references"
        );
        let orphaned = object.orphaned_since.is_some();
        assert_eq!(references == 0, orphaned, "{key}");
    }
}
