//! Requests of very many small batches, and of partitions with none.

use bytes::Bytes;
use protocol::ErrorCode;
use protocol::messages::ProduceRequest;
use protocol::messages::produce::PartitionProduceData;

use crate::shapes::frame;
use crate::support::broker::Broker;
use crate::support::client::{Client, batch, produce_request};

const VERSION: i16 = 9;
/// As README says.
const PARTITIONS_MAX: usize = 32 * 1024;

/// So many times the same partition, with that batch or none.
fn request(count: usize, batch: Option<Bytes>) -> ProduceRequest {
    let mut request = produce_request("t", 0, -1, Bytes::new());
    let partition = PartitionProduceData {
        index: 0,
        records: batch.map(Into::into),
    };
    request.topic_data[0].partition_data = vec![partition; count];
    request
}

/// They are stored in several segments, and answered as one.
#[tokio::test]
async fn very_many_batches_of_one_request_are_all_stored_in_their_order() {
    let broker = Broker::in_memory(&[]).await;
    let mut client = Client::connect(broker.listen).await;
    client.create_topic("t", 1, &[]).await;
    let count = 20_000;
    let response = client
        .ask(VERSION, &request(count, Some(batch(&["x"]))))
        .await;
    let answers = &response.responses[0].partition_responses;
    assert_eq!(answers.len(), count);
    for (offset, answer) in (0..).zip(answers) {
        assert_eq!(answer.error_code, ErrorCode::NONE);
        assert_eq!(answer.base_offset, offset);
    }
}

#[tokio::test]
async fn a_request_of_more_partitions_than_may_be_ends_its_connection_and_no_other() {
    let broker = Broker::in_memory(&[]).await;
    let mut client = Client::connect(broker.listen).await;
    client.create_topic("t", 1, &[]).await;
    let mut other = Client::connect(broker.listen).await;
    let many = request(PARTITIONS_MAX, Some(batch(&["x"])));
    let response = other.ask(VERSION, &many).await;
    let answers = &response.responses[0].partition_responses;
    assert_eq!(answers.len(), PARTITIONS_MAX);
    assert_eq!(answers[0].error_code, ErrorCode::NONE);
    let many = frame(
        VERSION,
        1,
        &request(PARTITIONS_MAX + 1, Some(batch(&["x"]))),
    );
    other.send_raw(&many).await;
    assert!(other.receive_frame().await.is_none(), "it was answered");
    let placed = client.produce("t", 0, batch(&["x"])).await;
    assert_eq!(placed.error_code, ErrorCode::NONE);
}

/// An answer that repeats them takes as much as they do, and nobody stores anything for it.
#[tokio::test]
async fn what_is_refused_as_a_whole_is_answered_for_each_partition_or_not_at_all() {
    let broker = Broker::in_memory(&[]).await;
    let mut client = Client::connect(broker.listen).await;
    client.create_topic("t", 1, &[]).await;
    let named = |name: String| {
        let mut request = request(PARTITIONS_MAX, Some(batch(&["x"])));
        request.topic_data[0].name = name;
        request
    };
    let mut other = Client::connect(broker.listen).await;
    for _ in 0..3 {
        let response = other.ask(VERSION, &named("n".repeat(249))).await;
        let answers = &response.responses[0].partition_responses;
        assert_eq!(answers.len(), PARTITIONS_MAX);
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert!(answers.iter().all(|answer| answer.error_code == unknown));
    }
    let longer = frame(VERSION, 1, &named("n".repeat(250)));
    other.send_raw(&longer).await;
    assert!(other.receive_frame().await.is_none(), "it ends");
    let few = request(1, Some(batch(&["x"])));
    let response = client.ask(VERSION, &few).await;
    let answers = &response.responses[0].partition_responses;
    assert_eq!(answers[0].error_code, ErrorCode::NONE);
}
