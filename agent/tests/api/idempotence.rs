//! InitProducerId, and what the broker makes of sequence numbers: duplicates, gaps, epochs.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use protocol::messages::ProduceRequest;
use protocol::messages::produce::PartitionProduceResponse;
use protocol::{ApiKey, ErrorCode};

use crate::shapes::{frame, init, new_producer, numbered, of_topic, produce_topics, start, values};
use crate::support::broker::Broker;
use crate::support::client::{Client, batch, produce_request};

/// What became of a batch, as far as it matters here.
fn fate(placed: &PartitionProduceResponse) -> Result<i64, ErrorCode> {
    match placed.error_code {
        ErrorCode::NONE => Ok(placed.base_offset),
        code => Err(code),
    }
}

async fn produce(client: &mut Client, batch: Bytes) -> Result<i64, ErrorCode> {
    fate(&client.produce("t", 0, batch).await)
}

#[tokio::test]
async fn every_producer_gets_an_id_of_its_own() {
    let (broker, mut client) = start(&[]).await;
    let mut other = Client::connect(broker.listen).await;
    let mut ids = BTreeSet::new();
    for _ in 0..20 {
        for version in ApiKey::InitProducerId.versions() {
            for client in [&mut client, &mut other] {
                let given = client.ask(version, &init(None, -1, -1)).await;
                assert_eq!(
                    (given.error_code, given.producer_epoch),
                    (ErrorCode::NONE, 0)
                );
                assert!(
                    given.producer_id >= 0 && ids.insert(given.producer_id),
                    "{given:?} was given before"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_known_producer_gets_its_next_epoch_and_a_stranger_an_id() {
    let (_broker, mut client) = start(&[]).await;
    let id = new_producer(&mut client).await;
    for version in 3..=*ApiKey::InitProducerId.versions().end() {
        for epoch in [0, 1, 100, i16::MAX - 2] {
            let given = client.ask(version, &init(None, id, epoch)).await;
            assert_eq!(
                (given.error_code, given.producer_id, given.producer_epoch),
                (ErrorCode::NONE, id, epoch + 1)
            );
        }
        // Its epochs are used up, or it comes from another cluster: it becomes somebody else.
        for (earlier, epoch) in [(id, i16::MAX - 1), (i64::MAX, 3), (1 << 40, 0)] {
            let given = client.ask(version, &init(None, earlier, epoch)).await;
            assert_eq!(
                (given.error_code, given.producer_epoch),
                (ErrorCode::NONE, 0)
            );
            assert!(given.producer_id > id && given.producer_id < 1 << 40);
        }
        for half in [init(None, id, -1), init(None, -1, 0)] {
            assert_eq!(
                client.ask(version, &half).await.error_code,
                ErrorCode::INVALID_REQUEST
            );
        }
    }
}

/// One of another cluster, or made up. It must not make others look as if they had been forgotten.
#[tokio::test]
async fn an_id_that_was_never_handed_out_is_refused_and_harms_nobody() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    for invented in [1_000_000_000, i64::MAX] {
        for sequence in [0, 7] {
            let refused = produce(&mut client, numbered(&["x"], invented, 0, sequence)).await;
            assert_eq!(refused, Err(ErrorCode::PRODUCER_FENCED));
        }
    }
    let id = new_producer(&mut client).await;
    let gap = produce(&mut client, numbered(&["gap"], id, 0, 5)).await;
    assert_eq!(gap, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    for again in 0..2 {
        let placed = produce(&mut client, numbered(&["a"], id, 0, 0)).await;
        assert_eq!(placed, Ok(0), "{again}");
    }
}

#[tokio::test]
async fn transactional_producers_are_told_for_good() {
    let (_broker, mut client) = start(&[]).await;
    for version in ApiKey::InitProducerId.versions() {
        let refused = client.ask(version, &init(Some("tx"), -1, -1)).await;
        let code = refused.error_code;
        assert_eq!(
            code,
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "clients report it at once"
        );
        assert_eq!(refused.producer_id, -1);
        let empty = client.ask(version, &init(Some(""), -1, -1)).await;
        assert_eq!(empty.error_code, ErrorCode::INVALID_REQUEST);
    }
}

#[tokio::test]
async fn each_of_the_last_five_is_recognized_and_the_sixth_is_out_of_order() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let id = new_producer(&mut client).await;
    // Batches of one, two, three ... records, so that sequences and offsets differ from batch numbers.
    let texts = ["a"; 8];
    let sequence = |index: i32| index * (index + 1) / 2;
    let batch = |index: i32| {
        let count = usize::try_from(index + 1).expect("small");
        numbered(&texts[..count], id, 0, sequence(index))
    };
    for index in 0..7 {
        assert_eq!(
            produce(&mut client, batch(index)).await,
            Ok(sequence(index).into())
        );
        for again in (index - 4).max(0)..=index {
            let repeated = produce(&mut client, batch(again)).await;
            assert_eq!(
                repeated,
                Ok(sequence(again).into()),
                "{again} after {index}"
            );
        }
        if index >= 5 {
            let forgotten = produce(&mut client, batch(index - 5)).await;
            assert_eq!(
                forgotten,
                Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER),
                "after {index}"
            );
        }
    }
    assert_eq!(
        client.fetch("t", 0, 0).await.high_watermark,
        28,
        "nothing came twice"
    );
}

#[tokio::test]
async fn a_gap_is_out_of_order_and_can_be_filled() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let id = new_producer(&mut client).await;
    let out_of_order = Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(
        produce(&mut client, numbered(&["a", "b"], id, 0, 0)).await,
        Ok(0)
    );
    for (values, sequence) in [
        (&["x"][..], 3),
        (&["x"], 1),
        (&["x"], 0),
        (&["x", "x", "x"], 0),
        (&["x"], i32::MAX),
    ] {
        let refused = produce(&mut client, numbered(values, id, 0, sequence)).await;
        assert_eq!(refused, out_of_order, "{values:?} at {sequence}");
    }
    assert_eq!(
        produce(&mut client, numbered(&["c"], id, 0, 2)).await,
        Ok(2)
    );
    assert_eq!(
        produce(&mut client, numbered(&["d"], id, 0, 3)).await,
        Ok(3)
    );
    assert_eq!(
        values(&client.fetch("t", 0, 0).await.records),
        ["a", "b", "c", "d"]
    );
}

#[tokio::test]
async fn a_producer_made_after_the_topic_begins_at_zero() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    // Not the first id of all, 0, which also stands for "nobody was ever forgotten".
    new_producer(&mut client).await;
    let id = new_producer(&mut client).await;
    // Its second batch overtook its first: taking it would lose the first (redpanda's PR 28826).
    let refused = produce(&mut client, numbered(&["second"], id, 0, 1)).await;
    assert_eq!(refused, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(
        produce(&mut client, numbered(&["first"], id, 0, 0)).await,
        Ok(0)
    );
    assert_eq!(
        produce(&mut client, numbered(&["second"], id, 0, 1)).await,
        Ok(1)
    );
}

#[tokio::test]
async fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let id = new_producer(&mut client).await;
    assert_eq!(
        produce(&mut client, numbered(&["a"], id, 0, 0)).await,
        Ok(0)
    );
    let next = client.ask(4, &init(None, id, 0)).await;
    assert_eq!((next.producer_id, next.producer_epoch), (id, 1));
    let refused = produce(&mut client, numbered(&["b"], id, 1, 1)).await;
    assert_eq!(refused, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(
        produce(&mut client, numbered(&["b"], id, 1, 0)).await,
        Ok(1)
    );
    for (values, sequence) in [(["a"], 0), (["b"], 1)] {
        let fenced = produce(&mut client, numbered(&values, id, 0, sequence)).await;
        assert_eq!(fenced, Err(ErrorCode::INVALID_PRODUCER_EPOCH), "{sequence}");
    }
    assert_eq!(
        produce(&mut client, numbered(&["b"], id, 1, 0)).await,
        Ok(1),
        "the first of its epoch, again"
    );
    assert_eq!(
        produce(&mut client, numbered(&["c"], id, 1, 1)).await,
        Ok(2)
    );
    assert_eq!(
        values(&client.fetch("t", 0, 0).await.records),
        ["a", "b", "c"]
    );
}

#[tokio::test]
async fn sequences_wrap_after_the_largest() {
    let (_broker, mut client) = start(&[]).await;
    // Older than the topic, so that it may have been forgotten there: it may begin anywhere.
    let (id, other) = (
        new_producer(&mut client).await,
        new_producer(&mut client).await,
    );
    client.create_topic("t", 1, &[]).await;
    let begin = i32::MAX - 1;
    for (values, sequence, offset) in [(&["a", "b"][..], begin, 0), (&["c"], 0, 2), (&["d"], 1, 3)]
    {
        for _ in 0..2 {
            assert_eq!(
                produce(&mut client, numbered(values, id, 0, sequence)).await,
                Ok(offset),
                "{values:?}"
            );
        }
    }
    // Across the end in the middle of a batch.
    for (values, sequence, offset) in [(&["e", "f", "g"][..], i32::MAX, 4), (&["h"], 2, 7)] {
        for _ in 0..2 {
            assert_eq!(
                produce(&mut client, numbered(values, other, 0, sequence)).await,
                Ok(offset),
                "{values:?}"
            );
        }
    }
    assert_eq!(client.fetch("t", 0, 0).await.high_watermark, 8);
}

#[tokio::test]
async fn producers_do_not_disturb_each_other() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 2, &[]).await;
    let (a, b) = (
        new_producer(&mut client).await,
        new_producer(&mut client).await,
    );
    for round in 0..20 {
        let offset = i64::from(round) * 3;
        assert_eq!(
            produce(&mut client, numbered(&["a"], a, 0, round)).await,
            Ok(offset)
        );
        assert_eq!(
            produce(&mut client, numbered(&["b"], b, 0, round)).await,
            Ok(offset + 1)
        );
        assert_eq!(
            produce(&mut client, batch(&["nobody"])).await,
            Ok(offset + 2)
        );
        assert_eq!(
            produce(&mut client, numbered(&["a"], a, 0, round)).await,
            Ok(offset)
        );
        // Each partition has sequences of its own.
        let other = client.produce("t", 1, numbered(&["a"], a, 0, round)).await;
        assert_eq!(fate(&other), Ok(i64::from(round)));
    }
    assert_eq!(client.fetch("t", 0, 0).await.high_watermark, 60);
}

