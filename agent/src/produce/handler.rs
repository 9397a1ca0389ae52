//! Translates a Produce request into appends, and what became of them into its response.
//! Called by `dispatch.rs`: `begin` runs in request order, the future it returns when the reply is due.

use std::sync::Arc;

use metadata::{Catalogue, PartitionIndex, TOPIC_NAME_BYTES_MAX, Topic, TopicPartition};
use protocol::acl::Operation;
use protocol::messages::ProduceRequest;
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::{ApiKey, Encode, ErrorCode};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answer::{Pending, PendingPartition, PendingTopic, Verdict, answer_bytes, response};
use super::buffer::{Append, BatchOutcome};
use super::flusher::Handle;
use super::judging::{Judged, Judges, Unjudged};
use super::place;
use super::share::share;
use super::validate::{InvalidBatch, ValidBatch};
use crate::admission::Admission;
use crate::call::{Call, Close, PendingReply, Reply, Resource};
use crate::context::Context;
use crate::metrics::count_request;
use crate::topic_config::TopicSettings;

/// Partitions that one request may name: more than a client has batches for in one request, and far more than is told of
/// one in memory.
const PARTITIONS_MAX: usize = 32 * 1024;
/// Batches of one request that share a segment. What is committed at once is bounded by that, so that nobody's segment is
/// too large to be committed, or refused with batches of others in it.
const BATCHES_MAX: usize = 8 * 1024;

/// What an answer may take before it is charged for: that of some dozens of partitions.
const ANSWER_FREE_BYTES: usize = 16 * 1024;

/// The room's front: what `dispatch` holds.
#[derive(Debug)]
pub(crate) struct Produce {
    admission: Admission,
    judges: Judges,
    flusher: Handle,
}

impl Produce {
    pub(crate) fn new(admission: Admission, flusher: Handle) -> Self {
        let judges = Judges::new(admission.clone());
        Self {
            admission,
            judges,
            flusher,
        }
    }

    /// Validates and queues a request's batches, exchanging its frame permit for a buffer permit. What it holds besides them it
    /// has a place for, from here until its reply is written, and stands in line for that before anything is made of it.
    ///
    /// # Errors
    /// Where nothing true can be said of them.
    pub(crate) async fn begin(
        &self,
        call: Call,
        request: ProduceRequest,
    ) -> Result<PendingReply, Close> {
        let acks = request.acks;
        check_sizes(&request)?;
        find_all(&call.context, &request).await?;
        let most = place::most(call.client_id.as_deref(), &request);
        let mut place = self.admission.place(call.arrival.origin(), most).await;
        let (mut topics, unjudged) = translate(&call, &call.context.metadata.catalogue(), request);
        let judged = self.judges.judge(&call, unjudged).await?;
        let mut batches = settle(&mut topics, judged);
        for (_, batch) in &mut batches {
            batch.hold_on_to_none_of(call.frame_bytes);
        }
        let share = share(call.arrival.address);
        for producer in batches
            .iter_mut()
            .filter_map(|(_, batch)| batch.producer.as_mut())
        {
            producer.share = share;
        }
        let held = place::bytes(call.client_id.as_deref(), &topics, batches.len());
        debug_assert!(held <= most, "{held} of {most}");
        place.shrink(held);
        let answer = answer_bytes(&topics);
        let answers = match batches.is_empty() {
            false => self.append(&call, batches).await,
            // Nothing of it is stored: it does not stand in the way of those who wait for that.
            true => {
                call.release();
                Vec::new()
            }
        };
        let pending = Pending { topics, answers };
        Ok(Box::pin(async move {
            let (topics, outcomes) = pending.outcomes().await;
            if answer > ANSWER_FREE_BYTES {
                call.charge(answer).await;
            }
            let response = response(topics, &outcomes);
            match acks {
                0 => silent(response.first_error()),
                _ => Ok(Reply {
                    place: Some(place),
                    ..call.reply::<ProduceRequest>(response)
                }),
            }
        }))
    }

