//! OffsetForLeaderEpoch: consumers ask where an epoch ended, to notice a truncated log. Nothing is ever truncated here:
//! there is one epoch, 0, and it ends at the high watermark.

use metadata::Bounds;
use protocol::ErrorCode;
use protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopic, OffsetForLeaderTopicResult,
};
use protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::bounds::Confirmed;
use crate::context::Context;

pub(crate) async fn handle(
    context: &Context,
    request: OffsetForLeaderEpochRequest,
    _: i16,
) -> OffsetForLeaderEpochResponse {
    let confirmed = Confirmed::read(context, places(&request.topics)).await;
    let answer_topic = |topic: &OffsetForLeaderTopic| {
        let partitions = topic.partitions.iter();
        let answers =
            partitions.map(|wanted| answer(wanted, confirmed.of(&topic.topic, wanted.partition)));
        OffsetForLeaderTopicResult {
            topic: topic.topic.clone(),
            partitions: answers.collect(),
        }
    };
    OffsetForLeaderEpochResponse {
        topics: request.topics.iter().map(answer_topic).collect(),
        ..OffsetForLeaderEpochResponse::default()
    }
}

fn places(topics: &[OffsetForLeaderTopic]) -> impl Iterator<Item = (&str, i32)> {
    topics.iter().flat_map(|topic| {
        let indexes = topic.partitions.iter().map(|each| each.partition);
        indexes.map(|index| (topic.topic.as_str(), index))
    })
}

fn answer(wanted: &OffsetForLeaderPartition, bounds: Result<Bounds, ErrorCode>) -> EpochEndOffset {
    // As it is, the answer for an epoch that has not been: none, and no error.
    let none = EpochEndOffset {
        partition: wanted.partition,
        ..EpochEndOffset::default()
    };
    match bounds {
        Err(error_code) => EpochEndOffset { error_code, ..none },
        Ok(_) if wanted.current_leader_epoch > 0 => EpochEndOffset {
            error_code: ErrorCode::UNKNOWN_LEADER_EPOCH,
            ..none
        },
        Ok(bounds) if wanted.leader_epoch == bounds.leader_epoch => EpochEndOffset {
            leader_epoch: bounds.leader_epoch,
            end_offset: bounds.high_watermark.0,
            ..none
        },
        Ok(_) => none,
    }
}

#[cfg(test)]
mod tests {
    use metadata::Offset;

    use super::*;

    fn ask(current: i32, wanted: i32) -> (ErrorCode, i32, i64) {
        let partition = OffsetForLeaderPartition {
            partition: 3,
            current_leader_epoch: current,
            leader_epoch: wanted,
        };
        let bounds = Bounds {
            high_watermark: Offset(42),
            last_stable: Offset(40),
            ..Bounds::default()
        };
        let answer = answer(&partition, Ok(bounds));
        assert_eq!(answer.partition, 3);
        (answer.error_code, answer.leader_epoch, answer.end_offset)
    }

    #[test]
    fn the_one_epoch_ends_at_the_high_watermark() {
        assert_eq!(ask(-1, 0), (ErrorCode::NONE, 0, 42));
        assert_eq!(ask(0, 0), (ErrorCode::NONE, 0, 42));
        assert_eq!(ask(0, 1), (ErrorCode::NONE, -1, -1));
        assert_eq!(ask(0, -1), (ErrorCode::NONE, -1, -1));
        assert_eq!(ask(1, 0), (ErrorCode::UNKNOWN_LEADER_EPOCH, -1, -1));
    }
}
