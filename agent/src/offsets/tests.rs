//! Offsets of a partition written in two objects, over metadata and blocks in memory.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use metadata::{
    BlockCodec, BlockRange, Command, CommitBatch, CommitBlock, CommitObject, CreateTopic,
    LostRange, NamingEpoch, ObjectKey, Offset, Outcome, PartitionIndex, Timestamp, TopicId,
    TopicPartition,
};
use protocol::compression::Codec;
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic,
};
use protocol::messages::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use protocol::messages::{ListOffsetsRequest, OffsetForLeaderEpochRequest};
use protocol::record_batch::BatchHeader;
use protocol::records::{BatchOptions, Record, build_batch};
use protocol::{ApiKey, ErrorCode};

use super::{list_offsets, offset_for_leader_epoch};
use crate::context::{AutoCreate, Context};
use crate::discovery::fixture::{
    call, call_from, crowded_call, with_context, with_silent_metadata, with_turns,
};
use crate::origin::Origin;
use crate::storage::Place;

const TOPIC: TopicId = TopicId(5);

/// A batch with records of these timestamps.
fn batch(codec: Codec, timestamps: &[i64]) -> Bytes {
    let records: Vec<Record> = (0..)
        .zip(timestamps)
        .map(|(offset_delta, timestamp)| Record {
            offset_delta,
            timestamp_delta: timestamp - timestamps[0],
            value: Some(Bytes::from_static(b"value")),
            ..Record::default()
        })
        .collect();
    let options = BatchOptions {
        codec,
        base_timestamp: timestamps[0],
        ..BatchOptions::default()
    };
    build_batch(&records, options)
}

async fn commit(context: &Arc<Context>, object: u32, batches: Vec<Bytes>) {
    let raw_length = batches.iter().map(Bytes::len).sum::<usize>();
    let raw_length = u32::try_from(raw_length).unwrap();
    let range = BlockRange {
        position: 0,
        stored_length: raw_length,
        raw_length,
        codec: BlockCodec::Raw,
        checksum: 0,
    };
    let facts = batches.iter().map(|batch| {
        let header = BatchHeader::read(batch).unwrap();
        CommitBatch {
            raw_length: u32::try_from(batch.len()).unwrap(),
            record_count: header.record_count.unsigned_abs(),
            max_timestamp: Timestamp(header.max_timestamp),
            producer: None,
            flags: metadata::BatchFlags::default(),
            withheld: false,
        }
    });
    let object = ObjectKey::new(NamingEpoch(0), 7, object);
    let commit = CommitObject {
        object,
        size: raw_length.into(),
        blocks: vec![CommitBlock {
            topic: TOPIC,
            partition: PartitionIndex(0),
            range,
            batches: facts.collect(),
        }],
    };
    let owner = TopicPartition {
        topic: TOPIC,
        partition: PartitionIndex(0),
    };
    let place = Place {
        object,
        range,
        owner,
    };
    context.cache.insert(place, batches);
    let answer = context.metadata.submit(Command::CommitObject(commit)).await;
    let outcome = answer.unwrap().outcome;
    let Outcome::Committed(verdicts) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(verdicts.iter().all(Result::is_ok));
}

/// Offsets 0..=2 in a packed batch, 3 and 4 in an open one; then 5..=7.
async fn fill(context: &Arc<Context>) {
    let create = CreateTopic {
        name: "t".to_owned(),
        id: TOPIC,
        partitions: 2,
        replication_factor: 1,
        configs: std::collections::BTreeMap::new(),
    };
    let made = context.metadata.submit(Command::CreateTopic(create)).await;
    assert_eq!(made.unwrap().outcome, Outcome::TopicCreated(TOPIC));
    let first = vec![
        batch(Codec::Zstd, &[100, 130, 110]),
        batch(Codec::None, &[120, 140]),
    ];
    commit(context, 1, first).await;
    commit(context, 2, vec![batch(Codec::Lz4, &[150, 200, 200])]).await;
}

fn request(places: &[(i32, i64)]) -> ListOffsetsRequest {
    let partition = |(partition_index, timestamp): &(i32, i64)| ListOffsetsPartition {
        partition_index: *partition_index,
        timestamp: *timestamp,
        ..ListOffsetsPartition::default()
    };
    ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: "t".to_owned(),
            partitions: places.iter().map(partition).collect(),
        }],
        ..ListOffsetsRequest::default()
    }
}

