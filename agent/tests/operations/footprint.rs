//! What a broker takes when it has nothing to do. Figures of the goal hold for the release build: name it in
//! `PENSTOCK_BIN`, and they are asserted; the debug build must only fall back and stay quiet.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use protocol::ErrorCode;
use protocol::records::{BatchOptions, Record, build_batch};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::tools::{noise, note, ready};
use crate::support::broker::{Broker, penstock};
use crate::support::client::Client;

const MIB: u64 = 1 << 20;
const PARTITIONS: i32 = 8;
const BURST_BATCHES: i32 = 220;
const BATCH_BYTES: usize = 960 * 1024;

/// Goals in bytes and milliseconds.
struct Goals {
    fresh: u64,
    ready_ms: u128,
    idle: u64,
}

const RELEASE: Goals = Goals {
    fresh: 20 * MIB,
    ready_ms: 300,
    idle: 40 * MIB,
};
const DEBUG: Goals = Goals {
    fresh: 60 * MIB,
    ready_ms: 20_000,
    idle: 80 * MIB,
};

fn dev(data: &Path) -> (Command, Goals) {
    let words = [
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--data",
    ];
    let (mut command, goals) = match std::env::var_os("PENSTOCK_BIN") {
        Some(binary) => {
            let mut command = Command::new(binary);
            command.kill_on_drop(true).args(words);
            (command, RELEASE)
        }
        None => (penstock(words), DEBUG),
    };
    command.arg(data).stderr(Stdio::null());
    (command, goals)
}

/// The quickest of a few starts: what the machine does beside it is not the broker's.
const STARTS: usize = 4;

#[tokio::test]
async fn a_fresh_broker_is_small_and_ready_soon() {
    let folder = tempfile::tempdir().unwrap();
    let (mut quickest, mut largest) = (u128::MAX, 0);
    // The first makes its data, the others find it.
    for _ in 0..STARTS {
        let (mut command, _) = dev(folder.path());
        let began = Instant::now();
        let broker = Broker::start(&mut command).await;
        while broker.page("/health/ready").await.0 != 200 {
            sleep(Duration::from_millis(1)).await;
        }
        let (took, resident) = (began.elapsed().as_millis(), broker.resident());
        note(&format!(
            "ready after {took} ms, {:.1} MiB resident",
            mib(resident)
        ));
        (quickest, largest) = (quickest.min(took), largest.max(resident));
        assert!(broker.terminate().await.success());
    }
    let goals = dev(folder.path()).1;
    assert!(largest <= goals.fresh, "{largest} bytes");
    assert!(quickest <= goals.ready_ms, "{quickest} ms");
}

#[tokio::test]
async fn after_a_burst_it_gives_memory_back_and_asks_the_bucket_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut command, goals) = dev(folder.path());
    let broker = Broker::start(&mut command).await;
    ready(&broker).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(
        client.create_topic("burst", PARTITIONS, &[]).await,
        ErrorCode::NONE
    );
    for number in 0..BURST_BATCHES {
        let placed = client
            .produce("burst", number % PARTITIONS, large(number))
            .await;
        assert_eq!(placed.error_code, ErrorCode::NONE);
    }
    let consumed = consume(&mut client).await;
    assert!(
        consumed >= BURST_BATCHES as usize * BATCH_BYTES,
        "{consumed}"
    );
    let after_burst = broker.resident();
    // Blocks leave the cache, pages go back to the system.
    sleep(Duration::from_secs(5)).await;
    let before = requests(&broker).await;
    let mut least = u64::MAX;
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        least = least.min(broker.resident());
    }
    let asked = requests(&broker).await - before;
    let resident = broker.resident();
    note(&format!(
        "{:.1} MiB resident after {} MiB; after an idle minute {:.1} MiB (least {:.1}), {asked} requests to the bucket",
        mib(after_burst),
        consumed as u64 / MIB,
        mib(resident),
        mib(least)
    ));
    assert_eq!(asked, 0.0);
    assert!(resident <= goals.idle, "{resident} bytes");
    assert_eq!(
        client.fetch("burst", 0, 0).await.error_code,
        ErrorCode::NONE
    );
}

/// One record that does not compress.
fn large(number: i32) -> Bytes {
    let record = Record {
        value: Some(noise(number.unsigned_abs().into(), BATCH_BYTES).into()),
        ..Default::default()
    };
    build_batch(&[record], BatchOptions::default())
}

/// Reads all partitions to their ends; how many bytes that was.
async fn consume(client: &mut Client) -> usize {
    let mut bytes = 0;
    for partition in 0..PARTITIONS {
        let mut offset = 0;
        loop {
            let data = client.fetch("burst", partition, offset).await;
            assert_eq!(data.error_code, ErrorCode::NONE);
            if offset == data.high_watermark {
                break;
            }
            let length = data.records.expect("records").len();
            assert!(length > 0);
            bytes += length;
            // Limits let one of these batches through at a time.
            offset += i64::try_from(length / BATCH_BYTES).expect("few");
        }
    }
    bytes
}

/// Requests to the bucket, but for those that follow the last segment within a minute: the metadata's point is written,
/// and whose bucket it is looked at once more.
async fn requests(broker: &Broker) -> f64 {
    let of = async |labels: &[&str]| {
        let name = "penstock_object_store_requests_total";
        broker.metric(name, labels).await
    };
    of(&[]).await - of(&["cause=\"witness\""]).await
}

#[expect(clippy::cast_precision_loss, reason = "printed with one digit")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}
