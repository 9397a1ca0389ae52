//! Clients that announce and do not send, connect and do not read, or come in crowds from one address, and those beside them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use protocol::{ApiKey, ErrorCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::tools::{note, until};
use crate::support::broker::{Broker, penstock};
use crate::support::client::{Client, batch, fetch_request};

/// Bounds on liveness, not on speed: each of these took 45 s and more.
const REQUEST_MAX: Duration = Duration::from_secs(15);
/// What a broker reads of a frame before it asks for memory.
const FIRST_CHUNK: usize = 16 * 1024;

/// The start of a Produce request of that length.
fn start(length: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4 + FIRST_CHUNK];
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes[4..6].copy_from_slice(&ApiKey::Produce.code().to_be_bytes());
    // Version, correlation id, no client id.
    bytes[6..14].copy_from_slice(&[0, 3, 0, 0, 0, 7, 0xff, 0xff]);
    bytes
}

/// Announces a frame of that length, sends some bytes of it ten times a second, and comes back when it was thrown out.
async fn announce(broker: SocketAddr, length: u32, bytes: usize) {
    loop {
        let attack = async {
            let mut socket = TcpStream::connect(broker).await?;
            socket.write_all(&start(length)).await?;
            loop {
                sleep(Duration::from_millis(100)).await;
                match bytes {
                    0 => {
                        socket.read_exact(&mut [0]).await?;
                    }
                    bytes => socket.write_all(&vec![0; bytes]).await?,
                }
            }
        };
        let _: io::Result<()> = attack.await;
        sleep(Duration::from_millis(100)).await;
    }
}

/// A record of that size is stored, and how long that took.
async fn stored(client: &mut Client, size: usize) -> Duration {
    let began = Instant::now();
    let placed = client.produce("t", 0, batch(&[&"x".repeat(size)]));
    let placed = timeout(REQUEST_MAX, placed)
        .await
        .expect("a good client is not held up");
    assert_eq!(placed.error_code, ErrorCode::NONE);
    began.elapsed()
}

