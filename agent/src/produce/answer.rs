//! What a Produce request is answered with: a verdict for each partition, from what was refused at once and from what became
//! of the rest. Pure, but for the wait. Called by `handler`.

use metadata::Timestamp;
use protocol::ErrorCode;
use protocol::messages::ProduceResponse;
use protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use tokio::sync::oneshot;

use super::buffer::BatchOutcome;
use super::validate::{InvalidBatch, RecordFault};

/// What the answer for a partition takes besides its sentences, made and encoded.
const ANSWER_BYTES: usize = size_of::<PartitionProduceResponse>() + 64;
/// The answer for a fault besides its sentence.
const FAULT_BYTES: usize = size_of::<BatchIndexAndErrorMessage>() + 8;
/// A request whose batches are on their way.
pub(super) struct Pending {
    pub(super) topics: Vec<PendingTopic>,
    /// One for each `BATCHES_MAX` of its batches, in their order.
    pub(super) answers: Vec<oneshot::Receiver<Vec<BatchOutcome>>>,
}

pub(super) struct PendingTopic {
    pub(super) name: String,
    pub(super) partitions: Vec<PendingPartition>,
}

pub(super) struct PendingPartition {
    pub(super) index: i32,
    pub(super) verdict: Verdict,
}

pub(super) enum Verdict {
    Refused(InvalidBatch),
    /// Which of the request's batches it is, among those to be judged.
    Unjudged(usize),
    Appended {
        /// Which of the request's batches it is: where its outcome will be.
        number: usize,
        log_append_time: Option<Timestamp>,
    },
}

impl Pending {
    /// What became of its batches.
    pub(super) async fn outcomes(self) -> (Vec<PendingTopic>, Vec<BatchOutcome>) {
        let mut outcomes = Vec::new();
        for answer in self.answers {
            // A dropped ticket: the agent is stopping and nothing was stored, nor of those behind it.
            let Ok(more) = answer.await else { break };
            outcomes.extend(more);
        }
        (self.topics, outcomes)
    }
}

/// What the answer takes, made and encoded.
pub(super) fn answer_bytes(topics: &[PendingTopic]) -> usize {
    let sentences = |verdict: &Verdict| match verdict {
        Verdict::Refused(refused) => {
            let faults = refused.records.iter();
            let faults = faults.map(|fault| fault.message.len() + FAULT_BYTES);
            refused.message.len() + faults.sum::<usize>()
        }
        Verdict::Unjudged(_) | Verdict::Appended { .. } => 0,
    };
    let topic = |topic: &PendingTopic| {
        let partitions = topic.partitions.iter();
        let told = partitions.map(|partition| ANSWER_BYTES + 2 * sentences(&partition.verdict));
        size_of::<TopicProduceResponse>() + 2 * topic.name.len() + told.sum::<usize>()
    };
    topics.iter().map(topic).sum()
}

pub(super) fn response(topics: Vec<PendingTopic>, outcomes: &[BatchOutcome]) -> ProduceResponse {
    let topic = |topic: PendingTopic| {
        let partitions = topic.partitions.into_iter();
        TopicProduceResponse {
            name: topic.name,
            partition_responses: partitions
                .map(|partition| partition.response(outcomes))
                .collect(),
        }
    };
    ProduceResponse {
        responses: topics.into_iter().map(topic).collect(),
        ..Default::default()
    }
}

impl PendingPartition {
    fn response(self, outcomes: &[BatchOutcome]) -> PartitionProduceResponse {
        let index = self.index;
        match self.verdict {
            Verdict::Refused(refused) => refusal(index, refused),
            // None is left once they were judged.
            Verdict::Unjudged(_) => refusal(
                index,
                InvalidBatch::new(ErrorCode::UNKNOWN_SERVER_ERROR, "it was not judged"),
            ),
            Verdict::Appended {
                number,
                log_append_time,
            } => {
                let outcome = outcomes.get(number).copied();
                match outcome.unwrap_or(Err(ErrorCode::NOT_ENOUGH_REPLICAS)) {
                    Ok(placed) => PartitionProduceResponse {
                        index,
                        base_offset: placed.base_offset.0,
                        log_append_time_ms: log_append_time.map_or(-1, |time| time.0),
                        log_start_offset: placed.log_start_offset.0,
                        ..Default::default()
                    },
                    Err(error_code) => PartitionProduceResponse {
                        index,
                        error_code,
                        base_offset: -1,
                        log_append_time_ms: -1,
                        log_start_offset: -1,
                        ..Default::default()
                    },
                }
            }
        }
    }
}

fn refusal(index: i32, refused: InvalidBatch) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: refused.code,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        record_errors: refused.records.into_iter().map(record_error).collect(),
        error_message: Some(refused.message.into_owned()),
        ..Default::default()
    }
}

fn record_error(RecordFault { index, message }: RecordFault) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage {
        batch_index: index,
        batch_index_error_message: Some(message),
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::ProduceRequest;

    use super::*;

    #[test]
    fn an_answer_takes_no_more_than_is_charged_for_it() {
        let fault = |index| RecordFault {
            index,
            message: "a record is wrong".repeat(9),
        };
        let refused = InvalidBatch {
            code: ErrorCode::INVALID_RECORD,
            message: "the first of them".repeat(7).into(),
            records: (0..16).map(fault).collect(),
        };
        let appended = || Verdict::Appended {
            number: 0,
            log_append_time: None,
        };
        for name in [1, 249, 32_767] {
            let partitions = (0..100).map(|index| PendingPartition {
                index,
                verdict: match index % 2 {
                    0 => Verdict::Refused(refused.clone()),
                    _ => appended(),
                },
            });
            let topics = vec![PendingTopic {
                name: "n".repeat(name),
                partitions: partitions.collect(),
            }];
            let charged = answer_bytes(&topics);
            let response = response(topics, &[]);
            let slices = protocol::encode_response::<ProduceRequest>(0, 9, &response);
            let encoded: usize = slices.iter().map(bytes::Bytes::len).sum();
            // Made, and encoded.
            let sentences = 50 * (refused.message.len() + 16 * refused.records[0].message.len());
            assert!(charged >= name + sentences + encoded, "{charged} {encoded}");
            assert!(charged <= 4 * encoded, "{charged} {encoded}");
        }
    }
}
