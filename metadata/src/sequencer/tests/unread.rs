//! Index rows of one partition that the store cannot read, as where one of its pages is damaged: readers of that partition are
//! told of damage, and everybody else goes on, whoever holds the order.

use super::damaged::store;
use super::harmed::{go_on, level, right_or_damage, truth_of};
use super::hindered::{LOG_BYTES_MAX, press, with_little_room};
use super::slow::{PARTITIONS, log_bytes};
use super::*;
use crate::keys::Key;
use crate::kv::scratched::Scratched;
use crate::sequencer::drain::DRAIN_BYTES_MAX;

/// The topic whose rows cannot be read, of one partition.
const HARMED: TopicPartition = TopicPartition {
    topic: TopicId(8),
    partition: PartitionIndex(0),
};

fn to_harmed(number: u64) -> Command {
    let Command::CommitObject(mut commit) = plain(1_000_000 + number, 0) else {
        unreachable!()
    };
    commit.blocks[0].topic = HARMED.topic;
    Command::CommitObject(commit)
}

/// What was committed there before cannot be found, and what was since can be.
async fn is_harmed_before(metadata: &Metadata, since: i64) {
    for from in [0, since - 1] {
        let lost = metadata.locate(HARMED, Offset(from), 1).await;
        assert!(matches!(lost, Err(Error::Damaged(_))), "{lost:?}");
    }
    let early = metadata.locate_timestamp(HARMED, Timestamp(0)).await;
    assert!(matches!(early, Err(Error::Damaged(_))), "{early:?}");
    match metadata.locate(HARMED, Offset(since), 1).await {
        Ok(Located::Extents { extents, .. }) => assert_eq!(extents[0].base_offset.0, since),
        found => panic!("{found:?}"),
    }
}

/// With more log than there is room for, whether the topic is there or deleted.
#[tokio::test(start_paused = true)]
async fn rows_of_one_partition_that_cannot_be_read_keep_no_log() {
    for deletes in [false, true] {
        let memory = Memory::new();
        let running = run(memory.clone(), with_little_room(1)).await;
        let metadata = &running.metadata;
        create_topic(metadata, TOPIC, "orders", PARTITIONS).await;
        create_topic(metadata, HARMED.topic, "harmed", 1).await;
        committed(metadata, to_harmed(0)).await;
        let (mut next, long) = (0, Duration::from_secs(2));
        press(metadata, &memory, &mut next, long).await;
        running.close().await;
        let keys = memory.snapshot().into_keys();
        let is_harmed =
            |key: &Bytes| matches!(Key::decode(key), Ok(Key::Index(of, ..)) if of == HARMED);
        let unread: Vec<Bytes> = keys.filter(is_harmed).collect();
        assert_eq!(unread.len(), 1);
        let kv = Scratched::over(&memory, unread);
        let mut since = None;
        // And whoever takes over.
        for seed in [2, 3] {
            let running = run(kv.clone(), with_little_room(seed)).await;
            let metadata = &running.metadata;
            if since.is_none() || !deletes {
                let begun = committed(metadata, to_harmed(seed)).await;
                since = since.or(Some(begun));
            }
            if deletes && seed == 2 {
                let delete = Command::DeleteTopic(HARMED.topic);
                let answer = metadata.submit(delete).await.unwrap();
                assert_eq!(answer.outcome, Outcome::TopicDeleted);
            }
            let long = Duration::from_secs(10);
            let pressed = press(metadata, &memory, &mut next, long).await;
            assert_eq!(pressed.refused, 0, "{deletes} {seed}: {pressed:?}");
            let bound = LOG_BYTES_MAX + 2 * DRAIN_BYTES_MAX;
            assert!(pressed.log_bytes <= bound, "{deletes} {seed}: {pressed:?}");
            let stats = metadata.stats();
            assert!(
                stats.log_bytes > 2 * LOG_BYTES_MAX as u64,
                "{stats:?}: it was tried"
            );
            assert!(stats.checkpoints >= 2, "{deletes} {seed}: {stats:?}");
            if !deletes {
                is_harmed_before(metadata, since.unwrap()).await;
                committed(metadata, to_harmed(10 + seed)).await;
            }
            match seed {
                2 => running.kill().await,
                _ => running.close().await,
            }
        }
        assert_eq!(log_bytes(&memory), 0, "{deletes}: all of it is in rows");
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_row_that_cannot_be_read_harms_its_partition_alone() {
    let memory = store().await;
    let truth = truth_of(&memory).await;
    let mut tried = 0;
    for (key, row) in memory.snapshot() {
        if level(&key).is_none() {
            continue;
        }
        let left = memory.copy();
        let kv = Scratched::over(&left, [key.clone()]);
        let first = go_on(kv.clone(), 4).await;
        // And whoever comes next.
        go_on(kv.clone(), 5).await;
        assert_eq!(left.snapshot().get(&key), Some(&row));
        right_or_damage(run(kv, options(6)).await, &truth, first).await;
        tried += 1;
    }
    assert!(tried > 3, "{tried}");
}
