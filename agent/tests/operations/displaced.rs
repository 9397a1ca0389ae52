//! The metadata file is removed, replaced or moved under a process that has it open: it acknowledges nothing more, says so and
//! how to save the file, and what was acknowledged is not lost.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use protocol::ErrorCode;

use super::processes::Process;
use super::tools::{ready, run, until, values};
use crate::support::broker::{Broker, penstock};
use crate::support::client::{Client, batch};

/// `penstock dev` over a folder, its log beside.
async fn over(data: &Path) -> Broker {
    let mut dev = penstock(["dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    dev.arg("--data").arg(data);
    let log = File::options().create(true).append(true).open(log_of(data));
    Broker::start(dev.stderr(log.unwrap())).await
}

fn log_of(data: &Path) -> PathBuf {
    data.with_extension("log")
}

fn file_of(data: &Path) -> PathBuf {
    data.join("metadata.redb")
}

/// Errors in the log that say what became of the file.
fn errors(data: &Path) -> Vec<String> {
    let log = fs::read_to_string(log_of(data)).unwrap();
    let is_told = |line: &&str| line.contains("ERROR") && line.contains("removed or replaced");
    log.lines().filter(is_told).map(str::to_owned).collect()
}

/// Produces records, each of which is acknowledged.
async fn produce(client: &mut Client, acknowledged: &mut Vec<String>) {
    for _ in 0..5 {
        let value = format!("value {}", acknowledged.len());
        let placed = client.produce("t", 0, batch(&[&value])).await;
        assert_eq!(placed.error_code, ErrorCode::NONE);
        acknowledged.push(value);
    }
}

async fn is_refused(client: &mut Client) {
    for _ in 0..3 {
        let placed = client.produce("t", 0, batch(&["never"])).await;
        assert!(placed.error_code.is_retriable(), "{placed:?}");
        assert_eq!(placed.base_offset, -1, "{placed:?}");
    }
}

/// What `/health/ready` says, once it is not ready any more; nobody else asks for anything.
async fn not_ready(broker: &Broker, data: &Path) -> String {
    until("not ready", async || {
        broker.page("/health/ready").await.0 != 200
    })
    .await;
    let (status, said) = broker.page("/health/ready").await;
    let file = file_of(data).display().to_string();
    let own = format!("/proc/{}/fd/", broker.pid());
    for part in [&file, "removed or replaced", "is acknowledged", &own] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert_eq!((status, said.lines().count()), (503, 1));
    said
}

/// The next process over the folder has all that was acknowledged, and nothing else, and goes on.
async fn has_all(data: &Path, acknowledged: &[String]) {
    let broker = over(data).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(values(&mut client, "t", 0).await, acknowledged);
    let placed = client.produce("t", 0, batch(&["more"])).await;
    assert_eq!(placed.error_code, ErrorCode::NONE);
    assert!(broker.terminate().await.success());
}

/// A broker with a topic and some records.
async fn begun(data: &Path) -> (Broker, Client, Vec<String>) {
    let broker = over(data).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let mut acknowledged = Vec::new();
    produce(&mut client, &mut acknowledged).await;
    (broker, client, acknowledged)
}

#[tokio::test]
async fn a_file_that_is_removed_stops_acks_and_can_be_copied_out_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (broker, mut client, acknowledged) = begun(&data).await;
    fs::remove_file(file_of(&data)).unwrap();
    is_refused(&mut client).await;
    let said = not_ready(&broker, &data).await;
    assert_eq!(broker.page("/health/live").await.0, 200);
    assert!(!errors(&data).is_empty());
    let store = format!("redb://{}", file_of(&data).display());
    let doctor = ["doctor", "--bucket", "memory:", "--store", &store];
    let ran = run(&mut penstock(doctor)).await;
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    let own = format!("/proc/{}/fd/", broker.pid());
    assert!(ran.stdout.contains(&own), "{ran:?}");
    let begin = said.find(&own).unwrap();
    let rescue = said[begin..].split(' ').next().unwrap();
    let copy = folder.path().join("copy.redb");
    fs::copy(rescue, &copy).unwrap();
    assert!(!file_of(&data).exists(), "it is not made again");
    broker.kill().await;
    fs::rename(copy, file_of(&data)).unwrap();
    has_all(&data, &acknowledged).await;
}

#[tokio::test]
async fn a_file_in_whose_place_an_older_copy_was_put_is_saved_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (broker, mut client, mut acknowledged) = begun(&data).await;
    let copy = folder.path().join("copy.redb");
    fs::copy(file_of(&data), &copy).unwrap();
    produce(&mut client, &mut acknowledged).await;
    let older = fs::read(&copy).unwrap();
    fs::rename(&copy, file_of(&data)).unwrap();
    is_refused(&mut client).await;
    not_ready(&broker, &data).await;
    assert_eq!(broker.terminate().await.code(), Some(1));
    assert!(fs::read(file_of(&data)).unwrap() == older);
    let saved = data.join("metadata.redb.saved-1");
    let name = saved.display().to_string();
    let told = errors(&data);
    assert!(told.iter().any(|line| line.contains(&name)), "{told:?}");
    fs::rename(saved, file_of(&data)).unwrap();
    has_all(&data, &acknowledged).await;
}

#[tokio::test]
async fn a_file_that_is_moved_back_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (broker, mut client, mut acknowledged) = begun(&data).await;
    let away = folder.path().join("away.redb");
    fs::rename(file_of(&data), &away).unwrap();
    not_ready(&broker, &data).await;
    is_refused(&mut client).await;
    fs::rename(&away, file_of(&data)).unwrap();
    ready(&broker).await;
    produce(&mut client, &mut acknowledged).await;
    assert_eq!(errors(&data).len(), 1);
    assert!(broker.terminate().await.success());
    has_all(&data, &acknowledged).await;
}

/// A process that does nothing but hold the order.
#[tokio::test]
async fn a_metadata_process_says_it_as_well_and_does_not_end_as_if_all_were_well() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metadata.redb");
    let store = format!("redb://{}", file.display());
    let mut process = Process::start("metadata", &["--store", &store]).await;
    until("it holds the order", async || process.holds_order().await).await;
    process.until_ready("200").await;
    fs::remove_file(&file).unwrap();
    process.until_ready("503").await;
    let said = process.page("/health/ready").await.unwrap();
    for part in ["metadata.redb", "removed or replaced", "/proc/"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert!(process.runs(), "what it has is not to be lost");
    process.signal(libc::SIGTERM);
    assert_eq!(process.ended().await.code(), Some(1));
    assert!(folder.path().join("metadata.redb.saved-1").exists());
}
