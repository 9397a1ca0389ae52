//! A metadata store that went back in time, as a file put back or a database restored, and the deliberate way on.

use protocol::ErrorCode;
use protocol::messages::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use protocol::messages::{InitProducerIdRequest, OffsetForLeaderEpochRequest};
use protocol::records::BatchOptions;

use super::processes::Process;
use super::tools::{Ran, run, until, values};
use crate::support::broker::{Broker, penstock};
use crate::support::client::{Client, batch, batch_with};

const WENT_BACK: &[&str] = &["went back in time", "--accept-older-store"];

async fn say(more: &[&str]) -> Ran {
    run(penstock(["metadata", "--log", "off"]).args(more)).await
}

async fn said(more: &[&str], parts: &[&str]) {
    let ran = say(more).await;
    assert!(ran.status.success(), "{ran:?}");
    for part in parts {
        assert!(ran.stdout.contains(part), "no {part:?} in {ran:?}");
    }
}

/// The end offset of that leader epoch, as a consumer asks that knows the present one.
async fn epoch_end(client: &mut Client, current: i32, asked: i32) -> (ErrorCode, i64) {
    let request = OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: "t".to_owned(),
            partitions: vec![OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: current,
                leader_epoch: asked,
            }],
        }],
        ..OffsetForLeaderEpochRequest::default()
    };
    let answer = client.ask(4, &request).await;
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.end_offset)
}

/// A batch of a producer of epoch 0; where it lies.
async fn numbered(client: &mut Client, producer_id: i64, base_sequence: i32, value: &str) -> i64 {
    let options = BatchOptions {
        producer_id,
        producer_epoch: 0,
        base_sequence,
        ..BatchOptions::default()
    };
    let placed = client.produce("t", 0, batch_with(&[value], options)).await;
    assert_eq!(placed.error_code, ErrorCode::NONE, "{value}");
    placed.base_offset
}

async fn new_producer(client: &mut Client) -> i64 {
    let request = InitProducerIdRequest {
        producer_id: -1,
        producer_epoch: -1,
        transaction_timeout_ms: 60_000,
        transactional_id: None,
    };
    let given = client.ask(4, &request).await;
    assert_eq!(given.error_code, ErrorCode::NONE);
    given.producer_id
}

async fn produce(broker: &Broker, records: &[&str]) {
    let mut client = Client::connect(broker.listen).await;
    for record in records {
        let placed = client.produce("t", 0, batch(&[record])).await;
        assert_eq!(placed.error_code, ErrorCode::NONE);
    }
}

#[tokio::test]
async fn an_old_file_is_refused_until_an_operator_accepts_it() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("metadata.redb");
    let (older, store) = (
        data.path().join("older"),
        format!("redb://{}", file.display()),
    );
    let bucket = format!("file://{}", data.path().join("bucket").display());
    let of_both = ["--store", &store, "--bucket", &bucket];
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    produce(&broker, &["kept"]).await;
    // Nobody may have it who does not hold it.
    let used = say(&[&["finalize"], &of_both[..]].concat()).await;
    used.refused(&["open in another process"]);
    assert!(broker.terminate().await.success());
    std::fs::copy(&file, &older).unwrap();
    let broker = Broker::in_folder(data.path(), &[]).await;
    produce(&broker, &["lost", "lost, too"]).await;
    assert!(broker.terminate().await.success());
    std::fs::copy(&older, &file).unwrap();
    say(&[&["finalize"], &of_both[..]].concat())
        .await
        .refused(WENT_BACK);
    let dev = [
        "dev",
        "--log",
        "off",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--data",
    ];
    run(penstock(dev).arg(data.path())).await.refused(WENT_BACK);
    let accept = [&["--accept-older-store"], &of_both[..]].concat();
    said(
        &accept,
        &[
            "Lost is what followed log position",
            "the bucket remembers position",
            "release-hold",
        ],
    )
    .await;
    said(&accept, &["nothing to accept"]).await;
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(values(&mut client, "t", 0).await, ["kept"]);
    produce(&broker, &["new"]).await;
    assert_eq!(values(&mut client, "t", 0).await, ["kept", "new"]);
    // A consumer that was past the end finds out.
    assert_eq!(
        epoch_end(&mut client, 0, 0).await.0,
        ErrorCode::FENCED_LEADER_EPOCH
    );
    // Its number is larger than any that the lost part may have had.
    let mut epoch = 2;
    while epoch_end(&mut client, epoch, 0).await.0 == ErrorCode::FENCED_LEADER_EPOCH {
        epoch += 1;
    }
    assert_eq!(epoch_end(&mut client, epoch, 0).await, (ErrorCode::NONE, 1));
    assert_eq!(
        epoch_end(&mut client, epoch, epoch).await,
        (ErrorCode::NONE, 2)
    );
    assert!(broker.terminate().await.success());
    let metadata = Process::start("metadata", &of_both).await;
    metadata.until_ready("200").await;
    let there = metadata.listen.to_string();
    let release = ["release-hold", "--metadata", &there];
    said(&release, &["The hold is released", "may be deleted again"]).await;
    said(&release, &["There is no hold:", "Nothing was changed"]).await;
    metadata.terminate().await;
    said(&[&["finalize"], &of_both[..]].concat(), &["feature level"]).await;
}

