//! OffsetForLeaderEpoch: consumers ask where an epoch ended, to notice a truncated log. A log is cut only where an
//! operator accepted an older store, which begins a new epoch: that one ends at the high watermark, and one before it where
//! the next one began. Of very old ones an earlier end is told than they had (`metadata::Epochs`).

use metadata::{Bounds, Offset};
use protocol::ErrorCode;
use protocol::acl::Operation;
use protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopic, OffsetForLeaderTopicResult,
};
use protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::bounds::{self, Confirmed};
use crate::call::Call;
use crate::named::Turns;
use crate::refusal;

pub(crate) async fn handle(
    call: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let context = call.context.as_ref();
    let sizes = request.topics.iter();
    let sizes = sizes.map(|topic| (topic.topic.len(), topic.partitions.len()));
    // A frame of this API never asks for more than one answer may take.
    let _ = bounds::charge(call, sizes).await;
    let (wanted, denied) = call.part(request.topics, |topic| &topic.topic, Operation::Describe);
    let confirmed = Confirmed::read(call, places(&wanted)).await;
    call.charge_again().await;
    let epoch = context.metadata.leader_epoch();
    let mut topics = Vec::with_capacity(wanted.len() + denied.len());
    let mut turns = Turns::default();
    for topic in &wanted {
        turns.pass(1).await;
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            turns.pass(1).await;
            let bounds = confirmed.of(&topic.topic, wanted.partition);
            partitions.push(answer(wanted, epoch, bounds));
        }
        topics.push(OffsetForLeaderTopicResult {
            topic: topic.topic.clone(),
            partitions,
        });
    }
    topics.extend(denied.into_iter().map(|topic| refuse(topic, epoch)));
    OffsetForLeaderEpochResponse {
        topics,
        ..OffsetForLeaderEpochResponse::default()
    }
}

/// The answer for a topic of which nothing is told.
fn refuse(topic: OffsetForLeaderTopic, epoch: i32) -> OffsetForLeaderTopicResult {
    let refused = |wanted: &OffsetForLeaderPartition| {
        answer(wanted, epoch, Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED))
    };
    OffsetForLeaderTopicResult {
        partitions: topic.partitions.iter().map(refused).collect(),
        topic: topic.topic,
    }
}

fn places(topics: &[OffsetForLeaderTopic]) -> impl Iterator<Item = (&str, i32)> {
    topics.iter().flat_map(|topic| {
        let indexes = topic.partitions.iter().map(|each| each.partition);
        indexes.map(|index| (topic.topic.as_str(), index))
    })
}

/// A partition's bounds, or why they are not told.
type Found = Result<Bounds, ErrorCode>;

fn answer(wanted: &OffsetForLeaderPartition, epoch: i32, bounds: Found) -> EpochEndOffset {
    // As it is, the answer for an epoch that has not been: none, and no error.
    let none = EpochEndOffset {
        partition: wanted.partition,
        ..EpochEndOffset::default()
    };
    let known = refusal::leader_epoch(wanted.current_leader_epoch, epoch);
    let ended = |end: Offset| EpochEndOffset {
        leader_epoch: wanted.leader_epoch,
        end_offset: end.0,
        ..none.clone()
    };
    match bounds.and_then(|bounds| known.map(|()| bounds)) {
        Err(error_code) => EpochEndOffset { error_code, ..none },
        Ok(bounds) if (0..=epoch).contains(&wanted.leader_epoch) => {
            let end = bounds
                .epochs
                .end_of(wanted.leader_epoch, bounds.high_watermark);
            ended(end)
        }
        Ok(_) => none,
    }
}

#[cfg(test)]
mod tests {
    use metadata::Epochs;

    use super::*;

    fn ask(epoch: i32, current: i32, wanted: i32) -> (ErrorCode, i32, i64) {
        let partition = OffsetForLeaderPartition {
            partition: 3,
            current_leader_epoch: current,
            leader_epoch: wanted,
        };
        let mut epochs = Epochs::default();
        for began in 1..=epoch {
            epochs.begin(began, Offset(20 + 5 * i64::from(began)));
        }
        let bounds = Bounds {
            high_watermark: Offset(42),
            last_stable: Offset(40),
            epochs,
            ..Bounds::default()
        };
        let answer = answer(&partition, epoch, Ok(bounds));
        assert_eq!(answer.partition, 3);
        (answer.error_code, answer.leader_epoch, answer.end_offset)
    }

    #[test]
    fn the_present_epoch_ends_at_the_high_watermark() {
        assert_eq!(ask(0, -1, 0), (ErrorCode::NONE, 0, 42));
        assert_eq!(ask(0, 0, 0), (ErrorCode::NONE, 0, 42));
        assert_eq!(ask(0, 0, 1), (ErrorCode::NONE, -1, -1));
        assert_eq!(ask(0, 0, -1), (ErrorCode::NONE, -1, -1));
        assert_eq!(ask(0, 1, 0), (ErrorCode::UNKNOWN_LEADER_EPOCH, -1, -1));
    }

    #[test]
    fn an_epoch_before_ends_where_the_next_one_began() {
        assert_eq!(ask(2, 2, 2), (ErrorCode::NONE, 2, 42));
        assert_eq!(ask(2, 2, 1), (ErrorCode::NONE, 1, 30));
        assert_eq!(ask(2, 2, 0), (ErrorCode::NONE, 0, 25));
        assert_eq!(ask(2, 2, 3), (ErrorCode::NONE, -1, -1));
        assert_eq!(ask(2, 1, 1), (ErrorCode::FENCED_LEADER_EPOCH, -1, -1));
    }
}
