//! OffsetForLeaderEpoch: one epoch, which ends where the log does.

use protocol::messages::OffsetForLeaderEpochRequest;
use protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use protocol::{ApiKey, ErrorCode};

use crate::shapes::start;
use crate::support::client::{Client, batch};

async fn ask(
    client: &mut Client,
    version: i16,
    topic: &str,
    (partition, current_leader_epoch, leader_epoch): (i32, i32, i32),
) -> EpochEndOffset {
    let partitions = vec![OffsetForLeaderPartition {
        partition,
        current_leader_epoch,
        leader_epoch,
    }];
    let request = OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![OffsetForLeaderTopic {
            topic: topic.to_owned(),
            partitions,
        }],
    };
    let response = client.ask(version, &request).await;
    assert_eq!(
        (response.topics.len(), response.topics[0].topic.as_str()),
        (1, topic)
    );
    response.topics[0].partitions[0].clone()
}

#[tokio::test]
async fn the_one_epoch_ends_at_the_high_watermark() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for end in [0, 2, 4] {
        for version in ApiKey::OffsetForLeaderEpoch.versions() {
            for current in [-1, 0] {
                let answer = ask(&mut client, version, "t", (0, current, 0)).await;
                assert_eq!(
                    (answer.error_code, answer.leader_epoch, answer.end_offset),
                    (ErrorCode::NONE, 0, end)
                );
                for epoch in [1, 7, i32::MAX, -1] {
                    let answer = ask(&mut client, version, "t", (0, current, epoch)).await;
                    assert_eq!(
                        (answer.error_code, answer.leader_epoch, answer.end_offset),
                        (ErrorCode::NONE, -1, -1)
                    );
                }
            }
        }
        client.produce("t", 0, batch(&["a", "b"])).await;
    }
}

#[tokio::test]
async fn what_is_not_known_is_refused() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    for version in ApiKey::OffsetForLeaderEpoch.versions() {
        for (topic, partition, current, code) in [
            ("nowhere", 0, -1, unknown),
            ("t", 1, -1, unknown),
            ("t", -1, 0, unknown),
            ("t", 0, 1, ErrorCode::UNKNOWN_LEADER_EPOCH),
        ] {
            let answer = ask(&mut client, version, topic, (partition, current, 0)).await;
            let what = (
                answer.error_code,
                answer.partition,
                answer.leader_epoch,
                answer.end_offset,
            );
            assert_eq!(
                what,
                (code, partition, -1, -1),
                "{topic} {partition} in {version}"
            );
        }
    }
}