async fn answer(client: &mut Client) -> Result<i64, ErrorCode> {
    let frame = client.receive_frame().await.expect("an answer");
    let (_, response) =
        protocol::decode_response::<ProduceRequest>(9, frame).expect("a Produce response");
    fate(&response.responses[0].partition_responses[0])
}

#[tokio::test]
async fn a_repetition_inside_the_same_segment_is_recognized() {
    let (broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let id = new_producer(&mut client).await;
    for round in 0..20 {
        let sent = numbered(&["a", "b"], id, 0, round * 2);
        let twice = frame(9, 1, &produce_request("t", 0, -1, sent)).repeat(2);
        client.send_raw(&twice).await;
        let offset = Ok(i64::from(round) * 2);
        assert_eq!(
            (answer(&mut client).await, answer(&mut client).await),
            (offset, offset)
        );
    }
    // In one request, and through two connections at once.
    let sent = numbered(&["a", "b"], id, 0, 40);
    let both = of_topic("t", [(0, sent.clone()), (0, sent.clone())]);
    let response = client.ask(9, &produce_topics(-1, vec![both])).await;
    let fates: Vec<_> = response.responses[0]
        .partition_responses
        .iter()
        .map(fate)
        .collect();
    assert_eq!(fates, [Ok(40), Ok(40)]);
    let mut other = Client::connect(broker.listen).await;
    let sent = numbered(&["a", "b"], id, 0, 42);
    let fates = tokio::join!(
        produce(&mut client, sent.clone()),
        produce(&mut other, sent)
    );
    assert_eq!(fates, (Ok(42), Ok(42)));
    assert_eq!(client.fetch("t", 0, 0).await.high_watermark, 44);
}

#[tokio::test]
async fn five_requests_in_flight_keep_their_order_and_a_refused_one_holds_back_those_after_it() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let id = new_producer(&mut client).await;
    let in_flight = |sequences: &[i32]| -> Vec<u8> {
        let requests = sequences
            .iter()
            .map(|sequence| produce_request("t", 0, -1, numbered(&["a"], id, 0, *sequence)));
        requests.flat_map(|request| frame(9, 1, &request)).collect()
    };
    client.send_raw(&in_flight(&[0, 1, 2, 3, 4])).await;
    for offset in 0..5 {
        assert_eq!(answer(&mut client).await, Ok(offset));
    }
    // The sixth was lost on its way.
    client.send_raw(&in_flight(&[6, 7, 8, 9])).await;
    for _ in 0..4 {
        assert_eq!(
            answer(&mut client).await,
            Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
        );
    }
    client.send_raw(&in_flight(&[5, 6, 7, 8, 9])).await;
    for offset in 5..10 {
        assert_eq!(answer(&mut client).await, Ok(offset));
    }
}