#[tokio::test]
async fn frames_that_never_come_hold_up_nobody() {
    let broker = Broker::in_memory(&[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let mut crowd = JoinSet::new();
    for _ in 0..100 {
        crowd.spawn(announce(broker.listen, 1_400_000, 0));
    }
    until("the crowd is there", async || {
        broker.metric("penstock_connections", &[]).await > 90.0
    })
    .await;
    sleep(Duration::from_millis(500)).await;
    for size in [1000, 40_000, 900_000] {
        let took = stored(&mut client, size).await;
        note(&format!("{size} bytes beside 100 that announce: {took:?}"));
    }
    let made_room = ["reason=\"made_room\""];
    assert!(
        broker
            .metric("penstock_turned_away_total", &made_room)
            .await
            > 0.0
    );
}

#[tokio::test]
async fn a_huge_frame_that_comes_slowly_holds_up_nobody() {
    let broker = Broker::in_memory(&[]).await;
    let mut client = Client::connect(broker.listen).await;
    let configs = [("max.message.bytes", "16000000")];
    assert_eq!(client.create_topic("t", 1, &configs).await, ErrorCode::NONE);
    let mut crowd = JoinSet::new();
    crowd.spawn(announce(broker.listen, 100 << 20, 7 * 1024));
    sleep(Duration::from_millis(500)).await;
    for size in [40_000, 2_000_000, 8_000_000] {
        let took = stored(&mut client, size).await;
        note(&format!("{size} bytes beside a slow one: {took:?}"));
    }
}

/// It held its room for five minutes where more lay behind it than is read ahead.
#[tokio::test]
async fn a_poll_ends_with_its_client_whatever_was_asked_for_behind_it() {
    let broker = Broker::in_memory(&[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let mut leaves = Client::connect(broker.listen).await;
    for _ in 0..500 {
        let poll = fetch_request("t", 0, 0, 300_000);
        leaves.send(12, &poll).await;
    }
    let there = async || broker.metric("penstock_connections", &[]).await;
    until("both are there", async || there().await == 2.0).await;
    sleep(Duration::from_millis(500)).await;
    drop(leaves);
    until("one has left", async || there().await == 1.0).await;
}

#[tokio::test]
async fn health_is_told_whoever_does_not_read() {
    let broker = Broker::in_memory(&[]).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut socket = TcpStream::connect(broker.http).await.expect("it listens");
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        socket.write_all(request.as_bytes()).await.expect("sent");
        silent.push(socket);
        assert_eq!(broker.page("/health/live").await.0, 200);
    }
    let http = ["reason=\"http\""];
    assert!(broker.metric("penstock_turned_away_total", &http).await > 0.0);
}

/// What a broker's HTTP port says to that before it closes the connection.
async fn told(broker: &Broker, request: &str) -> String {
    let mut socket = TcpStream::connect(broker.http).await.expect("it listens");
    // It may be closed before all was sent.
    let _ = socket.write_all(request.as_bytes()).await;
    let mut said = Vec::new();
    let read = timeout(REQUEST_MAX, socket.read_to_end(&mut said)).await;
    let _ = read.expect("it waits for more");
    String::from_utf8(said).expect("text")
}

#[tokio::test]
async fn bodies_and_endless_heads_are_not_read_where_health_is_told() {
    let broker = Broker::in_memory(&[]).await;
    let get = |more: &str| format!("GET /health/live HTTP/1.1\r\nHost: x\r\n{more}");
    let extension = format!("1;{}", "x".repeat(100_000));
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{extension}");
    let endless = format!("X: {}", "x".repeat(20_000));
    for (more, status) in [
        (chunked.as_str(), "413"),
        ("Content-Length: 1000000\r\n\r\n", "413"),
        ("Content-Length: 5\r\n\r\n12345", "413"),
        ("Content-Length: 0\r\nConnection: close\r\n\r\n", "200"),
        (endless.as_str(), "431"),
    ] {
        let said = told(&broker, &get(more)).await;
        let start = format!("HTTP/1.1 {status} ");
        assert!(said.starts_with(&start), "{status}: {said}");
    }
    assert_eq!(broker.page("/health/live").await.0, 200);
}

/// A socket from that address; false where the broker closes it without a word.
async fn gets_in(broker: SocketAddr, from: Ipv4Addr) -> (TcpStream, bool) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of ours");
    let mut socket = socket.connect(broker).await.expect("it listens");
    // ApiVersions 0, which is answered.
    let request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    let asked = async {
        socket.write_all(&request).await?;
        socket.read_u32().await
    };
    let answered = timeout(REQUEST_MAX, asked).await.expect("one or the other");
    (socket, answered.is_ok())
}

/// A broker whose log goes to a file.
async fn logging(log: &std::path::Path, more: &[&str]) -> Broker {
    let arguments = [
        &["dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"][..],
        &["--bucket", "memory:", "--store", "memory:"],
        more,
    ];
    let mut command = penstock(arguments.concat());
    command.stderr(std::fs::File::create(log).unwrap());
    Broker::start(&mut command).await
}

fn lines(log: &std::path::Path, with: &str) -> usize {
    let said = std::fs::read_to_string(log).unwrap();
    said.lines().filter(|line| line.contains(with)).count()
}

#[tokio::test]
async fn an_address_has_as_many_connections_as_it_may_and_the_log_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let broker = logging(&log, &["--connections-max-per-address", "5"]).await;
    let one = Ipv4Addr::new(127, 0, 0, 1);
    let mut inside = Vec::new();
    for _ in 0..5 {
        let (socket, is_in) = gets_in(broker.listen, one).await;
        assert!(is_in);
        inside.push(socket);
    }
    for _ in 0..50 {
        assert!(!gets_in(broker.listen, one).await.1);
    }
    assert!(gets_in(broker.listen, Ipv4Addr::new(127, 0, 0, 2)).await.1);
    inside.pop();
    until("one left, another comes", async || {
        gets_in(broker.listen, one).await.1
    })
    .await;
    let too_many = ["reason=\"connections_max_per_address\""];
    let counted = broker.metric("penstock_turned_away_total", &too_many).await;
    assert!(counted >= 50.0, "{counted}");
    assert_eq!(lines(&log, "--connections-max-per-address"), 1);
}

#[tokio::test]
async fn nonsense_is_counted_each_time_and_logged_once_in_a_while() {
    const TIMES: u32 = 300;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let broker = logging(&log, &[]).await;
    for length in 1..=TIMES {
        let mut client = Client::connect(broker.listen).await;
        client.send_raw(&(u32::MAX - length).to_be_bytes()).await;
        assert_eq!(client.receive_frame().await, None);
    }
    let counted = async || {
        let malformed = ["reason=\"malformed\""];
        broker
            .metric("penstock_turned_away_total", &malformed)
            .await
    };
    until("all are counted", async || {
        counted().await == f64::from(TIMES)
    })
    .await;
    let said = lines(&log, "closed a connection");
    assert!((1..=3).contains(&said), "{said} lines");
}

/// As of a producer whose bound was raised past the broker's.
#[tokio::test]
async fn a_produce_that_is_too_large_is_logged_with_its_size_and_the_bound() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let broker = logging(&log, &["--log", "warn"]).await;
    for _ in 0..20 {
        let mut client = Client::connect(broker.listen).await;
        client.send_raw(&start(150 << 20)).await;
        assert_eq!(client.receive_frame().await, None);
    }
    let one = "a Produce request of 157286400 bytes, of which at most 104857600 are read";
    until("it is logged", async || lines(&log, one) > 0).await;
    assert_eq!(lines(&log, "127.0.0.1"), 1);
}
