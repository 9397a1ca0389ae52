//! Start, stop, crash, start again; and what a broker says of itself meanwhile.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use protocol::ErrorCode;
use protocol::messages::{FetchRequest, ProduceRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::bucket::{Held, SECRET, credentials};
use super::tools::{note, ready, until, values};
use crate::support::broker::{Broker, PATIENCE, penstock, signal};
use crate::support::client::{Client, batch, fetch_request, produce_request};

/// A broker over a bucket whose PUTs the test can hold back. Its logs go to a file.
pub(crate) async fn over(bucket: &Held, logs: &Path, more: &[&str]) -> Broker {
    let mut command = penstock([
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--store",
        "memory:",
    ]);
    command
        .args(["--bucket", "s3://held/p", "--s3-endpoint", &bucket.endpoint])
        .args(more)
        .stderr(File::create(logs).unwrap());
    credentials(&mut command, SECRET);
    Broker::start(&mut command).await
}

#[tokio::test]
async fn a_drain_answers_what_is_under_way_and_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Held::start().await;
    let mut broker = over(&bucket, &folder.path().join("log"), &[]).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::connect(broker.listen).await);
    }
    let mut idle = Client::connect(broker.listen).await;
    let mut waiting = Client::connect(broker.listen).await;
    assert_eq!(idle.create_topic("t", 3, &[]).await, ErrorCode::NONE);
    waiting.send(12, &fetch_request("t", 2, 0, 500)).await;
    bucket.hold();
    let mut buffered = 0.0;
    for (partition, client) in (0..).zip(&mut clients) {
        client
            .send(
                9,
                &produce_request("t", partition, -1, batch(&["in flight"])),
            )
            .await;
        // What is still on its way at the signal would not be read.
        let held = buffered;
        until("it is here", async || {
            buffered = broker.metric("penstock_buffered_bytes", &[]).await;
            buffered > held
        })
        .await;
    }
    bucket.wait_for_puts(1).await;
    signal(broker.pid(), libc::SIGTERM);
    until("not ready", async || {
        broker.page("/health/ready").await == (503, "draining\n".into())
    })
    .await;
    assert_eq!(broker.page("/health/live").await.0, 200);
    until("no new sockets", async || {
        TcpStream::connect(broker.listen).await.is_err()
    })
    .await;
    // A broker that does not wait would be gone by then.
    sleep(Duration::from_millis(300)).await;
    assert!(
        broker.child.try_wait().unwrap().is_none(),
        "it waits for what is under way"
    );
    bucket.release();
    for client in &mut clients {
        let frame = client.receive_frame().await.expect("an answer");
        let (_, answer) = protocol::decode_response::<ProduceRequest>(9, frame).unwrap();
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (ErrorCode::NONE, 0)
        );
        assert_eq!(
            client.receive_frame().await,
            None,
            "then the connection ends"
        );
    }
    let frame = waiting.receive_frame().await.expect("an answer");
    protocol::decode_response::<FetchRequest>(12, frame).unwrap();
    assert_eq!(idle.receive_frame().await, None);
    let status = timeout(PATIENCE, broker.child.wait())
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_drain_that_cannot_end_gives_up_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let bucket = Held::start().await;
    let mut broker = over(&bucket, &log, &["--shutdown-grace", "1"]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    bucket.hold();
    client
        .send(9, &produce_request("t", 0, -1, batch(&["never stored"])))
        .await;
    bucket.wait_for_puts(1).await;
    let asked = Instant::now();
    signal(broker.pid(), libc::SIGTERM);
    let status = timeout(PATIENCE, broker.child.wait())
        .await
        .expect("it ends")
        .unwrap();
    let took = asked.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(20),
        "{took:?}"
    );
    assert_eq!(status.code(), Some(0));
    assert_eq!(
        client.receive_frame().await,
        None,
        "what is not stored is not acknowledged"
    );
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains("gave up waiting"), "{said}");
}

