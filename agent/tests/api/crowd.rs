//! Very many idempotent producers on one partition: none is forgotten because others came.

use futures::future::join_all;
use protocol::ErrorCode;
use protocol::messages::ProduceRequest;

use crate::shapes::{frame, new_producer, numbered};
use crate::support::broker::Broker;
use crate::support::client::{Client, produce_request};

/// More than a partition once kept windows for (5,000), and no multiple of [`AT_ONCE`].
const PRODUCERS: usize = 6_010;
/// Requests on their way at a time: fewer than a connection may have.
const AT_ONCE: usize = 60;
const VERSION: i16 = 9;

/// Ids for so many producers, on connections side by side: each waits for the metadata.
async fn crowd(broker: &Broker) -> Vec<i64> {
    let some = (0..AT_ONCE).map(async |_| {
        let mut client = Client::connect(broker.listen).await;
        let mut ids = Vec::new();
        for _ in 0..PRODUCERS.div_ceil(AT_ONCE) {
            ids.push(new_producer(&mut client).await);
        }
        ids
    });
    let mut ids = join_all(some).await.concat();
    ids.truncate(PRODUCERS);
    ids
}

/// Each producer's only batch, in turn: where it lies.
async fn in_turn(client: &mut Client, ids: &[i64]) -> Vec<i64> {
    let mut offsets = Vec::with_capacity(ids.len());
    for some in ids.chunks(AT_ONCE) {
        let requests = some.iter().flat_map(|id| {
            let batch = numbered(&["x"], *id, 0, 0);
            frame(VERSION, 1, &produce_request("t", 0, -1, batch))
        });
        client.send_raw(&requests.collect::<Vec<_>>()).await;
        for id in some {
            let answer = client.receive_frame().await.expect("an answer");
            let (_, response) = protocol::decode_response::<ProduceRequest>(VERSION, answer)
                .expect("a Produce response");
            let placed = &response.responses[0].partition_responses[0];
            assert_eq!(placed.error_code, ErrorCode::NONE, "producer {id}");
            offsets.push(placed.base_offset);
        }
    }
    offsets
}

#[tokio::test]
async fn thousands_of_producers_repeat_their_batches_and_none_is_stored_twice() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let ids = crowd(&broker).await;
    let first = in_turn(&mut client, &ids).await;
    assert!((0..).zip(&first).all(|(offset, placed)| offset == *placed));
    // To the process that took them, and to one that has to load what it knows of them.
    for killed in [false, true] {
        if killed {
            broker.kill().await;
            broker = Broker::in_folder(data.path(), &[]).await;
            client = Client::connect(broker.listen).await;
        }
        assert_eq!(in_turn(&mut client, &ids).await, first, "killed: {killed}");
        let end = client.fetch("t", 0, 0).await.high_watermark;
        assert_eq!(usize::try_from(end), Ok(PRODUCERS), "killed: {killed}");
    }
}
