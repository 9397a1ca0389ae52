//! What must hold after every command. Run by tests and simulation, never in production.

use super::State;

/// Panics with what is broken.
pub(crate) fn check(state: &State) {
    assert!(state.topics.names_agree(), "names and ids disagree");
    for topic in state.topics.iter() {
        let partitions = usize::try_from(topic.topic.partitions).unwrap();
        assert_eq!(topic.logs.len(), partitions, "one log per partition");
    }
    for (partition, log) in state.topics.logs() {
        let bounds = log.bounds();
        assert!(bounds.log_start <= bounds.last_stable, "{partition:?}");
        assert!(bounds.last_stable <= bounds.high_watermark, "{partition:?}");
        let mut next = log.recent_start();
        for extent in log.recent() {
            assert_eq!(extent.base_offset, next, "{partition:?}: offsets are dense");
            assert!(
                extent.record_count > 0,
                "{partition:?}: an extent takes offsets"
            );
            let end = u64::from(extent.raw_start) + u64::from(extent.raw_length);
            assert!(
                end <= u64::from(extent.block.raw_length),
                "{partition:?}: inside its block"
            );
            next = extent.end_offset();
        }
        assert_eq!(
            next, bounds.high_watermark,
            "{partition:?}: extents end at the high watermark"
        );
        for (id, producer) in log.producers().iter() {
            assert!(
                (1..=5).contains(&producer.batches.len()),
                "{partition:?} {id:?}"
            );
        }
    }
    for (key, object) in state.objects.iter() {
        let live = state.topics.logs().flat_map(|(_, log)| log.recent());
        let live = live.filter(|extent| extent.object == *key).count();
        let references = usize::try_from(object.references).unwrap();
        assert!(
            live <= references,
            "{key}: {live} extents, {references} references"
        );
        assert_eq!(
            object.references == 0,
            object.orphaned_since.is_some(),
            "{key}"
        );
    }
}