/// A consumer that waits for records does not hold a drain back for as long as it would wait.
#[tokio::test]
async fn a_drain_does_not_wait_for_consumers_that_wait() {
    let broker = Broker::in_memory(&[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    client.send(12, &fetch_request("t", 0, 0, 1_000_000)).await;
    // The request is being waited for once another connection, later on, was answered.
    assert_eq!(
        Client::connect(broker.listen)
            .await
            .fetch("t", 0, 0)
            .await
            .error_code,
        ErrorCode::NONE
    );
    let asked = Instant::now();
    assert!(broker.terminate().await.success());
    let took = asked.elapsed();
    note(&format!(
        "drained in {} ms while a consumer would have waited 1000 s",
        took.as_millis()
    ));
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[tokio::test]
async fn a_killed_broker_comes_back_elsewhere_with_all_it_acknowledged() {
    const PARTITIONS: i32 = 4;
    let folder = tempfile::tempdir().unwrap();
    let mut expected = vec![Vec::new(); 4];
    let mut addresses = Vec::new();
    for life in 0..3 {
        let broker = Broker::in_folder(folder.path(), &[]).await;
        addresses.push(broker.listen);
        let mut client = Client::connect(broker.listen).await;
        if life == 0 {
            assert_eq!(
                client.create_topic("t", PARTITIONS, &[]).await,
                ErrorCode::NONE
            );
        }
        for (partition, expected) in (0..).zip(&expected) {
            assert_eq!(&values(&mut client, "t", partition).await, expected);
        }
        let mut clients = Vec::new();
        for _ in 0..PARTITIONS {
            clients.push(Client::connect(broker.listen).await);
        }
        let producing = (0..PARTITIONS)
            .zip(clients)
            .map(|(partition, mut client)| async move {
                let mut acknowledged = Vec::new();
                for number in 0..25 {
                    let value = format!("{life}/{partition}/{number}");
                    let placed = client.produce("t", partition, batch(&[&value])).await;
                    assert_eq!(placed.error_code, ErrorCode::NONE);
                    assert_eq!(placed.base_offset, i64::from(life * 25 + number));
                    acknowledged.push(value);
                }
                acknowledged
            });
        for (expected, acknowledged) in expected.iter_mut().zip(join_all(producing).await) {
            expected.extend(acknowledged);
        }
        broker.kill().await;
    }
    let mut command = penstock([
        "dev",
        "--listen",
        "127.0.0.2:0",
        "--http",
        "127.0.0.1:0",
        "--data",
    ]);
    let broker = Broker::start(command.arg(folder.path())).await;
    assert!(!addresses.contains(&broker.listen));
    let mut client = Client::connect(broker.listen).await;
    for (partition, expected) in (0..).zip(&expected) {
        assert_eq!(&values(&mut client, "t", partition).await, expected);
    }
}

#[tokio::test]
async fn every_metric_that_tools_read_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(folder.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    assert_eq!(
        client.produce("t", 0, batch(&["a"])).await.error_code,
        ErrorCode::NONE
    );
    assert_eq!(
        client.produce("nowhere", 0, batch(&["a"])).await.error_code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
    );
    assert_eq!(client.fetch("t", 0, 0).await.error_code, ErrorCode::NONE);
    let (status, page) = broker.page("/metrics").await;
    assert_eq!(status, 200);
    for (name, labels) in [
        (
            "penstock_object_store_requests_total",
            &["op=\"put\"", "cause=\"produce\"", "outcome=\"ok\""][..],
        ),
        (
            "penstock_object_store_bytes_total",
            &["op=\"put\"", "cause=\"produce\""],
        ),
        (
            "penstock_object_store_seconds_bucket",
            &["op=\"put\"", "le="],
        ),
        ("penstock_object_store_seconds_count", &["op=\"put\""]),
        (
            "penstock_produce_seconds_bucket",
            &["stage=\"buffer\"", "le="],
        ),
        ("penstock_produce_seconds_count", &["stage=\"put\""]),
        ("penstock_produce_seconds_count", &["stage=\"commit\""]),
        ("penstock_produce_seconds_count", &["stage=\"total\""]),
        ("penstock_fetch_bytes_total", &["source=\"view\""]),
        ("penstock_fetch_bytes_total", &["source=\"cache\""]),
        ("penstock_fetch_bytes_total", &["source=\"store\""]),
        ("penstock_segments_total", &[]),
        ("penstock_segment_bytes_bucket", &["le="]),
        ("penstock_drains_total", &[]),
        ("penstock_index_rows_freed_total", &[]),
        (
            "penstock_job_turns_total",
            &["job=\"cache sweep\"", "outcome=\"idle\""],
        ),
        (
            "penstock_job_turns_total",
            &["job=\"bucket identity\"", "outcome=\"failed\""],
        ),
        ("penstock_cluster_usage", &["kind=\"topics\""]),
        ("penstock_cluster_usage_max", &["kind=\"producer_bytes\""]),
        ("penstock_buffered_bytes", &[]),
        ("penstock_connections", &[]),
        (
            "penstock_requests_total",
            &["api=\"Produce\"", "error=\"NONE\""],
        ),
        (
            "penstock_requests_total",
            &["api=\"Produce\"", "error=\"UNKNOWN_TOPIC_OR_PARTITION\""],
        ),
        (
            "penstock_requests_total",
            &["api=\"Fetch\"", "error=\"NONE\""],
        ),
    ] {
        let there = |line: &str| {
            line.split(['{', ' ']).next() == Some(name)
                && labels.iter().all(|label| line.contains(label))
        };
        assert!(page.lines().any(there), "no {name} {labels:?} in\n{page}");
    }
    assert_eq!(broker.metric("penstock_segments_total", &[]).await, 1.0);
    assert_eq!(
        broker
            .metric(
                "penstock_object_store_requests_total",
                &["put", "cause=\"produce\""]
            )
            .await,
        1.0
    );
    assert_eq!(broker.metric("penstock_connections", &[]).await, 1.0);
    assert_eq!(broker.metric("penstock_buffered_bytes", &[]).await, 0.0);
    assert!(broker.metric("penstock_drains_total", &[]).await >= 2.0);
    assert!(broker.metric("penstock_fetch_bytes_total", &["view"]).await > 60.0);
}

#[tokio::test]
async fn pages_answer_and_logs_are_json_when_piped() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = penstock([
        "agent",
        "--bucket",
        "memory:",
        "--store",
        "memory:",
        "--listen",
        "127.0.0.1:0",
    ]);
    command
        .args(["--http", "127.0.0.1:0"])
        .stderr(File::create(&log).unwrap());
    // `agent` greets nobody: where it listens is in its log.
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let said = async || std::fs::read_to_string(&log).unwrap();
    until("it says that it serves", async || {
        said().await.contains("serving")
    })
    .await;
    let serving: serde_json::Value =
        serde_json::from_str(said().await.lines().last().unwrap()).unwrap();
    let address = |field: &str| -> std::net::SocketAddr {
        let text = serving["fields"][field]
            .as_str()
            .unwrap_or_else(|| panic!("no {field} in {serving}"));
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    };
    let (listen, http) = (address("listen"), address("http"));
    let page = async |path: &str| get(http, path).await;
    assert!(page("/health/live").await.starts_with("HTTP/1.1 200"));
    until("ready", async || {
        page("/health/ready").await.starts_with("HTTP/1.1 200")
    })
    .await;
    assert!(page("/nonsense").await.starts_with("HTTP/1.1 404"));
    // Something to log: a client that speaks no Kafka.
    let mut socket = TcpStream::connect(listen).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    until("it is logged", async || {
        said().await.contains("closed a connection")
    })
    .await;
    signal(child.id().unwrap(), libc::SIGTERM);
    assert!(
        timeout(PATIENCE, child.wait())
            .await
            .expect("it ends")
            .unwrap()
            .success()
    );
    let mut messages = Vec::new();
    for line in said().await.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
        messages.push(
            line["fields"]["message"]
                .as_str()
                .expect("a message")
                .to_owned(),
        );
    }
    for message in ["serving", "closed a connection", "draining", "stopped"] {
        assert!(
            messages.iter().any(|said| said == message),
            "no {message:?} in {messages:?}"
        );
    }
}

/// A page with its status line.
async fn get(http: std::net::SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn an_interrupt_ends_it_as_well() {
    let mut broker = Broker::in_memory(&[]).await;
    ready(&broker).await;
    signal(broker.pid(), libc::SIGINT);
    let status = timeout(PATIENCE, broker.child.wait())
        .await
        .expect("Ctrl-C ends it")
        .unwrap();
    assert!(status.success());
}

/// Longer than a frame may take to arrive: what is timed is frames, not the silence between them.
#[tokio::test]
async fn a_client_may_be_silent_after_a_large_frame() {
    let broker = Broker::in_memory(&[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let large = "x".repeat(100_000);
    for offset in 0..2 {
        let placed = client.produce("t", 0, batch(&[&large])).await;
        assert_eq!(
            (placed.error_code, placed.base_offset),
            (ErrorCode::NONE, offset)
        );
        sleep(Duration::from_secs(12)).await;
    }
}
