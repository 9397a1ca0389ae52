//! One order for several agents: a process of `penstock metadata` and two of `penstock agent`, each killed without warning
//! while producers go on.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::messages::{
    FetchRequest, InitProducerIdRequest, MetadataRequest, ProduceRequest, ProduceResponse,
};
use protocol::records::BatchOptions;
use protocol::{ErrorCode, Request, RequestHeader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::tools::values;
use crate::support::broker::{PATIENCE, penstock, signal};
use crate::support::client::{Client, batch_with, fetch_request, produce_request};

/// Records that each of two producers gets acknowledged, one by one.
const RECORDS: i32 = 150;

/// A process with a fixed address, so that it can come back. Killed when dropped.
struct Process {
    child: Child,
    arguments: Vec<String>,
    listen: SocketAddr,
    http: SocketAddr,
}

/// An address nobody listens at; it is free again at once.
async fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

fn started(arguments: &[String]) -> Child {
    let mut command: Command = penstock(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("the binary starts")
}

impl Process {
    async fn start(command: &str, more: &[&str]) -> Self {
        let (listen, http) = (free().await, free().await);
        let (at, pages) = (listen.to_string(), http.to_string());
        let ports = [command, "--listen", &at, "--http", &pages, "--log", "warn"];
        let arguments: Vec<String> = ports
            .iter()
            .chain(more)
            .map(|argument| (*argument).to_owned())
            .collect();
        Self {
            child: started(&arguments),
            arguments,
            listen,
            http,
        }
    }

    async fn kill(&mut self) {
        self.child.kill().await.expect("it was ours to kill");
    }

    fn restart(&mut self) {
        self.child = started(&self.arguments);
    }

    /// What a page says, once it can be reached.
    async fn page(&self, path: &str) -> Option<String> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = TcpStream::connect(self.http).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await.ok()?;
        Some(text)
    }

    /// Waits until `/health/ready` says so.
    async fn until_ready(&self, status: &str) {
        let begun = Instant::now();
        let wanted = format!("HTTP/1.1 {status}");
        loop {
            let said = self.page("/health/ready").await.unwrap_or_default();
            if said.starts_with(&wanted) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "it never says {status}: {said}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn terminate(mut self) {
        signal(self.child.id().unwrap(), libc::SIGTERM);
        let ended = timeout(PATIENCE, self.child.wait()).await.expect("it ends");
        assert!(ended.unwrap().success());
    }
}

struct Cluster {
    metadata: Process,
    agents: [Process; 2],
}

impl Cluster {
    async fn start(folder: &Path) -> Self {
        let store = format!("redb://{}", folder.join("m.redb").display());
        let bucket = format!("file://{}", folder.join("bucket").display());
        std::fs::create_dir(folder.join("bucket")).unwrap();
        let metadata = Process::start("metadata", &["--store", &store]).await;
        let at = metadata.listen.to_string();
        let agent = |id| {
            let (bucket, at) = (bucket.clone(), at.clone());
            async move {
                let more = ["--bucket", &bucket, "--metadata", &at, "--node-id", id];
                let agent = Process::start("agent", &more).await;
                agent.until_ready("200").await;
                agent
            }
        };
        Self {
            agents: [agent("1").await, agent("2").await],
            metadata,
        }
    }
}

/// Asks, and says when there was no answer.
async fn try_ask<R: Request>(
    address: SocketAddr,
    version: i16,
    request: &R,
) -> Option<R::Response> {
    let asking = async {
        TcpStream::connect(address).await.ok()?;
        let mut client = Client::connect(address).await;
        let header = RequestHeader {
            api_key: R::KEY.code(),
            api_version: version,
            correlation_id: 1,
            client_id: Some("test".into()),
        };
        let mut bytes = BytesMut::new();
        for slice in protocol::encode_request(&header, request) {
            bytes.extend_from_slice(&slice);
        }
        if !client.send_raw(&bytes).await {
            return None;
        }
        let frame = client.receive_frame().await?;
        let (_, response) = protocol::decode_response::<R>(version, frame).ok()?;
        Some(response)
    };
    timeout(Duration::from_secs(40), asking).await.ok()?
}

fn produced(response: &ProduceResponse) -> ErrorCode {
    response.responses[0].partition_responses[0].error_code
}

/// An idempotent producer that sends one record after the other, and each again, through either agent, until it is
/// acknowledged.
async fn produce(agents: [SocketAddr; 2], producer_id: i64, partition: i32) {
    let begun = Instant::now();
    let mut which = 0;
    for number in 0..RECORDS {
        let options = BatchOptions {
            producer_id,
            producer_epoch: 0,
            base_sequence: number,
            ..BatchOptions::default()
        };
        let value = number.to_string();
        let batch: Bytes = batch_with(&[&value], options);
        let request: ProduceRequest = produce_request("t", partition, -1, batch);
        loop {
            let answer = try_ask(agents[which], 9, &request).await;
            match answer.as_ref().map(produced) {
                Some(ErrorCode::NONE) => break,
                Some(code) => assert!(code.is_retriable(), "{number}: {code:?}"),
                None => {}
            }
            which = 1 - which;
            assert!(begun.elapsed() < 4 * PATIENCE, "it takes too long");
            sleep(Duration::from_millis(20)).await;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_is_acknowledged_survives_every_process_and_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(folder.path()).await;
    let addresses = [cluster.agents[0].listen, cluster.agents[1].listen];
    let mut client = Client::connect(addresses[0]).await;
    assert_eq!(client.create_topic("t", 2, &[]).await, ErrorCode::NONE);
    let mut ids = Vec::new();
    for address in addresses {
        let init = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
        };
        let mut client = Client::connect(address).await;
        ids.push(client.ask(4, &init).await.producer_id);
    }
    assert_ne!(ids[0], ids[1], "ids are the cluster's");
    let work = async {
        tokio::join!(
            produce(addresses, ids[0], 0),
            produce([addresses[1], addresses[0]], ids[1], 1)
        )
    };
    let trouble = async {
        for round in 0..3 {
            sleep(Duration::from_millis(700)).await;
            cluster.metadata.kill().await;
            sleep(Duration::from_millis(300 * round)).await;
            cluster.metadata.restart();
            sleep(Duration::from_millis(700)).await;
            let which = usize::try_from(round % 2).unwrap();
            cluster.agents[which].kill().await;
            sleep(Duration::from_millis(300)).await;
            cluster.agents[which].restart();
        }
    };
    tokio::join!(work, trouble);
    for agent in &cluster.agents {
        agent.until_ready("200").await;
        let mut client = Client::connect(agent.listen).await;
        for partition in 0..2 {
            let found = values(&mut client, "t", partition).await;
            let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
            assert!(found == expected, "partition {partition}: {found:?}");
        }
    }
    let Cluster { metadata, agents } = cluster;
    for agent in agents {
        agent.terminate().await;
    }
    metadata.terminate().await;
}

#[tokio::test]
async fn a_commit_through_one_agent_wakes_a_fetch_at_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(folder.path()).await;
    let mut one = Client::connect(cluster.agents[0].listen).await;
    let mut other = Client::connect(cluster.agents[1].listen).await;
    assert_eq!(one.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    for offset in 0..5 {
        let wait: FetchRequest = fetch_request("t", 0, offset, 50_000);
        // The topic was made through the other one: at first it may not be known here yet.
        other.send(12, &wait).await;
        sleep(Duration::from_millis(200)).await;
        let batch = batch_with(&["x"], BatchOptions::default());
        assert_eq!(one.produce("t", 0, batch).await.error_code, ErrorCode::NONE);
        let begun = Instant::now();
        let frame = other.receive_frame().await.expect("an answer");
        assert!(begun.elapsed() < Duration::from_secs(40), "it slept it out");
        let (_, response) = protocol::decode_response::<FetchRequest>(12, frame).unwrap();
        let data = &response.responses[0].partitions[0];
        assert_eq!(
            (data.error_code, data.high_watermark),
            (ErrorCode::NONE, offset + 1)
        );
    }
    // Clients are told of both, and are sent to the same one for a partition by either.
    let wanted = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let begun = Instant::now();
    loop {
        let told = [one.ask(12, &wanted).await, other.ask(12, &wanted).await];
        let ids = told.each_ref().map(|told| {
            let ids = told.brokers.iter().map(|broker| broker.node_id);
            ids.collect::<Vec<_>>()
        });
        if ids == [[1, 2], [1, 2]] {
            assert_eq!(told[0].topics, told[1].topics);
            let ports: Vec<_> = told[0].brokers.iter().map(|broker| broker.port).collect();
            let listen = cluster
                .agents
                .each_ref()
                .map(|agent| i32::from(agent.listen.port()));
            assert_eq!(ports, listen);
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{ids:?}");
        sleep(Duration::from_millis(50)).await;
    }
    // Without a sequencer an agent is not ready, and serves what it knows.
    cluster.metadata.kill().await;
    cluster.agents[1].until_ready("503").await;
    let data = other.fetch("t", 0, 0).await;
    assert_eq!((data.error_code, data.high_watermark), (ErrorCode::NONE, 5));
    assert_eq!(values(&mut other, "t", 0).await.len(), 5);
    cluster.metadata.restart();
    cluster.agents[1].until_ready("200").await;
    let ready = cluster.metadata.page("/health/ready").await.unwrap();
    assert!(ready.ends_with("holds the order\n"), "{ready}");
}
