//! Segments in the log, as producers send them and as they may be at the worst.

use super::*;
use crate::effect::{Effect, LogBytes};
use crate::types::{
    BlockCodec, Lsn, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Share, TopicId,
};

const PARTITIONS: i32 = 1_000;

/// A segment of one batch for each partition, as producers with idempotence send them: each has its own.
fn ordinary() -> Committed {
    let batch = |index: i32| Judged {
        raw_length: 700,
        judgement: Judgement::Accepted {
            record_count: 5,
            max_timestamp: Timestamp(1_790_000_000_000 + i64::from(index % 25)),
            flags: BatchFlags::default(),
            producer: Some(BatchProducer {
                id: ProducerId(40_000 + i64::from(index * 37 % 1_000)),
                epoch: ProducerEpoch(0),
                base_sequence: Sequence(3_000_000 + index),
                share: Share(0),
            }),
            is_new: false,
        },
    };
    let block = |index: i32| Block {
        partition: TopicPartition {
            topic: TopicId(u128::MAX / 3),
            partition: PartitionIndex(index),
        },
        range: BlockRange {
            position: 32 + 704 * index.unsigned_abs(),
            stored_length: 704,
            raw_length: 700,
            codec: BlockCodec::Raw,
            checksum: 0x9e37_79b9_u32.wrapping_mul(index.unsigned_abs()),
        },
        batches: 1,
        base_offset: Offset(200_000_000 + i64::from(index)),
        log_start: Offset(0),
    };
    let asked = Asked {
        session: 3_000,
        sequence: 5_000_000,
        seen: 4_999_998,
    };
    Committed {
        object: ObjectKey(u128::MAX / 5),
        size: 704_000,
        asked: Some(asked),
        blocks: (0..PARTITIONS).map(block).collect(),
        batches: (0..PARTITIONS).map(batch).collect(),
    }
}

#[test]
fn batches_join_where_readers_must_know_the_same_of_them() {
    let batch = |count, transactional, control| Judged {
        raw_length: 10,
        judgement: Judgement::Accepted {
            record_count: count,
            max_timestamp: Timestamp(count.into()),
            flags: BatchFlags {
                transactional,
                control,
            },
            producer: None,
            is_new: false,
        },
    };
    let batches = [
        batch(1, false, false),
        batch(2, false, false),
        batch(3, true, false),
        batch(4, true, true),
        batch(5, true, true),
        batch(6, false, false),
    ];
    let block = ordinary().blocks[0];
    let found: Vec<_> = extents(ObjectKey(1), &block, &batches)
        .map(|extent| {
            let base = extent.base_offset.0 - block.base_offset.0;
            let at = extent.stored().unwrap().raw_start;
            let flags = (extent.flags.transactional, extent.flags.control);
            (base, extent.offset_span, at, flags)
        })
        .collect();
    let expected = [
        (0, 3, 0, (false, false)),
        (3, 3, 20, (true, false)),
        (6, 9, 30, (true, true)),
        (15, 6, 50, (false, false)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_ordinary_entry_takes_few_bytes() {
    let mut log = LogBytes::new(Timestamp(1_790_000_000_123));
    log.push(&Effect::Committed(ordinary()));
    let bytes: usize = log
        .into_rows(Lsn(1), usize::MAX)
        .iter()
        .map(bytes::Bytes::len)
        .sum();
    let entries = usize::try_from(PARTITIONS).unwrap();
    let gigabytes = bytes * 40 * 86_400 / 1_000_000_000;
    println!(
        "{:.1} bytes an entry of a commit, its checksums and the session's outcome included (78 before it was packed); \
         a day of 1,000 partitions x 40 segments/s: {gigabytes} GB of log",
        bytes as f64 / entries as f64,
    );
    assert!(bytes <= 32 * entries, "{bytes}");
}

/// A segment of many topics takes no time that grows with their square: while a drain is encoded nothing else is done,
/// and a holder that needs seconds for it is taken for gone.
#[test]
fn a_segment_of_as_many_topics_as_there_may_be_is_encoded_in_no_time() {
    let mut commit = ordinary();
    let (block, batch) = (commit.blocks[0], commit.batches[0]);
    let topics = 200_000_u32;
    let of_topic = |number: u32| {
        let topic = TopicId(u128::from(number.wrapping_mul(0x9e37_79b9)) << 64);
        let partition = TopicPartition {
            topic,
            ..block.partition
        };
        Block { partition, ..block }
    };
    commit.blocks = (0..topics).map(of_topic).collect();
    commit.batches = vec![batch; commit.blocks.len()];
    let begun = tokio::time::Instant::now();
    let mut log = LogBytes::new(Timestamp(1_790_000_000_123));
    log.push(&Effect::Committed(commit.clone()));
    let took = begun.elapsed();
    let bytes: Vec<u8> = log.into_rows(Lsn(1), usize::MAX).concat();
    let entry = crate::effect::decode_entry(Lsn(1), bytes.into()).unwrap();
    assert!(entry.effects == [Effect::Committed(commit)]);
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
}
