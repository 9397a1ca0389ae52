//! What a Produce request holds besides its batches, in bytes: its place in the order of its connection, from the time that it
//! is looked into until its reply is written. Others are read behind it meanwhile, and its client may never take a reply.
//! Pure. Called by `handler`.

use std::borrow::Cow;

use metadata::TopicPartition;
use protocol::messages::ProduceRequest;

use super::answer::{PendingPartition, PendingTopic, Verdict};
use super::buffer::BatchOutcome;
use super::judging::{Judged, Unjudged};
use super::validate::{RecordFault, ValidBatch};
use super::{contents, judging};
use crate::admission::REQUEST_BYTES;

/// No sentence that says what is wrong with a batch or a record is longer.
const SENTENCE_BYTES_MAX: usize = 256;
/// What became of a batch, as it comes and among those of its request.
const OUTCOME_BYTES: usize = 2 * size_of::<BatchOutcome>();
/// A batch until it waits for its ack, besides its bytes, and what is wrong with it.
const LOOKED_INTO_BYTES: usize = size_of::<Unjudged>()
    + size_of::<Judged>()
    + size_of::<(TopicPartition, ValidBatch)>()
    + OUTCOME_BYTES
    + SENTENCE_BYTES_MAX;

/// Before it is looked into: what it may hold at the most.
pub(super) fn most(client_id: Option<&str>, request: &ProduceRequest) -> usize {
    let topics = request.topic_data.iter();
    let partitions = topics.clone().flat_map(|topic| &topic.partition_data);
    let batches = partitions.filter(|partition| partition.records.is_some());
    let batches = batches.count();
    let faults = judging::FAULTS_MAX.min(batches * contents::FAULTS_MAX);
    let topics = topics.map(|topic| {
        let partitions = topic.partition_data.len() * size_of::<PendingPartition>();
        size_of::<PendingTopic>() + topic.name.len() + partitions
    });
    of_any(client_id)
        + topics.sum::<usize>()
        + batches * LOOKED_INTO_BYTES
        + faults * (size_of::<RecordFault>() + SENTENCE_BYTES_MAX)
}

/// Once it was looked into, and so many batches are to be stored: what it holds.
pub(super) fn bytes(client_id: Option<&str>, topics: &[PendingTopic], batches: usize) -> usize {
    let topics = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter();
        let told = partitions
            .map(|partition| size_of::<PendingPartition>() + sentences(&partition.verdict));
        size_of::<PendingTopic>() + topic.name.len() + told.sum::<usize>()
    });
    of_any(client_id) + topics.sum::<usize>() + batches * OUTCOME_BYTES
}

fn of_any(client_id: Option<&str>) -> usize {
    REQUEST_BYTES + client_id.map_or(0, str::len)
}

