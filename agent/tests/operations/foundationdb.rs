//! A whole broker whose metadata is in FoundationDB: the look-alike of its client library, which fails on demand and
//! aborts a process that does not stop its network; or the cluster that `PENSTOCK_FDB_CLUSTER_FILE` names.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::ErrorCode;
use tokio::time::{Instant, sleep};

use super::tools::run;
use crate::support::broker::{Broker, PATIENCE, penstock};
use crate::support::client::{Client, batch};

/// Between attempts of a client that is told to try again.
const PAUSE: Duration = Duration::from_millis(20);

/// The real cluster's file, or one that leads to the look-alike.
fn cluster_file(folder: &Path) -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no flags, and the real cluster is named by whoever runs them"
    )]
    let real = std::env::var("PENSTOCK_FDB_CLUSTER_FILE");
    real.map_or_else(
        |_| {
            let file = folder.join("fdb.cluster");
            std::fs::write(&file, "look:alike@127.0.0.1:4500\n").unwrap();
            file
        },
        PathBuf::from,
    )
}

fn store(folder: &Path) -> String {
    let prefix = format!("penstock-test-{:016x}", rand::random::<u64>());
    format!("fdb://{}?prefix={prefix}", cluster_file(folder).display())
}

#[tokio::test]
async fn what_was_produced_is_fetched_whatever_the_cluster_does() {
    let folder = tempfile::tempdir().unwrap();
    // It starts in peace: a broker that cannot reach its metadata then says so and ends.
    let peace = format!("{}{}", "commit none;".repeat(6), "read none;".repeat(40));
    for faults in [String::new(), format!("{peace}random 7 150")] {
        let mut command = penstock(["dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command
            .args(["--bucket", "memory:", "--store", &store(folder.path())])
            .args(["--log", "error"])
            .env("FDB_LOOK_ALIKE_FAULTS", &faults);
        let broker = Broker::start(&mut command).await;
        let mut client = Client::connect(broker.listen).await;
        // Whoever is told to try again does, after a while.
        let made = [ErrorCode::NONE, ErrorCode::TOPIC_ALREADY_EXISTS];
        while !made.contains(&client.create_topic("t", 1, &[]).await) {
            sleep(PAUSE).await;
        }
        let mut offset = 0;
        let began = Instant::now();
        while offset < 60 {
            let placed = client.produce("t", 0, batch(&["a", "b"])).await;
            if placed.error_code == ErrorCode::NONE {
                // What was refused may have happened all the same.
                assert!(placed.base_offset >= offset, "{placed:?}");
                offset = placed.base_offset + 2;
            } else {
                assert!(began.elapsed() < PATIENCE, "{placed:?}");
                sleep(PAUSE).await;
            }
        }
        let mut fetched = client.fetch("t", 0, 0).await;
        while fetched.error_code != ErrorCode::NONE {
            assert!(began.elapsed() < PATIENCE, "{fetched:?}");
            sleep(PAUSE).await;
            fetched = client.fetch("t", 0, 0).await;
        }
        assert!(fetched.high_watermark >= 60, "{fetched:?}");
        // Also says that the client's network was stopped.
        assert!(broker.terminate().await.success(), "{faults}");
    }
}

#[tokio::test]
async fn doctor_looks_at_the_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let well = store(folder.path());
    let ran = run(penstock(["doctor", "--bucket", "memory:"]).args(["--store", &well])).await;
    assert!(ran.status.success(), "{ran:?}");
    assert!(ran.stdout.contains("can be read."), "{ran:?}");
    let lost = format!("fdb://{}/nowhere", folder.path().display());
    let ran = run(penstock(["doctor", "--bucket", "memory:"]).args(["--store", &lost])).await;
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(ran.stdout.contains("check the cluster file"), "{ran:?}");
}
