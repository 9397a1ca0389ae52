//! A metadata store that went back in time, as a file put back or a database restored, and the deliberate way on.

use protocol::ErrorCode;
use protocol::messages::OffsetForLeaderEpochRequest;
use protocol::messages::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};

use super::tools::{Ran, run, until, values};
use crate::support::broker::{Broker, penstock};
use crate::support::client::{Client, batch};

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
    assert_eq!(epoch_end(&mut client, 1, 0).await, (ErrorCode::NONE, 1));
    assert_eq!(epoch_end(&mut client, 1, 1).await, (ErrorCode::NONE, 2));
    assert!(broker.terminate().await.success());
    said(
        &[&["release-hold"], &of_both[..]].concat(),
        &["may be deleted again"],
    )
    .await;
    said(&[&["finalize"], &of_both[..]].concat(), &["feature level"]).await;
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
