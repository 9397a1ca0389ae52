//! A store that lost a row of a partition's index.

use metadata::kv::{Direction, Kv, Redb, Transaction};
use protocol::ErrorCode;

use crate::support::broker::Broker;
use crate::support::client::{Client, batch, list_offsets_request};

const RECORDS: i64 = 1_000;

/// Readers in the hole are told of damage; nobody steps over it, and what lies behind it can be read.
#[tokio::test]
async fn a_lost_row_of_the_index_is_damage_and_never_silence() {
    let folder = tempfile::tempdir().unwrap();
    let fast = ["--preset", "fast"];
    let broker = Broker::in_folder(folder.path(), &fast).await;
    let mut client = Client::connect(broker.listen).await;
    client.create_topic("t", 1, &[]).await;
    for _ in 0..RECORDS {
        client.produce("t", 0, batch(&["v"])).await;
    }
    assert!(broker.terminate().await.success());

    lose_an_index_row(&folder.path().join("metadata.redb")).await;

    let broker = Broker::in_folder(folder.path(), &fast).await;
    let mut client = Client::connect(broker.listen).await;
    for _ in 0..2 {
        let fetched = client.fetch("t", 0, 0).await;
        assert_eq!(fetched.error_code, ErrorCode::KAFKA_STORAGE_ERROR);
        assert!(fetched.records.is_none_or(|records| records.is_empty()));
    }
    assert_eq!(
        by_time(&mut client, "t", 0).await,
        ErrorCode::KAFKA_STORAGE_ERROR
    );
    assert!(broker.metric("penstock_damage_total", &[]).await >= 3.0);
    let fetched = client.fetch("t", 0, RECORDS - 1).await;
    assert_eq!(fetched.error_code, ErrorCode::NONE);
    assert!(fetched.records.is_some_and(|records| !records.is_empty()));
    // It still takes records, and accounts for them.
    let placed = client.produce("t", 0, batch(&["v"])).await;
    assert_eq!(placed.base_offset, RECORDS);
}

/// How a search for the first record at or after a time ends.
pub(crate) async fn by_time(client: &mut Client, topic: &str, timestamp: i64) -> ErrorCode {
    let request = list_offsets_request(topic, &[(0, timestamp)]);
    let answer = client.ask(7, &request).await;
    answer.topics[0].partitions[0].error_code
}

/// The first of several.
async fn lose_an_index_row(file: &std::path::Path) {
    let store = Redb::open(file).unwrap();
    let rows = store.range(b"\0x", b"\0y", 100, Direction::Forward).await;
    let rows = rows.unwrap();
    assert!(rows.len() > 1, "{} rows", rows.len());
    let mut transaction = Transaction::default();
    transaction.clear(rows[0].0.clone());
    store.commit(transaction).await.unwrap();
}
