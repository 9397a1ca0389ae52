//! Processes that speak with each other, with fixed addresses so that they can come back, and producers that go on
//! whatever happens to them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::messages::{
    InitProducerIdRequest, ListOffsetsRequest, ProduceRequest, ProduceResponse,
};
use protocol::records::BatchOptions;
use protocol::{ErrorCode, Request, RequestHeader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::broker::{PATIENCE, program, signal};
use super::client::{Client, batch_with, list_offsets_request, produce_request};
use super::tools::values;

/// Records that a producer gets acknowledged, one by one.
pub const RECORDS: i32 = 150;

/// A process with a fixed address, so that it can come back. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    program: PathBuf,
    arguments: Vec<String>,
    /// Where what it says goes, if not to this process' own standard error.
    log: Option<PathBuf>,
    pub listen: SocketAddr,
    pub http: SocketAddr,
}

/// An address nobody listens at; it is free again at once.
pub async fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("there is a free port");
    listener.local_addr().expect("it is bound")
}

/// The binary of these tests.
fn own() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_penstock"))
}

fn started(binary: &Path, arguments: &[String], log: Option<&Path>) -> Child {
    let mut command: Command = program(binary, arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(log) = log {
        command.stderr(std::fs::File::create(log).expect("a log can be made"));
    }
    command.spawn().expect("the binary starts")
}

impl Process {
    pub async fn start(command: &str, more: &[&str]) -> Self {
        Self::start_logging(command, "warn", None, more).await
    }

    pub async fn start_logging(
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

    /// Of that binary, saying what goes wrong.
    pub async fn of(binary: &Path, command: &str, more: &[&str]) -> Self {
        let listen = free().await;
        let at = listen.to_string();
        let more = [&["--listen", &at, "--log", "warn"], more].concat();
        Self::started(binary, command, listen, None, &more).await
    }

    /// With `--listen` among its flags, and one of these addresses.
    pub async fn with(
        command: &str,
        listen: SocketAddr,
        log: Option<PathBuf>,
        more: &[&str],
    ) -> Self {
        Self::started(own(), command, listen, log, more).await
    }

    async fn started(
        binary: &Path,
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
            child: started(binary, &arguments, log.as_deref()),
            program: binary.to_owned(),
            arguments,
            log,
            listen,
            http,
        }
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it was ours to kill");
    }

    pub fn restart(&mut self) {
        self.child = started(&self.program, &self.arguments, self.log.as_deref());
    }

    /// Once it ended: the same process of another version.
    pub fn restart_as(&mut self, binary: &Path) {
        binary.clone_into(&mut self.program);
        self.restart();
    }

    /// How it ended by itself.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends by itself").expect("ours")
    }

    /// SIGSTOP and SIGCONT, or whatever else. Once SIGSTOP was sent it does nothing any more.
    pub fn signal(&self, number: i32) {
        let process = self.child.id().expect("it runs");
        signal(process, number);
        while number == libc::SIGSTOP && !stands_still(process) {
            std::thread::yield_now();
        }
    }

    /// Whether it has not ended by itself.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("ours").is_none()
    }

    /// Ends it as an operator would.
    pub async fn stop(&mut self) {
        self.signal(libc::SIGTERM);
        let ended = timeout(PATIENCE, self.child.wait()).await.expect("it ends");
        assert!(ended.expect("ours").success());
    }

    /// Whether it says, in its metrics, that it holds the order. Silence says no.
    pub async fn holds_order(&self) -> bool {
        let page = timeout(Duration::from_secs(1), self.page("/metrics")).await;
        let page = page.ok().flatten().unwrap_or_default();
        page.lines().any(|line| line == "penstock_holds_order 1")
    }

    /// What a page says, once it can be reached.
    pub async fn page(&self, path: &str) -> Option<String> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = TcpStream::connect(self.http).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await.ok()?;
        Some(text)
    }

    /// Waits until `/health/ready` says so.
    pub async fn until_ready(&self, status: &str) {
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

    pub async fn terminate(mut self) {
        self.stop().await;
    }
}

/// Whether all its threads were stopped, for which a busy machine takes its time. True of one that is gone.
fn stands_still(process: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let said = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name before it may hold anything.
        said.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with(['T', 'Z', 'X']))
    })
}

/// Asks, and says when there was no answer.
pub async fn try_ask<R: Request>(
    address: SocketAddr,
    version: i16,
    request: &R,
) -> Option<R::Response> {
    let asking = async {
        let mut client = Client::try_connect(address).await?;
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

async fn produce(agents: [SocketAddr; 2], producer_id: i64, partition: i32) -> Duration {
    let produced = produce_while(agents, producer_id, partition, |number| number < RECORDS);
    produced.await.1
}

/// An idempotent producer that sends one record after the other, and each again, through either agent, until it is
/// acknowledged. Returns how many were, and the longest time that one took.
pub async fn produce_while(
    agents: [SocketAddr; 2],
    producer_id: i64,
    partition: i32,
    goes_on: impl Fn(i32) -> bool,
) -> (i32, Duration) {
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    let (mut which, mut number) = (0, 0);
    while goes_on(number) {
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
        number += 1;
        sleep(Duration::from_millis(10)).await;
    }
    (number, longest)
}

/// An id for each of [`produce_both_ways`], each from another agent.
pub async fn producer_ids(agents: [SocketAddr; 2]) -> [i64; 2] {
    [producer_id(agents[0]).await, producer_id(agents[1]).await]
}

/// Two producers, of a partition each, that begin at different agents; the longest wait of each.
pub async fn produce_both_ways(agents: [SocketAddr; 2], ids: [i64; 2]) -> (Duration, Duration) {
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
pub async fn all_there(agent: &Process, partitions: i32) {
    for partition in 0..partitions {
        has_records(agent, partition, RECORDS).await;
    }
}

/// That many are in a partition, once and in order.
pub async fn has_records(agent: &Process, partition: i32, records: i32) {
    agent.until_ready("200").await;
    let mut client = Client::connect(agent.listen).await;
    let found = values(&mut client, "t", partition).await;
    let expected: Vec<String> = (0..records).map(|number| number.to_string()).collect();
    assert!(found == expected, "partition {partition}: {found:?}");
}

/// Asks for the end of a partition of `t`.
pub fn end_offset(partition_index: i32) -> ListOffsetsRequest {
    const LATEST: i64 = -1;
    list_offsets_request("t", &[(partition_index, LATEST)])
}