/// Those that were made for this request.
fn sentences(verdict: &Verdict) -> usize {
    let Verdict::Refused(refused) = verdict else {
        return 0;
    };
    let made = match &refused.message {
        Cow::Owned(message) => message.len(),
        Cow::Borrowed(_) => 0,
    };
    let faults = refused.records.iter();
    let faults = faults.map(|fault| size_of::<RecordFault>() + fault.message.len());
    made + faults.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::poll;
    use protocol::messages::produce::PartitionProduceData;
    use protocol::records::{BatchOptions, Record, build_batch};
    use protocol::{ApiKey, Records};
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::discovery::fixture::call;
    use crate::rights::requests::produce;
    use crate::rights::rooms::{TOPIC, with_rooms};

    const NULLS: usize = 3000;
    /// As much as a place has for them, at the least.
    const NULLS_BYTES: usize = NULLS * size_of::<PendingPartition>();

    /// For one partition, these batches and then so often none.
    fn request(batches: Vec<bytes::Bytes>, nulls: usize) -> ProduceRequest {
        let mut request = produce(&[TOPIC], None);
        let some = batches.into_iter().map(Records::from).map(Some);
        let all = some.chain(std::iter::repeat_n(None, nulls));
        let all = all.map(|records| PartitionProduceData { index: 0, records });
        request.topic_data[0].partition_data = all.collect();
        request
    }

    fn batch() -> bytes::Bytes {
        build_batch(&[Record::default()], BatchOptions::default())
    }

    /// All of it was held for nothing, from the ack until a client took the replies before it.
    #[tokio::test]
    async fn what_is_told_of_a_request_is_charged_until_its_reply_is_written() {
        with_rooms(async |rooms| {
            let admission = &rooms.context.admission;
            let call = call(&rooms.context, ApiKey::Produce, 9).await;
            let request = request(vec![batch()], NULLS);
            let pending = rooms.produce.begin(call, request).await.unwrap();
            let acknowledged = async {
                while admission.buffered_bytes() > 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            let done = timeout(Duration::from_secs(30), acknowledged).await;
            done.expect("it is stored");
            let held = admission.answer_bytes();
            assert!(held > NULLS_BYTES, "{held}");
            let reply = pending.await.unwrap();
            assert!(admission.answer_bytes() > held, "and what it is made into");
            drop(reply);
            assert_eq!(admission.answer_bytes(), 0);
        })
        .await;
    }

    /// It stood in line with a permit for its frame, a sixth of that.
    #[tokio::test]
    async fn what_is_told_of_a_request_is_charged_while_its_batches_wait_for_room() {
        with_rooms(async |rooms| {
            let admission = &rooms.context.admission;
            let everything = admission.buffer(1, 1 << 20).await;
            let call = call(&rooms.context, ApiKey::Produce, 9).await;
            let begun = rooms.produce.begin(call, request(vec![batch()], NULLS));
            let mut begun = Box::pin(begun);
            assert!(poll!(&mut begun).is_pending());
            let held = admission.answer_bytes();
            assert!(held > NULLS_BYTES, "{held}");
            drop(begun);
            assert_eq!(admission.answer_bytes(), 0);
            drop(everything);
        })
        .await;
    }

    /// They took the room of all who wait for an ack, and of large answers, before anybody took a reply.
    #[tokio::test]
    async fn of_what_is_refused_nothing_but_its_place_is_held_until_its_turn() {
        with_rooms(async |rooms| {
            let admission = &rooms.context.admission;
            for nulls in [1, NULLS] {
                let call = call(&rooms.context, ApiKey::Produce, 9).await;
                let pending = rooms.produce.begin(call, request(Vec::new(), nulls)).await;
                let pending = pending.unwrap();
                let held = admission.answer_bytes();
                let least = nulls * size_of::<PendingPartition>();
                assert!((least..least + 2000).contains(&held), "{held} for {nulls}");
                assert_eq!(admission.buffered_bytes(), 0);
                drop(pending);
                assert_eq!(admission.answer_bytes(), 0);
            }
        })
        .await;
    }

    #[tokio::test]
    async fn no_request_holds_more_than_was_asked_for_before_it_was_looked_into() {
        with_rooms(async |rooms| {
            let far = BatchOptions {
                base_timestamp: i64::MAX - 100,
                ..BatchOptions::default()
            };
            let records = |count: i32| {
                let at = |offset_delta| Record {
                    offset_delta,
                    ..Record::default()
                };
                (0..count).map(at).collect::<Vec<_>>()
            };
            let faulty = build_batch(&records(20), far);
            let cut = batch().slice(..65);
            for (batch, count, least) in [
                (batch(), 1, 0),
                (faulty.clone(), 1, 16 * 100),
                (faulty, 100, 100 * 100 + 64 * 100),
                (cut, 100, 0),
            ] {
                let request = request(vec![batch; count], 0);
                let most = most(None, &request);
                let call = call(&rooms.context, ApiKey::Produce, 9).await;
                let pending = rooms.produce.begin(call, request).await.unwrap();
                let held = rooms.context.admission.answer_bytes();
                assert!((least..=most).contains(&held), "{least} {held} {most}");
                drop(pending);
            }
        })
        .await;
    }
}