async fn ask(context: &Arc<Context>, places: &[(i32, i64)]) -> Vec<ListOffsetsPartitionResponse> {
    let call = call(context, ApiKey::ListOffsets, 10).await;
    let mut response = list_offsets::handle(&call, request(places)).await;
    response.topics.remove(0).partitions
}

#[tokio::test]
async fn offsets_are_found_by_time_inside_batches() {
    with_context(AutoCreate::Disabled, async |context| {
        fill(context).await;
        for (timestamp, offset, found) in [
            (-2, 0, -1),
            (-1, 8, -1),
            (-3, 6, 200),
            (-4, 0, -1),
            (-5, -1, -1),
            (0, 0, 100),
            (100, 0, 100),
            (101, 1, 130),
            (131, 4, 140),
            (141, 5, 150),
            (151, 6, 200),
            (200, 6, 200),
            (201, -1, -1),
        ] {
            let answers = ask(context, &[(0, timestamp)]).await;
            let answer = &answers[0];
            assert_eq!(answer.error_code, ErrorCode::NONE);
            assert_eq!(
                (answer.offset, answer.timestamp),
                (offset, found),
                "{timestamp}"
            );
            assert_eq!(answer.leader_epoch, if offset < 0 { -1 } else { 0 });
        }
    })
    .await;
}

/// Readers step over what was given up, and so does whoever looks for a time.
#[tokio::test]
async fn a_time_is_looked_for_among_the_records_that_were_not_given_up() {
    with_context(AutoCreate::Disabled, async |context| {
        fill(context).await;
        let lose = async |from, until| {
            let range = LostRange {
                partition: PartitionIndex(0),
                from: Offset(from),
                until: Offset(until),
            };
            context
                .metadata
                .mark_lost("t", range)
                .await
                .unwrap()
                .unwrap();
        };
        lose(5, 8).await;
        for (timestamp, offset, found) in [(-3, 4, 140), (140, 4, 140), (141, -1, -1)] {
            let answers = ask(context, &[(0, timestamp)]).await;
            let told = (answers[0].offset, answers[0].timestamp);
            assert_eq!(told, (offset, found), "{timestamp}");
        }
        // The first part of an extent: what is left of it is looked into.
        lose(0, 3).await;
        let answers = ask(context, &[(0, -3)]).await;
        assert_eq!((answers[0].offset, answers[0].timestamp), (4, 140));
        lose(3, 5).await;
        let answers = ask(context, &[(0, -3)]).await;
        assert_eq!((answers[0].offset, answers[0].timestamp), (-1, -1));
        let code = answers[0].error_code;
        assert_eq!(code, ErrorCode::NONE, "there is nothing");
    })
    .await;
}

