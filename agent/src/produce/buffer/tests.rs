//! What `add`, `seal` and `answer` do with batches, and when waiting is pointless.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metadata::{Offset, PartitionIndex, Placed, Timestamp, TopicId, TopicPartition};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::open::BATCHES_MAX;
use super::sealed::BLOCK_RAW_BYTES_MAX;
use super::waiting::IDLE_MIN;
use super::*;
use crate::admission::Admission;
use crate::call::ConnectionId;
use crate::produce::validate::ValidBatch;

fn policy() -> SealPolicy {
    SealPolicy {
        segment_bytes: 4096,
        age_max: Duration::from_millis(100),
        eager_segments: 2,
        puts_per_second: None,
    }
}

fn partition(index: i32) -> TopicPartition {
    TopicPartition {
        topic: TopicId(7),
        partition: PartitionIndex(index),
    }
}

fn batch(bytes: usize) -> ValidBatch {
    ValidBatch {
        bytes: Bytes::from(vec![0; bytes]),
        record_count: 1,
        min_timestamp: Timestamp(1),
        max_timestamp: Timestamp(2),
        producer: None,
        flags: metadata::BatchFlags::default(),
        log_append_time: None,
        compressed: false,
    }
}

async fn append(
    connection: u64,
    batches: Vec<(TopicPartition, ValidBatch)>,
) -> (Append, oneshot::Receiver<Vec<BatchOutcome>>) {
    let (ticket, answer) = oneshot::channel();
    let permit = Arc::new(Admission::new(1 << 20, 1 << 20).buffer(1, 1).await);
    let connection = ConnectionId(connection);
    (
        Append {
            connection,
            batches,
            ticket,
            permit,
            arrived: Instant::now(),
        },
        answer,
    )
}

fn placed(offset: i64) -> BatchOutcome {
    Ok(Placed {
        base_offset: Offset(offset),
        log_start_offset: Offset(0),
        duplicate: false,
    })
}

#[tokio::test]
async fn groups_by_partition_and_answers_by_request() {
    let mut buffer = Buffer::new(policy());
    let (first, first_answer) = append(
        1,
        vec![(partition(1), batch(10)), (partition(0), batch(20))],
    )
    .await;
    let (second, second_answer) = append(2, vec![(partition(1), batch(30))]).await;
    buffer.add(first);
    buffer.add(second);
    let mut sealed = buffer.seal().expect("not empty");
    let shape: Vec<_> = sealed
        .blocks
        .iter()
        .map(|block| (block.partition, block.batches.len()))
        .collect();
    assert_eq!(shape, [(partition(0), 1), (partition(1), 2)]);
    sealed
        .waiters
        .settle(&sealed.blocks, vec![placed(5), placed(8), placed(9)]);
    assert_eq!(buffer.answer(sealed.waiters).len(), 2);
    assert_eq!(
        first_answer.await.expect("answered"),
        [placed(8), placed(5)]
    );
    assert_eq!(second_answer.await.expect("answered"), [placed(9)]);
    assert!(buffer.seal().is_none());
}

/// Its commit would be larger than a message to the sequencer may be, and everybody's batches in it refused.
#[tokio::test]
async fn a_segment_of_very_many_small_batches_is_full() {
    let mut buffer = Buffer::new(policy());
    let all = vec![(partition(0), batch(0)); BATCHES_MAX - 1];
    let (most, _answer) = append(1, all).await;
    buffer.add(most);
    assert!(!buffer.is_full());
    let (last, _answer) = append(2, vec![(partition(1), batch(0))]).await;
    buffer.add(last);
    assert!(buffer.is_full());
    assert!(buffer.seal().is_some());
    assert!(!buffer.is_full());
}

#[tokio::test]
async fn blocks_are_cut_at_their_limit_and_between_packed_and_open_batches() {
    let mut buffer = Buffer::new(policy());
    let packed = ValidBatch {
        compressed: true,
        ..batch(10)
    };
    let large = batch(BLOCK_RAW_BYTES_MAX);
    let (all, _answer) = append(
        1,
        vec![
            (partition(0), batch(10)),
            (partition(0), packed),
            (partition(0), large.clone()),
            (partition(0), large),
        ],
    )
    .await;
    buffer.add(all);
    assert!(buffer.is_full());
    assert_eq!(buffer.seal().expect("not empty").blocks.len(), 4);
}

#[tokio::test]
async fn waiting_is_pointless_once_everyone_waits() {
    let mut buffer = Buffer::new(policy());
    assert!(!buffer.waiting_is_pointless(), "nothing to seal");
    let (one, _keep_one) = append(1, vec![(partition(0), batch(1))]).await;
    buffer.add(one);
    assert!(buffer.waiting_is_pointless());
    let (two, _keep_two) = append(2, vec![(partition(0), batch(1))]).await;
    buffer.add(two);
    let sealed = buffer.seal().expect("not empty");
    buffer.answer(sealed.waiters);
    let (again, _keep_again) = append(1, vec![(partition(0), batch(1))]).await;
    buffer.add(again);
    assert!(
        !buffer.waiting_is_pointless(),
        "connection 2 may send as well"
    );
    buffer.waited_in_vain();
    assert!(buffer.waiting_is_pointless(), "connection 2 did not");
}

/// Where storing takes next to no time nobody is waited for, and no wait in vain tells that a connection is gone.
#[tokio::test]
async fn connections_that_came_and_went_are_forgotten() {
    let mut buffer = Buffer::new(policy());
    let (slow, slow_answer) = append(0, vec![(partition(0), batch(1))]).await;
    buffer.add(slow);
    let of_slow = buffer.seal().expect("not empty");
    for connection in 1..20_000 {
        let (one, _answer) = append(connection, vec![(partition(0), batch(1))]).await;
        buffer.add(one);
        let sealed = buffer.seal().expect("not empty");
        buffer.answer(sealed.waiters);
        assert!(buffer.producers.connections.len() <= IDLE_MIN);
    }
    // The one that still waits is known.
    let (again, _answer) = append(0, vec![(partition(0), batch(1))]).await;
    buffer.add(again);
    let unanswered = buffer.producers.connections[&ConnectionId(0)];
    assert_eq!((unanswered.now, unanswered.most), (2, 2));
    buffer.answer(of_slow.waiters);
    assert!(slow_answer.await.is_ok());
    let all = buffer.producers.connections.values();
    let able = all.filter(|each| each.now < each.most).count();
    assert_eq!(buffer.producers.able, able);
}