    /// From here on the batches are charged for, and not the frame.
    async fn append(
        &self,
        call: &Call,
        batches: Vec<(TopicPartition, ValidBatch)>,
    ) -> Vec<oneshot::Receiver<Vec<BatchOutcome>>> {
        let bytes: usize = batches.iter().map(|(_, batch)| batch.bytes.len()).sum();
        let arrived = Instant::now();
        // For all of it at once: who had some of it and waited for more would leave the rest of its frame to nobody.
        let permit = self.admission.buffer(batches.len(), bytes).await;
        call.release();
        let permit = Arc::new(permit);
        let mut answers = Vec::new();
        let mut left = batches.into_iter();
        while left.len() > 0 {
            let (ticket, answer) = oneshot::channel();
            let append = Append {
                connection: call.arrival.connection,
                batches: left.by_ref().take(BATCHES_MAX).collect(),
                ticket,
                permit: Arc::clone(&permit),
                arrived,
            };
            // Refused only while stopping; the dropped ticket then says so.
            let _ = self.flusher.append(append).await;
            answers.push(answer);
        }
        answers
    }
}

/// Neither partitions nor any name are beyond all measure: no client sends batches to a topic that none can be called. A topic
/// without partitions counts as one, for it is gone through as well.
fn check_sizes(request: &ProduceRequest) -> Result<(), Close> {
    let topics = request.topic_data.iter();
    let longest = topics.clone().map(|topic| topic.name.len()).max();
    if let Some(bytes) = longest.filter(|bytes| *bytes > TOPIC_NAME_BYTES_MAX) {
        return Err(Close::Refused(format!(
            "a Produce request to a topic whose name has {bytes} bytes, of which none has more than {TOPIC_NAME_BYTES_MAX}"
        )));
    }
    let partitions: usize = topics.map(|topic| topic.partition_data.len().max(1)).sum();
    match partitions <= PARTITIONS_MAX {
        true => Ok(()),
        false => Err(Close::Refused(format!(
            "a Produce request of {partitions} partitions, of which at most {PARTITIONS_MAX} are taken"
        ))),
    }
}

/// Whether all of the request's partitions are there is known from here on. A producer's first batch refused and its second one
/// taken would be out of order, so an agent that cannot ask whether they exist ends the connection before the second
/// one: clients send both again.
async fn find_all(context: &Context, request: &ProduceRequest) -> Result<(), Close> {
    let known = || all_known(&context.metadata.catalogue(), request);
    if known() || context.refresh_catalogue().await || known() {
        return Ok(());
    }
    Err(Close::Refused(
        "a topic or partition is not known here, and nobody can be asked whether it exists"
            .to_owned(),
    ))
}

fn translate(
    call: &Call,
    catalogue: &Catalogue,
    request: ProduceRequest,
) -> (Vec<PendingTopic>, Vec<Unjudged>) {
    let refused = refuse_whole(call, &request);
    let mut unjudged = Vec::new();
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for TopicProduceData {
        name,
        partition_data,
        ..
    } in request.topic_data
    {
        let denied = call.allow(Resource::Topic(&name), Operation::Write).err();
        let denied =
            denied.map(|code| InvalidBatch::new(code, "writing to this topic is not allowed"));
        let refused = denied.as_ref().or(refused.as_ref());
        let topic = catalogue.topic(&name);
        let partitions = partition_data
            .into_iter()
            .map(|partition| {
                let index = partition.index;
                let verdict = match refused {
                    Some(refused) => Verdict::Refused(refused.clone()),
                    None => find(topic, partition, &mut unjudged),
                };
                PendingPartition { index, verdict }
            })
            .collect();
        topics.push(PendingTopic { name, partitions });
    }
    (topics, unjudged)
}

