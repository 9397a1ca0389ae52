//! A full disk under `--data`: producers hear that they may try again, nothing acknowledged is lost, and it goes on by
//! itself when there is room again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use protocol::ErrorCode;
use tokio::time::{Instant, sleep};

use super::tools::{Mount, noise, note, ready, run, until, values};
use crate::support::broker::{Broker, penstock};
use crate::support::client::{Client, batch};

const PRODUCERS: usize = 4;

/// A small file system that the test fills and empties.
struct Disk {
    mount: Mount,
    ballast: PathBuf,
}

impl Disk {
    fn new() -> Option<Self> {
        let mount = Mount::new("size=24m")?;
        let ballast = mount.path().join("ballast");
        Some(Self { mount, ballast })
    }

    fn data(&self) -> PathBuf {
        self.mount.path().join("data")
    }

    /// Leaves no byte.
    fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.ballast)
            .unwrap();
        for piece in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![1; piece]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(&self.ballast).unwrap();
    }
}

/// One client that produces records one by one, and remembers what was acknowledged where.
struct Producer {
    client: Client,
    partition: i32,
    acknowledged: Vec<(i64, String)>,
    refused: Vec<ErrorCode>,
    number: u64,
}

impl Producer {
    async fn new(broker: &Broker, partition: usize) -> Self {
        Self {
            client: Client::connect(broker.listen).await,
            partition: i32::try_from(partition).unwrap(),
            acknowledged: Vec::new(),
            refused: Vec::new(),
            number: 0,
        }
    }

    async fn produce(&mut self, bytes: usize) {
        let noise = noise(
            self.number * 64 + u64::from(self.partition.unsigned_abs()),
            bytes / 2,
        );
        let hex: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
        let value = format!("{}/{}/{hex}", self.partition, self.number);
        self.number += 1;
        let placed = self
            .client
            .produce("t", self.partition, batch(&[&value]))
            .await;
        match placed.error_code {
            ErrorCode::NONE => self.acknowledged.push((placed.base_offset, value)),
            code => self.refused.push(code),
        }
    }
}

async fn producers(broker: &Broker) -> Vec<Producer> {
    let mut client = Client::connect(broker.listen).await;
    let partitions = i32::try_from(PRODUCERS).unwrap();
    assert_eq!(
        client.create_topic("t", partitions, &[]).await,
        ErrorCode::NONE
    );
    join_all((0..PRODUCERS).map(|partition| Producer::new(broker, partition))).await
}

/// All of them at the same time, so that waiting for a time-out is done once.
async fn produce(producers: &mut [Producer], bytes: usize) {
    join_all(producers.iter_mut().map(|producer| producer.produce(bytes))).await;
}

fn refused(producers: &[Producer]) -> Vec<ErrorCode> {
    producers
        .iter()
        .flat_map(|producer| producer.refused.clone())
        .collect()
}

/// Everything acknowledged is where it was said to be, and in a partition nothing but what was sent.
async fn check(broker: &Broker, producers: &[Producer]) {
    let mut client = Client::connect(broker.listen).await;
    for producer in producers {
        let found = values(&mut client, "t", producer.partition).await;
        for (offset, value) in &producer.acknowledged {
            let at = usize::try_from(*offset).unwrap();
            assert!(
                found.get(at) == Some(value),
                "partition {} offset {offset}",
                producer.partition
            );
        }
        let mut unique = found.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), found.len(), "nothing is there twice");
    }
}

/// Space returns; it goes on by itself, and everything is there now and after a restart.
async fn recovers(
    disk: &Disk,
    data: &Path,
    mut broker: Broker,
    mut producers: Vec<Producer>,
    restart: &[&str],
) {
    disk.empty();
    ready(&broker).await;
    let acknowledged = |producers: &[Producer]| {
        producers
            .iter()
            .map(|p| p.acknowledged.len())
            .sum::<usize>()
    };
    let before = acknowledged(&producers);
    until("producing goes on", async || {
        produce(&mut producers, 1000).await;
        acknowledged(&producers) >= before + 5 * PRODUCERS
    })
    .await;
    assert!(broker.child.try_wait().unwrap().is_none(), "it never ended");
    check(&broker, &producers).await;
    broker.kill().await;
    let broker = Broker::in_folder(data, restart).await;
    check(&broker, &producers).await;
    produce(&mut producers_again(&broker).await, 1000).await;
    assert!(broker.terminate().await.success());
}