#[tokio::test]
async fn an_empty_partition_has_ends_and_no_times() {
    with_context(AutoCreate::Disabled, async |context| {
        fill(context).await;
        for (timestamp, offset) in [(-1, 0), (-2, 0), (-3, -1), (0, -1)] {
            let answers = ask(context, &[(1, timestamp)]).await;
            assert_eq!(answers[0].error_code, ErrorCode::NONE);
            assert_eq!(answers[0].offset, offset, "{timestamp}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_header_that_promises_too_much_does_not_end_the_search() {
    with_context(AutoCreate::Disabled, async |context| {
        fill(context).await;
        let mut lying = batch(Codec::None, &[150, 160]).to_vec();
        // The largest timestamp lies 35 bytes in; nobody checks the checksum of what is stored.
        lying[35..43].copy_from_slice(&900_i64.to_be_bytes());
        let lying = Bytes::from(lying);
        assert_eq!(BatchHeader::read(&lying).unwrap().max_timestamp, 900);
        commit(context, 3, vec![lying]).await;
        commit(context, 4, vec![batch(Codec::Gzip, &[170, 300])]).await;
        let answers = ask(context, &[(0, 250)]).await;
        assert_eq!((answers[0].offset, answers[0].timestamp), (11, 300));
        // Past every record, though not past what the header says.
        let answers = ask(context, &[(0, 301)]).await;
        assert_eq!(
            (answers[0].offset, answers[0].error_code),
            (-1, ErrorCode::NONE)
        );
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_does_not_unpack_is_answered_with_its_first_offset() {
    with_context(AutoCreate::Disabled, async |context| {
        fill(context).await;
        let mut broken = batch(Codec::Zstd, &[400, 410]).to_vec();
        let end = broken.len();
        broken[61..end].fill(0);
        commit(context, 3, vec![Bytes::from(broken)]).await;
        let answers = ask(context, &[(0, 405)]).await;
        assert_eq!((answers[0].offset, answers[0].timestamp), (8, 410));
    })
    .await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_alone() {
    with_context(AutoCreate::Disabled, async |context| {
        fill(context).await;
        let answers = ask(context, &[(0, -1), (1, -1), (0, -2), (2, -1), (-1, -1)]).await;
        let codes: Vec<_> = answers.iter().map(|answer| answer.error_code).collect();
        let expected = [
            ErrorCode::INVALID_REQUEST,
            ErrorCode::NONE,
            ErrorCode::INVALID_REQUEST,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ];
        assert_eq!(codes, expected);
    })
    .await;
}

#[tokio::test]
async fn the_epoch_ends_where_the_log_does() {
    with_context(AutoCreate::Disabled, async |context| {
        fill(context).await;
        let partition = |partition| OffsetForLeaderPartition {
            partition,
            leader_epoch: 0,
            ..OffsetForLeaderPartition::default()
        };
        let request = OffsetForLeaderEpochRequest {
            topics: ["t", "u"]
                .map(|topic| OffsetForLeaderTopic {
                    topic: topic.to_owned(),
                    partitions: [0, 1, 2].map(partition).into(),
                })
                .into(),
            ..OffsetForLeaderEpochRequest::default()
        };
        let response = offset_for_leader_epoch::handle(
            &call(context, ApiKey::OffsetForLeaderEpoch, 4).await,
            request,
        )
        .await;
        let unknown = (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1);
        let expected = [
            [(ErrorCode::NONE, 8), (ErrorCode::NONE, 0), unknown],
            [unknown; 3],
        ];
        for (topic, expected) in response.topics.iter().zip(expected) {
            let answers = topic.partitions.iter();
            let answers: Vec<_> = answers.map(|p| (p.error_code, p.end_offset)).collect();
            assert_eq!(answers, expected, "{}", topic.topic);
        }
    })
    .await;
}

/// 8 MB of these took half a gigabyte.
#[tokio::test]
async fn more_partitions_than_one_answer_may_tell_of_are_refused_each() {
    with_context(AutoCreate::Disabled, async |context| {
        fill(context).await;
        let places: Vec<(i32, i64)> = (0..300_000).map(|index| (index, -1)).collect();
        let refused = ask(context, &places).await;
        assert_eq!(refused.len(), places.len());
        let code = ErrorCode::POLICY_VIOLATION;
        assert!(refused.iter().all(|each| each.error_code == code));
        assert_eq!(context.admission.answer_bytes(), 0);
        let told = ask(context, &places[..1000]).await;
        assert_eq!(told[0].offset, 8);
        let code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert!(told[2..].iter().all(|each| each.error_code == code));
    })
    .await;
}

/// Many that wait for metadata which does not answer would have all the room for requests.
#[tokio::test(start_paused = true)]
async fn who_finds_no_room_among_those_who_wait_for_the_metadata_does_not_wait() {
    with_silent_metadata(fill, async |context| {
        let began = tokio::time::Instant::now();
        let request = ListOffsetsRequest {
            topics: vec![ListOffsetsTopic {
                name: "t".to_owned(),
                partitions: vec![ListOffsetsPartition {
                    timestamp: -1,
                    ..ListOffsetsPartition::default()
                }],
            }],
            ..ListOffsetsRequest::default()
        };
        let (call, crowd) = crowded_call(context, ApiKey::ListOffsets, 9).await;
        let answer = list_offsets::handle(&call, request).await;
        let code = answer.topics[0].partitions[0].error_code;
        assert_eq!(code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
        let request = OffsetForLeaderEpochRequest {
            topics: vec![OffsetForLeaderTopic {
                topic: "t".to_owned(),
                partitions: vec![OffsetForLeaderPartition::default()],
            }],
            ..OffsetForLeaderEpochRequest::default()
        };
        let (call, crowd_too) = crowded_call(context, ApiKey::OffsetForLeaderEpoch, 4).await;
        let answer = offset_for_leader_epoch::handle(&call, request).await;
        let code = answer.topics[0].partitions[0].error_code;
        assert_eq!(code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
        assert_eq!(began.elapsed(), std::time::Duration::ZERO);
        drop((crowd, crowd_too));
    })
    .await;
}

/// Two requests of one address had all the room there was, and its searches came before everybody's reads.
#[tokio::test(start_paused = true)]
async fn searches_of_one_address_leave_room_and_turns_to_others() {
    with_context(AutoCreate::Disabled, async |context| {
        fill(context).await;
        let from = async |last| {
            let call = call_from(last, context, ApiKey::ListOffsets, 9).await;
            let mut told = list_offsets::handle(&call, request(&[(0, 101)])).await;
            let partition = told.topics.remove(0).partitions.remove(0);
            (partition.error_code, partition.offset)
        };
        let (found, not_in_time) = ((ErrorCode::NONE, 1), (ErrorCode::REQUEST_TIMED_OUT, -1));
        let one = Origin::of(Some([10, 0, 0, 1].into()));
        let requests = || context.admission.searches(one, usize::MAX);
        let requests: Vec<_> = std::iter::from_fn(requests).collect();
        assert_eq!((requests.len(), from(2).await), (1, found));
        assert_eq!(from(1).await, not_in_time);
        drop(requests);
        let mut turns = Vec::new();
        while let Some(turn) = context.admission.searching(one).now_or_never() {
            turns.push(turn);
        }
        assert_eq!((turns.len(), from(2).await), (16, found));
        assert_eq!(from(1).await, not_in_time);
        drop(turns);
        assert_eq!(from(1).await, found);
    })
    .await;
}

/// A thousand of them had all the room for small answers while the metadata did not answer.
#[tokio::test(start_paused = true)]
async fn nothing_is_held_for_an_answer_while_the_metadata_is_asked() {
    with_silent_metadata(fill, async |context| {
        let places: Vec<(i32, i64)> = (0..100).map(|index| (index, -1)).collect();
        let asks = call(context, ApiKey::ListOffsets, 9).await;
        let mut asked = Box::pin(list_offsets::handle(&asks, request(&places)));
        assert!(futures::poll!(&mut asked).is_pending());
        let partition = |partition| OffsetForLeaderPartition {
            partition,
            ..OffsetForLeaderPartition::default()
        };
        let request = OffsetForLeaderEpochRequest {
            topics: vec![OffsetForLeaderTopic {
                topic: "t".to_owned(),
                partitions: (0..100).map(partition).collect(),
            }],
            ..OffsetForLeaderEpochRequest::default()
        };
        let asks_too = call(context, ApiKey::OffsetForLeaderEpoch, 4).await;
        let mut asked_too = Box::pin(offset_for_leader_epoch::handle(&asks_too, request));
        assert!(futures::poll!(&mut asked_too).is_pending());
        assert_eq!(context.admission.answer_bytes(), 0);
    })
    .await;
}

/// What was given back meanwhile is charged again before anything is told.
#[tokio::test]
async fn an_answer_is_charged_until_it_is_dropped() {
    with_context(AutoCreate::Disabled, async |context| {
        fill(context).await;
        let places: Vec<(i32, i64)> = (0..1000).map(|index| (index, -1)).collect();
        let call = call(context, ApiKey::ListOffsets, 9).await;
        let answer = list_offsets::handle(&call, request(&places)).await;
        let reply = call.reply::<ListOffsetsRequest>(answer);
        let bytes = reply.slices.concat().len();
        assert!(context.admission.answer_bytes() >= bytes);
        drop(reply);
        assert_eq!(context.admission.answer_bytes(), 0);
    })
    .await;
}

/// Topics of which nothing is asked were gone through in one go, a million in a request.
#[tokio::test]
async fn who_names_very_many_topics_lets_others_have_their_turn() {
    const MANY: usize = 50_000;
    with_context(AutoCreate::Disabled, async |context| {
        let name = |number| format!("none-{number}");
        let topic = |number| ListOffsetsTopic {
            name: name(number),
            partitions: Vec::new(),
        };
        let request = ListOffsetsRequest {
            topics: (0..MANY).map(topic).collect(),
            ..ListOffsetsRequest::default()
        };
        let asks = call(context, ApiKey::ListOffsets, 9).await;
        let (told, turns) = with_turns(list_offsets::handle(&asks, request)).await;
        assert_eq!(told.topics.len(), MANY);
        assert!(turns >= MANY / 260, "{turns}");
        let topic = |number| OffsetForLeaderTopic {
            topic: name(number),
            partitions: vec![OffsetForLeaderPartition::default()],
        };
        let request = OffsetForLeaderEpochRequest {
            topics: (0..MANY).map(topic).collect(),
            ..OffsetForLeaderEpochRequest::default()
        };
        let asks = call(context, ApiKey::OffsetForLeaderEpoch, 4).await;
        let (told, turns) = with_turns(offset_for_leader_epoch::handle(&asks, request)).await;
        assert_eq!(told.topics.len(), MANY);
        // To look them up, and to answer for topics and partitions.
        assert!(turns >= 3 * MANY / 260, "{turns}");
    })
    .await;
}
