//! Bytes that Kafka's own classes wrote (`kafka-clients` 4.4.0): of versions that `kafka-protocol` 0.18 does not have, and of
//! what consumers tell each other, which it writes without the version in front.

use bytes::Bytes;
use protocol::messages::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription, NEWEST, TopicPartition,
};
use protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use protocol::messages::{DescribeLogDirsResponse, OffsetCommitRequest, OffsetFetchRequest};
use protocol::sample::{read, write};
use protocol::{DecodeError, ErrorCode, Uuid};

use crate::Ours;

const TOPIC_ID: Uuid = Uuid(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
const OFFSET_COMMIT_REQUEST_10: &str = "0667726f757000000007076d656d6265720773746174696302\
    0102030405060708090a0b0c0d0e0f100300000003000001000000000000000002076265736964650000000004\
    0000000000000005ffffffff00000000";
const OFFSET_FETCH_REQUEST_10: &str = "030667726f7570076d656d6265720000000702\
    0102030405060708090a0b0c0d0e0f100300000003000000040000066f7468657200ffffffff00000100";
const DESCRIBE_LOG_DIRS_RESPONSE_5: &str = "00000009001f020038062f6c6f67730206746f706963020000\
    0003000001000000000000000000000000060100000000000000\
    0003e8000000000000000a010000";
const SUBSCRIPTION_3: &str = "0003000000020001610001620000000301020300000001000161000000020000\
    0000000000020000000700047a6f6e65";
const SUBSCRIPTION_1: &str = "0001000000020001610001620000000301020300000001000161000000020000\
    000000000002";
const ASSIGNMENT_3: &str = "00030000000200016100000002000000000000000200016200000001\
    00000001ffffffff";

fn bytes(hex: &str) -> Bytes {
    let pairs = hex.as_bytes().chunks(2).map(str::from_utf8);
    let numbers = pairs.map(|pair| u8::from_str_radix(pair.unwrap(), 16));
    numbers.map(Result::unwrap).collect()
}

/// Reads as that, and is written so.
#[track_caller]
fn is<O: Ours>(hex: &str, version: i16, message: &O) {
    let kafkas = bytes(hex);
    assert_eq!(
        read::<O>(kafkas.clone(), version, true).as_ref(),
        Ok(message)
    );
    assert_eq!(write(message, version, true), kafkas);
}

#[test]
fn offsets_by_topic_id() {
    let partition = |partition_index, committed_offset| OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        topic_id: TOPIC_ID,
        partitions: vec![
            OffsetCommitRequestPartition {
                committed_leader_epoch: 2,
                committed_metadata: Some("beside".to_owned()),
                ..partition(3, 1 << 40)
            },
            partition(4, 5),
        ],
        ..OffsetCommitRequestTopic::default()
    };
    let commit = OffsetCommitRequest {
        group_id: "group".to_owned(),
        generation_id_or_member_epoch: 7,
        member_id: "member".to_owned(),
        group_instance_id: Some("static".to_owned()),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    is(OFFSET_COMMIT_REQUEST_10, 10, &commit);

    let topic = OffsetFetchRequestTopics {
        topic_id: TOPIC_ID,
        partition_indexes: vec![3, 4],
        ..OffsetFetchRequestTopics::default()
    };
    let one = OffsetFetchRequestGroup {
        group_id: "group".to_owned(),
        member_id: Some("member".to_owned()),
        member_epoch: 7,
        topics: Some(vec![topic]),
    };
    let other = OffsetFetchRequestGroup {
        group_id: "other".to_owned(),
        ..OffsetFetchRequestGroup::default()
    };
    let fetch = OffsetFetchRequest {
        groups: vec![one, other],
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    is(OFFSET_FETCH_REQUEST_10, 10, &fetch);
}

#[test]
fn a_folder_that_takes_no_more_logs() {
    let partition = DescribeLogDirsPartition {
        partition_index: 3,
        partition_size: 1 << 40,
        offset_lag: 6,
        is_future_key: true,
    };
    let topic = DescribeLogDirsTopic {
        name: "topic".to_owned(),
        partitions: vec![partition],
    };
    let folder = DescribeLogDirsResult {
        error_code: ErrorCode::KAFKA_STORAGE_ERROR,
        log_dir: "/logs".to_owned(),
        topics: vec![topic],
        total_bytes: 1000,
        usable_bytes: 10,
        is_cordoned: true,
    };
    let response = DescribeLogDirsResponse {
        throttle_time_ms: 9,
        error_code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        results: vec![folder],
    };
    is(DESCRIBE_LOG_DIRS_RESPONSE_5, 5, &response);
}

fn subscription() -> ConsumerProtocolSubscription {
    ConsumerProtocolSubscription {
        topics: vec!["a".to_owned(), "b".to_owned()],
        user_data: Some(Bytes::from_static(&[1, 2, 3])),
        owned_partitions: vec![partitions("a", &[0, 2])],
        generation_id: 7,
        rack_id: Some("zone".to_owned()),
    }
}

fn partitions(topic: &str, partitions: &[i32]) -> TopicPartition {
    TopicPartition {
        topic: topic.to_owned(),
        partitions: partitions.to_vec(),
    }
}

fn subscribed(
    bytes: Bytes,
    newest: i16,
) -> Result<(i16, ConsumerProtocolSubscription), DecodeError> {
    consumer_protocol::read(bytes, newest)
}

#[test]
fn what_consumers_tell_each_other() {
    let whole = subscription();
    let older = ConsumerProtocolSubscription {
        generation_id: -1,
        rack_id: None,
        ..whole.clone()
    };
    assert_eq!(consumer_protocol::write(&whole, 3), bytes(SUBSCRIPTION_3));
    assert_eq!(consumer_protocol::write(&whole, 1), bytes(SUBSCRIPTION_1));
    let newest = subscribed(bytes(SUBSCRIPTION_3), NEWEST);
    assert_eq!(newest, Ok((3, whole)));
    assert_eq!(
        subscribed(bytes(SUBSCRIPTION_1), NEWEST),
        Ok((1, older.clone()))
    );
    // No newer than asked for, whatever it says of itself.
    assert_eq!(subscribed(bytes(SUBSCRIPTION_3), 1), Ok((3, older)));
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: vec![partitions("a", &[0, 2]), partitions("b", &[1])],
        user_data: None,
    };
    // The nearest version that there is.
    for version in [3, 4, i16::MAX] {
        let written = consumer_protocol::write(&assignment, version);
        assert_eq!(written, bytes(ASSIGNMENT_3));
        let read = consumer_protocol::read::<ConsumerProtocolAssignment>(written, NEWEST);
        assert_eq!(read, Ok((3, assignment.clone())));
    }
    assert_eq!(consumer_protocol::write(&assignment, -1)[..2], [0, 0]);
}

#[test]
fn versions_to_come_are_read_and_nonsense_is_not() {
    let mut to_come = bytes(SUBSCRIPTION_3).to_vec();
    to_come[1] = 9;
    to_come.extend_from_slice(b"what version 9 adds");
    let read = subscribed(to_come.into(), i16::MAX);
    assert_eq!(read, Ok((9, subscription())));
    // Cut behind what version 0 has, the topics still read.
    let cut = bytes(SUBSCRIPTION_3).slice(..19);
    assert_eq!(subscribed(cut.clone(), NEWEST), Err(DecodeError::Truncated));
    let topics = subscribed(cut, 0).map(|(version, read)| (version, read.topics));
    assert_eq!(topics, Ok((3, subscription().topics)));
    let negative = Bytes::from_static(&[0xff, 0xff, 0, 0, 0, 0]);
    assert_eq!(subscribed(negative, NEWEST), Err(DecodeError::Malformed));
    for short in [Bytes::new(), Bytes::from_static(&[0])] {
        assert_eq!(subscribed(short, 0), Err(DecodeError::Truncated));
    }
}