async fn producers_again(broker: &Broker) -> Vec<Producer> {
    join_all((0..PRODUCERS).map(|partition| Producer::new(broker, partition))).await
}

#[tokio::test]
async fn a_full_bucket_and_store_are_outlived() {
    let Some(disk) = Disk::new() else { return };
    let data = disk.data();
    let broker = Broker::in_folder(&data, &[]).await;
    let mut producers = producers(&broker).await;
    for _ in 0..10 {
        produce(&mut producers, 10_000).await;
    }
    assert_eq!(refused(&producers), []);
    // Whoever reads already goes on from what the agent knows: a metadata file that must grow for a checkpoint, which is
    // due by now and then, confirms nothing new.
    check(&broker, &producers).await;
    disk.fill();
    let began = Instant::now();
    produce(&mut producers, 100_000).await;
    let codes = refused(&producers);
    note(&format!(
        "a full disk is answered with {codes:?} after {:?}",
        began.elapsed()
    ));
    assert_eq!(
        codes.len(),
        PRODUCERS,
        "nothing can be stored, so nothing is acknowledged"
    );
    assert!(codes.iter().all(|code| code.is_retriable()), "{codes:?}");
    assert_eq!(broker.page("/health/live").await.0, 200);
    // What is there can be read meanwhile.
    check(&broker, &producers).await;
    recovers(&disk, &data, broker, producers, &[]).await;
}

#[tokio::test]
async fn a_start_on_a_full_disk_says_to_make_room_where() {
    let Some(disk) = Disk::new() else { return };
    disk.fill();
    let file = disk.mount.path().join("m.redb");
    let store = format!("redb://{}", file.display());
    let known = ["--bucket", "memory:", "--store", &store];
    for command in ["dev", "agent"] {
        let mut command = penstock([command, "--listen", "127.0.0.1:0"]);
        command.args(known).args(["--http", "127.0.0.1:0"]);
        let ran = run(command.args(["--log", "off"])).await;
        ran.refused(&[file.to_str().unwrap(), "make room on its disk"]);
        assert!(!file.exists(), "it would be taken for a loss");
    }
}

/// The bucket is elsewhere; only the metadata has no room.
#[tokio::test]
async fn a_store_that_cannot_grow_is_outlived() {
    let Some(disk) = Disk::new() else { return };
    let data = disk.data();
    let bucket = tempfile::tempdir().unwrap();
    let bucket = format!("file://{}", bucket.path().display());
    let more = ["--bucket", bucket.as_str()];
    let broker = Broker::in_folder(&data, &more).await;
    let mut producers = producers(&broker).await;
    produce(&mut producers, 1000).await;
    disk.fill();
    let mut ready_said = Vec::new();
    let deadline = Instant::now() + crate::support::broker::PATIENCE;
    while refused(&producers).len() < 2 * PRODUCERS {
        assert!(
            Instant::now() < deadline,
            "the store finds room on a full disk"
        );
        produce(&mut producers, 1000).await;
        // Each topic takes rows of its own.
        let name = format!("more-{}", ready_said.len());
        producers[0].client.create_topic(&name, 500, &[]).await;
        ready_said.push(broker.page("/health/ready").await);
        sleep(Duration::from_millis(20)).await;
    }
    let codes = refused(&producers);
    note(&format!("a full store is answered with {codes:?}"));
    assert!(codes.iter().all(|code| code.is_retriable()), "{codes:?}");
    let (status, said) = ready_said.last().unwrap();
    assert_eq!(*status, 503, "{said}");
    for part in [
        "the metadata store cannot be written: ",
        "No space left on device",
        "make room on its disk",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert_eq!(broker.page("/health/live").await.0, 200);
    recovers(&disk, &data, broker, producers, &more).await;
}
