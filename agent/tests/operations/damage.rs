//! Objects whose bytes are no longer those that were committed: swapped, mixed up, restored from elsewhere, cut. Readers are
//! told of damage, and never get another partition's records.

use std::path::{Path, PathBuf};

use penstock::storage::segment::{Footer, ReceiptOutcome, decode_footer};
use protocol::ErrorCode;

use super::tools::{contents, values};
use crate::support::broker::Broker;
use crate::support::client::{Client, batch, produce_request};

/// A broker's data folder with a topic of two partitions, a record in each, each in a segment of its own, oldest first.
async fn two_segments() -> (tempfile::TempDir, [PathBuf; 2]) {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 2, &[]).await, ErrorCode::NONE);
    let mut segments = Vec::new();
    for (partition, value) in [(0, "of the first"), (1, "of another")] {
        // As long as each other, so that positions and lengths fit.
        let value = format!("{value:>20}");
        let placed = client.produce("t", partition, batch(&[&value])).await;
        assert_eq!(placed.error_code, ErrorCode::NONE);
        segments.extend(
            all_segments(data.path())
                .into_iter()
                .find(|path| !segments.contains(path)),
        );
    }
    assert!(broker.terminate().await.success());
    let segments = segments.try_into().expect("two");
    (data, segments)
}

fn all_segments(data: &Path) -> Vec<PathBuf> {
    let all = contents(&data.join("bucket").join("segments")).into_iter();
    all.filter(|(_, bytes)| bytes.is_some())
        .map(|(path, _)| path)
        .collect()
}

fn footer(segment: &[u8]) -> Footer {
    decode_footer(segment).expect("it is a segment")
}

/// What readers of both partitions are told, by an agent that has nothing in memory; and how often damage was counted.
async fn told(data: &Path) -> ([ErrorCode; 2], f64) {
    let broker = Broker::in_folder(data, &["--log", "off"]).await;
    let mut client = Client::connect(broker.listen).await;
    let mut codes = [ErrorCode::NONE; 2];
    for (partition, code) in (0..).zip(&mut codes) {
        let data = client.fetch("t", partition, 0).await;
        *code = data.error_code;
        let bytes = data.records.map_or(0, |records| records.0.concat().len());
        assert_eq!(bytes > 0, *code == ErrorCode::NONE);
    }
    let counted = broker.metric("penstock_damage_total", &[]).await;
    assert!(broker.terminate().await.success());
    (codes, counted)
}

const DAMAGE: ErrorCode = ErrorCode::KAFKA_STORAGE_ERROR;

#[tokio::test]
async fn objects_that_were_swapped_serve_nobody() {
    let (data, [first, second]) = two_segments().await;
    assert_eq!(told(data.path()).await, ([ErrorCode::NONE; 2], 0.0));
    let aside = data.path().join("aside");
    std::fs::rename(&first, &aside).unwrap();
    std::fs::rename(&second, &first).unwrap();
    std::fs::rename(&aside, &second).unwrap();
    let (codes, counted) = told(data.path()).await;
    assert_eq!(codes, [DAMAGE; 2]);
    assert!(counted >= 2.0, "{counted}");
}

#[tokio::test]
async fn an_object_restored_from_another_or_cut_serves_nobody() {
    let (data, [first, second]) = two_segments().await;
    let whole = std::fs::read(&second).unwrap();
    std::fs::copy(&first, &second).unwrap();
    let (codes, counted) = told(data.path()).await;
    assert_eq!(codes, [ErrorCode::NONE, DAMAGE]);
    assert!(counted >= 1.0, "{counted}");
    for length in [0, 20] {
        std::fs::write(&second, &whole[..length]).unwrap();
        assert_eq!(told(data.path()).await.0, [ErrorCode::NONE, DAMAGE]);
    }
    std::fs::remove_file(&second).unwrap();
    let (codes, counted) = told(data.path()).await;
    assert_eq!(codes, [ErrorCode::NONE, DAMAGE]);
    assert!(counted >= 1.0, "{counted}");
    std::fs::write(&second, &whole).unwrap();
    assert_eq!(told(data.path()).await, ([ErrorCode::NONE; 2], 0.0));
}

/// Two blocks of one object change places, checksums included.
#[tokio::test]
async fn blocks_that_were_swapped_inside_an_object_serve_nobody() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 2, &[]).await, ErrorCode::NONE);
    // What one request brings goes into one segment.
    let mut both = produce_request("t", 0, -1, batch(&["of the first"]));
    let other = produce_request("t", 1, -1, batch(&["of the other"]));
    let other = other.topic_data.into_iter().next().unwrap();
    both.topic_data[0]
        .partition_data
        .extend(other.partition_data);
    let placed = client.ask(9, &both).await;
    for placed in &placed.responses[0].partition_responses {
        assert_eq!(placed.error_code, ErrorCode::NONE);
    }
    assert!(broker.terminate().await.success());
    let segment = all_segments(data.path()).remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    let blocks = footer(&bytes).blocks;
    let place = |index: usize| {
        let range = blocks[index].range;
        range.position as usize..(range.position + range.stored_length) as usize
    };
    let (a, b) = (bytes[place(0)].to_vec(), bytes[place(1)].to_vec());
    assert_eq!(a.len(), b.len());
    bytes[place(0)].copy_from_slice(&b);
    bytes[place(1)].copy_from_slice(&a);
    std::fs::write(&segment, bytes).unwrap();
    let (codes, counted) = told(data.path()).await;
    assert_eq!(codes, [DAMAGE; 2]);
    assert!(counted >= 2.0, "{counted}");
}

/// A segment carries what became of its agent's earlier ones.
#[tokio::test]
async fn a_later_segment_says_what_became_of_an_earlier_one() {
    let (data, [first, second]) = two_segments().await;
    let read = |path: &Path| footer(&std::fs::read(path).unwrap());
    assert!(read(&first).receipts.is_empty());
    let receipts = read(&second).receipts;
    assert_eq!(receipts.len(), 1);
    let name = first.file_name().unwrap().to_str().unwrap();
    assert_eq!(receipts[0].object.to_string(), name);
    let begins = metadata::Offset(0);
    assert_eq!(receipts[0].outcomes, [ReceiptOutcome::Placed(begins)]);
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(values(&mut client, "t", 0).await, ["        of the first"]);
    assert!(broker.terminate().await.success());
}