/// What was judged takes the place of what was not; the batches to be appended.
fn settle(topics: &mut [PendingTopic], judged: Vec<Judged>) -> Vec<(TopicPartition, ValidBatch)> {
    // No more room than for those: it is held while they wait.
    let valid = judged.iter().filter(|(_, judged)| judged.is_ok());
    let mut batches = Vec::with_capacity(valid.count());
    let mut judged: Vec<_> = judged.into_iter().map(Some).collect();
    let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for partition in partitions {
        let Verdict::Unjudged(number) = partition.verdict else {
            continue;
        };
        partition.verdict = match judged.get_mut(number).and_then(Option::take) {
            Some((at, Ok(batch))) => {
                let (number, log_append_time) = (batches.len(), batch.log_append_time);
                batches.push((at, batch));
                Verdict::Appended {
                    number,
                    log_append_time,
                }
            }
            Some((_, Err(refused))) => Verdict::Refused(refused),
            None => continue,
        };
    }
    batches
}

fn all_known(catalogue: &Catalogue, request: &ProduceRequest) -> bool {
    request.topic_data.iter().all(|data| {
        let topic = catalogue.topic(&data.name);
        let known = |index| topic.is_some_and(|topic| topic.has(PartitionIndex(index)));
        (data.partition_data.iter()).all(|partition| known(partition.index))
    })
}

/// What is wrong with a request as a whole.
fn refuse_whole(call: &Call, request: &ProduceRequest) -> Option<InvalidBatch> {
    if let Some(id) = request.transactional_id.as_deref()
        && let Err(code) = call.allow(Resource::TransactionalId(id), Operation::Write)
    {
        let message = "writing with this transactional id is not allowed";
        return Some(InvalidBatch::new(code, message));
    }
    if !call.context.node.roles.produce {
        return Some(InvalidBatch::new(
            // Clients look who leads now, and go there.
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            "this agent does not have the role produce",
        ));
    }
    if !(-1..=1).contains(&request.acks) {
        return Some(InvalidBatch::new(
            ErrorCode::INVALID_REQUIRED_ACKS,
            "acks is none of -1, 0 and 1",
        ));
    }
    None
}

fn find(
    topic: Option<&Arc<Topic>>,
    partition: PartitionProduceData,
    unjudged: &mut Vec<Unjudged>,
) -> Verdict {
    let known = topic.filter(|topic| topic.has(PartitionIndex(partition.index)));
    let Some(topic) = known else {
        return Verdict::Refused(InvalidBatch::new(
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "no such topic or partition",
        ));
    };
    let records = partition.records.map(|records| records.0);
    let first = records.and_then(|records| records.into_iter().next());
    let Some(bytes) = first.filter(|bytes| !bytes.is_empty()) else {
        return Verdict::Refused(InvalidBatch::new(
            ErrorCode::INVALID_RECORD,
            "a partition without a record batch",
        ));
    };
    unjudged.push(Unjudged {
        at: TopicPartition {
            topic: topic.id,
            partition: PartitionIndex(partition.index),
        },
        bytes,
        topic: *TopicSettings::of(topic),
    });
    Verdict::Unjudged(unjudged.len() - 1)
}

/// `acks=0`: no answer, and a closed connection where something went wrong, as in Kafka.
fn silent(error: ErrorCode) -> Result<Reply, Close> {
    count_request(ApiKey::Produce, error);
    if error == ErrorCode::NONE {
        Ok(Reply::default())
    } else {
        Err(Close::Refused(format!("acks=0 and {}", error.name())))
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::produce::TopicProduceData;

    use super::*;

    #[test]
    fn topics_of_which_nothing_is_sent_count_too() {
        let of = |topics: usize| ProduceRequest {
            topic_data: vec![TopicProduceData::default(); topics],
            ..ProduceRequest::default()
        };
        assert!(check_sizes(&of(PARTITIONS_MAX)).is_ok());
        let refused = check_sizes(&of(PARTITIONS_MAX + 1));
        assert!(matches!(refused, Err(Close::Refused(_))), "{refused:?}");
    }
}
