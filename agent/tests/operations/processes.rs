//! Processes that speak with each other, with fixed addresses so that they can come back, and producers that go on
//! whatever happens to them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::{
    InitProducerIdRequest, ListOffsetsRequest, ProduceRequest, ProduceResponse,
};
use protocol::records::BatchOptions;
use protocol::{ErrorCode, Request, RequestHeader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::tools::values;
use crate::support::broker::{PATIENCE, penstock, signal};
use crate::support::client::{Client, batch_with, produce_request};

/// Records that a producer gets acknowledged, one by one.
pub(crate) const RECORDS: i32 = 150;

/// A process with a fixed address, so that it can come back. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    arguments: Vec<String>,
    /// Where what it says goes, if not to this process' own standard error.
    log: Option<PathBuf>,
    pub(crate) listen: SocketAddr,
    pub(crate) http: SocketAddr,
}

/// An address nobody listens at; it is free again at once.
pub(crate) async fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

fn started(arguments: &[String], log: Option<&Path>) -> Child {
    let mut command: Command = penstock(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(log) = log {
        command.stderr(std::fs::File::create(log).expect("a log can be made"));
    }
    command.spawn().expect("the binary starts")
}

impl Process {
    pub(crate) async fn start(command: &str, more: &[&str]) -> Self {
        Self::start_logging(command, "warn", None, more).await
    }

    pub(crate) async fn start_logging(
        command: &str,
        filter: &str,
        log: Option<PathBuf>,
        more: &[&str],
    ) -> Self {
        let listen = free().await;
        let at = listen.to_string();
        let more = [&["--listen", &at, "--log", filter], more].concat();
        Self::with(command, listen, log, &more).await
    }

    /// With `--listen` among its flags, and one of these addresses.
    pub(crate) async fn with(
        command: &str,
        listen: SocketAddr,
        log: Option<PathBuf>,
        more: &[&str],
    ) -> Self {
        let http = free().await;
        let pages = http.to_string();
        let own = [command, "--http", &pages];
        let all = own.iter().chain(more);
        let arguments: Vec<String> = all.map(|argument| (*argument).to_owned()).collect();
        Self {
            child: started(&arguments, log.as_deref()),
            arguments,
            log,
            listen,
            http,
        }
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it was ours to kill");
    }

    pub(crate) fn restart(&mut self) {
        self.child = started(&self.arguments, self.log.as_deref());
    }

    /// SIGSTOP and SIGCONT, or whatever else.
    pub(crate) fn signal(&self, number: i32) {
        signal(self.child.id().expect("it runs"), number);
    }

    /// Whether it has not ended by itself.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("ours").is_none()
    }

    /// Ends it as an operator would.
    pub(crate) async fn stop(&mut self) {
        self.signal(libc::SIGTERM);
        let ended = timeout(PATIENCE, self.child.wait()).await.expect("it ends");
        assert!(ended.unwrap().success());
    }

    /// Whether it says, in its metrics, that it holds the order. Silence says no.
    pub(crate) async fn holds_order(&self) -> bool {
        let page = timeout(Duration::from_secs(1), self.page("/metrics")).await;
        let page = page.ok().flatten().unwrap_or_default();
        page.lines().any(|line| line == "penstock_holds_order 1")
    }

    /// What a page says, once it can be reached.
    pub(crate) async fn page(&self, path: &str) -> Option<String> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = TcpStream::connect(self.http).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await.ok()?;
        Some(text)
    }

    /// Waits until `/health/ready` says so.
    pub(crate) async fn until_ready(&self, status: &str) {
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

    pub(crate) async fn terminate(mut self) {
        self.stop().await;
    }
}

/// Asks, and says when there was no answer.
pub(crate) async fn try_ask<R: Request>(
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
/// acknowledged. Returns the longest time that one took.
async fn produce(agents: [SocketAddr; 2], producer_id: i64, partition: i32) -> Duration {
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
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
        let sent = Instant::now();
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
        longest = longest.max(sent.elapsed());
        sleep(Duration::from_millis(10)).await;
    }
    longest
}

/// An id for each of [`produce_both_ways`], each from another agent.
pub(crate) async fn producer_ids(agents: [SocketAddr; 2]) -> [i64; 2] {
    [producer_id(agents[0]).await, producer_id(agents[1]).await]
}

/// Two producers, of a partition each, that begin at different agents; the longest wait of each.
pub(crate) async fn produce_both_ways(
    agents: [SocketAddr; 2],
    ids: [i64; 2],
) -> (Duration, Duration) {
    tokio::join!(
        produce(agents, ids[0], 0),
        produce([agents[1], agents[0]], ids[1], 1)
    )
}

/// A new producer's id.
async fn producer_id(agent: SocketAddr) -> i64 {
    let init = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
    };
    let mut client = Client::connect(agent).await;
    client.ask(4, &init).await.producer_id
}

/// What [`produce`] sent is in the first partitions of `t`, once and in order, as seen by this agent.
pub(crate) async fn all_there(agent: &Process, partitions: i32) {
    agent.until_ready("200").await;
    let mut client = Client::connect(agent.listen).await;
    for partition in 0..partitions {
        let found = values(&mut client, "t", partition).await;
        let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
        assert!(found == expected, "partition {partition}: {found:?}");
    }
}

/// Asks for the end of a partition of `t`.
pub(crate) fn end_offset(partition_index: i32) -> ListOffsetsRequest {
    const LATEST: i64 = -1;
    let partition = ListOffsetsPartition {
        partition_index,
        current_leader_epoch: -1,
        timestamp: LATEST,
    };
    ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: "t".to_owned(),
            partitions: vec![partition],
        }],
        ..Default::default()
    }
}