/// One that the older store knows, but not its last batches, and one that it never heard of.
#[tokio::test]
async fn producers_that_are_alive_go_on_over_an_older_store() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("metadata.redb");
    let older = data.path().join("older");
    let store = format!("redb://{}", file.display());
    let bucket = format!("file://{}", data.path().join("bucket").display());
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let known = new_producer(&mut client).await;
    assert_eq!(numbered(&mut client, known, 0, "a").await, 0);
    assert_eq!(numbered(&mut client, known, 1, "b").await, 1);
    assert!(broker.terminate().await.success());
    std::fs::copy(&file, &older).unwrap();
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    let unknown = new_producer(&mut client).await;
    for sequence in [2, 3] {
        let offset = i64::from(sequence);
        assert_eq!(numbered(&mut client, known, sequence, "lost").await, offset);
    }
    assert_eq!(numbered(&mut client, unknown, 0, "lost, too").await, 4);
    assert!(broker.terminate().await.success());
    std::fs::copy(&older, &file).unwrap();
    let of_both = ["--store", &store, "--bucket", &bucket];
    let ran = run(penstock(["doctor"]).args(of_both)).await;
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(ran.stdout.contains("WRONG"), "{ran:?}");
    // What to type, to the letter.
    let command = format!("{} {}", WENT_BACK[1], of_both.join(" "));
    for part in [WENT_BACK[0], command.as_str()] {
        assert!(ran.stdout.contains(part), "no {part:?} in {ran:?}");
    }
    let accept = [&["--accept-older-store"], &of_both[..]].concat();
    said(&accept, &["Lost is what followed"]).await;
    let ran = run(penstock(["doctor"]).args(of_both)).await;
    assert!(ran.status.success(), "{ran:?}");
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    for (producer, sequence, value, offset) in [
        (known, 1, "b", 1),
        (known, 4, "c", 2),
        (known, 5, "d", 3),
        (unknown, 1, "e", 4),
    ] {
        for _ in 0..2 {
            let placed = numbered(&mut client, producer, sequence, value).await;
            assert_eq!(placed, offset, "{value}");
        }
    }
    let all = values(&mut client, "t", 0).await;
    assert_eq!(all, ["a", "b", "c", "d", "e"]);
}

/// The bucket's memory is older than what an agent was told, and only the agent knows that the store went back.
#[tokio::test]
async fn what_only_an_agent_knows_is_left_to_the_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (file, older) = (path("m.redb"), path("older"));
    let bucket = format!("file://{}", path("bucket").display());
    let store = format!("redb://{}", file.display());
    let of_both = ["--store", &store, "--bucket", &bucket];
    let mut metadata = Process::start("metadata", &of_both).await;
    let at = metadata.listen.to_string();
    let flags = ["--bucket", &bucket, "--metadata", &at];
    let mut agent = Process::start("agent", &flags).await;
    agent.until_ready("200").await;
    let mut client = Client::connect(agent.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let placed = client.produce("t", 0, batch(&["kept"])).await;
    assert_eq!(placed.error_code, ErrorCode::NONE);
    metadata.stop().await;
    std::fs::copy(&file, &older).unwrap();
    metadata.restart();
    metadata.until_ready("200").await;
    agent.until_ready("200").await;
    let placed = client.produce("t", 0, batch(&["lost"])).await;
    assert_eq!(placed.error_code, ErrorCode::NONE);
    metadata.kill().await;
    std::fs::copy(&older, &file).unwrap();
    metadata.restart();
    until("the agent stops", async || !agent.runs()).await;
    // Who starts again before that finds nobody to serve it.
    until("the holder stops", async || !metadata.runs()).await;
    let accept = [&["--accept-older-store"], &of_both[..]].concat();
    said(&accept, &["Lost is what followed", "the bucket remembers"]).await;
    metadata.restart();
    agent.restart();
    agent.until_ready("200").await;
    let mut client = Client::connect(agent.listen).await;
    assert_eq!(values(&mut client, "t", 0).await, ["kept"]);
    assert_eq!(epoch_end(&mut client, -1, 0).await, (ErrorCode::NONE, 1));
    agent.stop().await;
    metadata.stop().await;
}

