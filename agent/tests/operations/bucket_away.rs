//! A bucket that takes nothing for a while: who watches the agent is told, and told again when it is over, also when nobody
//! sends anything.

use std::path::Path;
use std::time::Duration;

use protocol::ErrorCode;
use protocol::records::BatchOptions;
use tokio::time::{Instant, sleep};

use super::processes::Process;
use super::tools::{until, values};
use crate::support::broker::Broker;
use crate::support::client::{Client, batch_with};

/// A bucket that is a folder, out of the way while a file has its place.
pub(super) fn put_away(bucket: &Path, away: &Path) {
    std::fs::rename(bucket, away).unwrap();
    std::fs::write(bucket, "no folder").unwrap();
}

pub(super) fn bring_back(bucket: &Path, away: &Path) {
    std::fs::remove_file(bucket).unwrap();
    std::fs::rename(away, bucket).unwrap();
}

#[tokio::test]
async fn readiness_follows_the_bucket_with_and_without_traffic() {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let batch = |text| batch_with(&[text], BatchOptions::default());
    let stored = client.produce("t", 0, batch("before")).await;
    assert_eq!(stored.error_code, ErrorCode::NONE);
    let (bucket, away) = (data.path().join("bucket"), data.path().join("away"));
    put_away(&bucket, &away);
    let ready = async || broker.page("/health/ready").await;
    assert_eq!(ready().await.0, 200, "nobody can know yet");

    let meanwhile = async {
        until("an agent that is not ready", async || {
            let (status, said) = ready().await;
            status == 503 && said.starts_with("the bucket cannot be written: ")
        })
        .await;
        assert_eq!(broker.page("/health/live").await.0, 200);
        // What is known can be read.
        let mut reader = Client::connect(broker.listen).await;
        assert_eq!(values(&mut reader, "t", 0).await, ["before"]);
    };
    let (refused, ()) = tokio::join!(client.produce("t", 0, batch("lost")), meanwhile);
    assert!(refused.error_code.is_retriable(), "{refused:?}");

    // Nobody sends anything, and it stays so.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(ready().await.0, 503);
    bring_back(&bucket, &away);
    until("an agent that is ready again", async || {
        ready().await.0 == 200
    })
    .await;
    let stored = client.produce("t", 0, batch("after")).await;
    assert_eq!(stored.error_code, ErrorCode::NONE);
    assert_eq!(values(&mut client, "t", 0).await, ["before", "after"]);
}

/// Producers are told after 20 s, and whoever reads the log is long before.
#[tokio::test]
async fn the_log_says_within_seconds_that_the_bucket_is_away_and_that_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let bucket = format!("file://{}", path("bucket").display());
    let flags = ["--bucket", &bucket, "--store", "memory:"];
    let agent = Process::start_logging("agent", "info", Some(path("log")), &flags).await;
    agent.until_ready("200").await;
    let mut client = Client::connect(agent.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    put_away(&path("bucket"), &path("away"));
    let batch = |text| batch_with(&[text], BatchOptions::default());
    let says = async |part: &str| {
        until(part, async || {
            let log = std::fs::read_to_string(path("log")).unwrap_or_default();
            log.contains(part)
        })
        .await;
    };
    let began = Instant::now();
    let meanwhile = async {
        says("the bucket cannot be written").await;
        assert!(began.elapsed() < Duration::from_secs(12), "{began:?}");
        bring_back(&path("bucket"), &path("away"));
        says("the bucket can be written again").await;
    };
    let (placed, ()) = tokio::join!(client.produce("t", 0, batch("a")), meanwhile);
    assert_eq!(placed.error_code, ErrorCode::NONE);
    agent.terminate().await;
}