/// The broker that is to come after another one over the same folder.
async fn after(first: Broker, data: &Path, clean: bool) -> (Broker, Client) {
    if clean {
        assert!(first.terminate().await.success());
    } else {
        first.kill().await;
    }
    let broker = Broker::in_folder(data, &[]).await;
    let client = Client::connect(broker.listen).await;
    (broker, client)
}

#[tokio::test]
async fn repetitions_are_recognized_after_a_restart() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    client.create_topic("t", 1, &[]).await;
    let id = new_producer(&mut client).await;
    let mut next = 0;
    for clean in [true, false, true] {
        for _ in 0..6 {
            assert_eq!(
                produce(&mut client, numbered(&["a"], id, 0, next)).await,
                Ok(next.into())
            );
            next += 1;
        }
        (broker, client) = after(broker, data.path(), clean).await;
        for again in next - 5..next {
            assert_eq!(
                produce(&mut client, numbered(&["a"], id, 0, again)).await,
                Ok(again.into())
            );
        }
        for out_of_order in [next - 6, next + 1] {
            let refused = produce(&mut client, numbered(&["a"], id, 0, out_of_order)).await;
            assert_eq!(refused, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        }
        assert!(
            new_producer(&mut client).await > id,
            "ids are not given again"
        );
    }
    assert_eq!(client.fetch("t", 0, 0).await.high_watermark, next.into());
    drop(broker);
}