/// Without its bucket nobody knows whether there is anything to accept, and it could not be undone.
#[tokio::test]
async fn an_older_store_is_accepted_beside_its_bucket_alone() {
    let data = tempfile::tempdir().unwrap();
    let store = format!("redb://{}", data.path().join("metadata.redb").display());
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    produce(&broker, &["kept"]).await;
    // What it has of that bucket may lie in its log alone.
    broker.kill().await;
    let accept = ["--accept-older-store", "--store", &store];
    let parts = ["keeps its records in a bucket", "give --bucket URL", &store];
    say(&accept).await.refused(&parts);
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(values(&mut client, "t", 0).await, ["kept"]);
    assert_eq!(epoch_end(&mut client, 0, 0).await, (ErrorCode::NONE, 1));
}

/// Whoever says such a word means a store that is there, and mistyped it.
#[tokio::test]
async fn what_is_said_to_a_store_that_is_not_there_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("redb://{}", folder.path().join("mistyped.redb").display());
    for word in ["finalize", "release-hold", "--accept-older-store"] {
        for store in [store.as_str(), "memory:"] {
            let ran = say(&[word, "--store", store]).await;
            ran.refused(&["there is no metadata in", store, "correct --store"]);
        }
    }
    assert!(super::tools::contents(folder.path()).is_empty());
}

/// As a fail-over to a standby that lagged, under a process that holds the order.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_database_that_went_back_stops_whoever_serves_from_it() {
    use super::database::{DATABASE, Server};

    let Some(server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let store = server.url("");
    let dev = || {
        let mut command = penstock(["dev", "--log", "off", "--listen", "127.0.0.1:0"]);
        command
            .args(["--http", "127.0.0.1:0", "--data"])
            .arg(folder.path());
        command.args(["--store", &store]);
        command
    };
    let broker = Broker::start(&mut dev()).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    produce(&broker, &["kept"]).await;
    server.sql(
        DATABASE,
        "CREATE TABLE older AS SELECT * FROM penstock.rows",
    );
    produce(&broker, &["lost", "lost, too"]).await;
    let put_back =
        "BEGIN; DELETE FROM penstock.rows; INSERT INTO penstock.rows SELECT * FROM older; COMMIT";
    server.sql(DATABASE, put_back);
    assert_eq!(broker.ended().await.code(), Some(1), "it stops by itself");
    // It greets before it may serve: another process could hold the order.
    let ran = run(&mut dev()).await;
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    for part in WENT_BACK {
        assert!(ran.stderr.contains(part), "no {part:?} in {ran:?}");
    }
    let bucket = format!("file://{}", folder.path().join("bucket").display());
    let accept = [
        "--accept-older-store",
        "--store",
        &store,
        "--bucket",
        &bucket,
    ];
    said(&accept, &["Lost is what followed", "release-hold"]).await;
    let broker = Broker::start(&mut dev()).await;
    let mut client = Client::connect(broker.listen).await;
    until("it serves", async || {
        broker.page("/health/ready").await.0 == 200
    })
    .await;
    assert_eq!(values(&mut client, "t", 0).await, ["kept"]);
    produce(&broker, &["new"]).await;
    assert_eq!(values(&mut client, "t", 0).await, ["kept", "new"]);
    assert!(broker.terminate().await.success());
}
