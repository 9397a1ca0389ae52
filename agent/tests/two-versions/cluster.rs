//! Processes of both versions, and producers that go on meanwhile and forget nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use protocol::ErrorCode;
use tokio::task::JoinHandle;

use super::support::client::Client;
use super::support::processes::{Process, has_records, produce_while, producer_ids};
use super::support::tools::{note, until};

/// Records acknowledged between two troubles, for each producer.
const PROGRESS: i32 = 10;

/// Two idempotent producers, of a partition of topic `t` each, that begin at different agents.
pub(crate) struct Load {
    ends: Arc<AtomicBool>,
    acknowledged: [Arc<AtomicI32>; 2],
    producers: Vec<JoinHandle<(i32, Duration)>>,
}

impl Load {
    pub(crate) async fn start(agents: [SocketAddr; 2]) -> Self {
        let mut client = Client::connect(agents[0]).await;
        assert_eq!(client.create_topic("t", 2, &[]).await, ErrorCode::NONE);
        let ids = producer_ids(agents).await;
        let mut load = Self {
            ends: Arc::default(),
            acknowledged: Default::default(),
            producers: Vec::new(),
        };
        for partition in 0..2 {
            let acknowledged = Arc::clone(&load.acknowledged[partition]);
            let ends = Arc::clone(&load.ends);
            let goes_on = move |number| {
                acknowledged.store(number, Ordering::Relaxed);
                !ends.load(Ordering::Relaxed)
            };
            let agents = [agents[partition], agents[1 - partition]];
            let index = i32::try_from(partition).unwrap();
            let produced = produce_while(agents, ids[partition], index, goes_on);
            #[expect(clippy::disallowed_methods, reason = "the test owns its tasks")]
            load.producers.push(tokio::spawn(produced));
        }
        load
    }

    /// Both producers get on.
    pub(crate) async fn gets_on(&self) {
        for acknowledged in &self.acknowledged {
            let before = acknowledged.load(Ordering::Relaxed);
            until("records are acknowledged", async || {
                acknowledged.load(Ordering::Relaxed) >= before + PROGRESS
            })
            .await;
        }
    }

    /// What was acknowledged is there, once and in order, whichever agent is asked.
    pub(crate) async fn ends_well(self, agents: &[&Process]) {
        self.ends.store(true, Ordering::Relaxed);
        for (partition, producer) in (0..).zip(self.producers) {
            let (records, longest) = producer.await.unwrap();
            note(&format!(
                "partition {partition}: {records} records, longest wait for an ack {longest:?}"
            ));
            for agent in agents {
                has_records(agent, partition, records).await;
            }
        }
    }
}

/// A bucket in a folder.
pub(crate) fn bucket(folder: &Path) -> String {
    let bucket = folder.join("bucket");
    std::fs::create_dir(&bucket).unwrap();
    format!("file://{}", bucket.display())
}

/// An agent of that version, ready, with metadata at those addresses.
pub(crate) async fn agent(binary: &Path, bucket: &str, metadata: &str) -> Process {
    let more = ["--bucket", bucket, "--metadata", metadata];
    let agent = Process::of(binary, "agent", &more).await;
    agent.until_ready("200").await;
    agent
}

pub(crate) async fn holds(process: &Process) {
    until("it holds the order", async || process.holds_order().await).await;
}

/// In the way of an operator, or of a crash.
pub(crate) async fn end(process: &mut Process, crash: bool) {
    match crash {
        true => process.kill().await,
        false => process.stop().await,
    }
}
