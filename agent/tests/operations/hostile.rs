//! A crowd that means harm, and one client that must not notice: its requests succeed, and the broker's memory stays
//! bounded while the crowd is there.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use protocol::compression::Codec;
use protocol::record_batch::repack;
use protocol::records::{BatchOptions, Record, build_batch};
use protocol::{ApiKey, ErrorCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::tools::{many_descriptors, noise, note, ready, records_of, until};
use crate::support::broker::Broker;
use crate::support::client::{Client, batch, fetch_request, list_offsets_request, produce_request};

const MIB: u64 = 1 << 20;
/// How long a crowd stays.
const SIEGE: Duration = Duration::from_secs(15);
/// A bound on liveness, not on speed: two busy cores serve the crowd, the broker and the test.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Each connection is idle for so long before it attacks, so that nearly all are there at any time.
const PAUSE: Duration = Duration::from_millis(500);
/// An array of 2^31-1 elements, and its compact form.
const ARRAY: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];
const COMPACT_ARRAY: [u8; 5] = [0x80, 0x80, 0x80, 0x80, 0x08];
const TAGS: usize = 10_000_000;
/// Partitions with a bomb in them.
const BOMBS_LAID: i32 = 64;
/// `TAGS` as a variable-length integer.
const TAG_COUNT: [u8; 4] = [0x80, 0xad, 0xe2, 0x04];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    /// A length of 2 GiB, or a negative one.
    HugeLength,
    /// A well-formed frame with an array of 2^31-1 elements.
    HugeArray,
    /// Ten million tagged fields, announced or sent.
    ManyTags,
    /// One byte a second.
    Trickle,
    /// A frame of 100 MiB, its first 16 KiB at once and then 10 KiB a second.
    SlowFrame,
    /// Many requests for much, whose answers nobody reads.
    NeverReads,
    /// Requests of a few bytes for each answer of a hundred, one after the other.
    AsksForMuch,
    /// Batches that unpack into a thousand times as much, to where they must be looked into.
    Bombs,
    /// Searches by time through such batches.
    SearchesBombs,
}

impl Attack {
    /// Until the broker ends the connection. `number` tells variants apart.
    async fn run(self, socket: &mut TcpStream, number: usize) -> io::Result<()> {
        match self {
            Self::HugeLength => {
                let lengths: [&[u8]; 3] = [&[0x7f, 0xff, 0xff, 0xff], &[0x80, 0, 0, 0], &[0xff; 4]];
                socket.write_all(lengths[number % 3]).await?;
                socket.write_all(&[0; 1000]).await?;
            }
            Self::HugeArray => socket.write_all(&huge_array(number)).await?,
            Self::ManyTags => send_tags(socket, number).await?,
            Self::Trickle => {
                for byte in frame(ApiKey::Metadata, 1, &[0; 100]) {
                    socket.write_all(&[byte]).await?;
                    sleep(Duration::from_secs(1)).await;
                }
            }
            Self::SlowFrame => {
                let mut bytes = vec![0; 16 * 1024];
                let start = frame(ApiKey::Produce, 3, &[]);
                bytes[..start.len()].copy_from_slice(&start);
                bytes[..4].copy_from_slice(&(100_u32 << 20).to_be_bytes());
                socket.write_all(&bytes).await?;
                loop {
                    socket.write_all(&[0; 1024]).await?;
                    sleep(Duration::from_millis(100)).await;
                }
            }
            Self::NeverReads => {
                let request = if number.is_multiple_of(2) {
                    greedy_fetch()
                } else {
                    // All topics.
                    frame(ApiKey::Metadata, 1, &[0xff; 4])
                };
                loop {
                    socket.write_all(&request).await?;
                }
            }
            Self::AsksForMuch => {
                let request = many_keys();
                loop {
                    socket.write_all(&request).await?;
                    let length = u64::from(socket.read_u32().await?);
                    let mut answer = (&mut *socket).take(length);
                    tokio::io::copy(&mut answer, &mut tokio::io::sink()).await?;
                }
            }
            Self::Bombs | Self::SearchesBombs => {
                let request = match self {
                    Self::Bombs => bombs(number),
                    _ => search_of_bombs(),
                };
                loop {
                    socket.write_all(&request).await?;
                    let length = u64::from(socket.read_u32().await?);
                    let mut answer = (&mut *socket).take(length);
                    tokio::io::copy(&mut answer, &mut tokio::io::sink()).await?;
                }
            }
        }
        socket.read_to_end(&mut Vec::new()).await?;
        Ok(())
    }
}

/// A record that unpacks into 100 MB: a long value, or very many empty headers, each of which must be looked at.
fn bomb(number: usize) -> Bytes {
    const BYTES: usize = 100_000_000;
    static BOMBS: LazyLock<[Bytes; 2]> = LazyLock::new(|| {
        let varint = |value: usize| {
            let mut left = value * 2;
            let mut bytes = Vec::new();
            while left > 0x7f {
                bytes.push(u8::try_from(left & 0x7f).expect("7 bits") | 0x80);
                left >>= 7;
            }
            bytes.push(u8::try_from(left).expect("7 bits"));
            bytes
        };
        // Attributes, timestamp, offset, a key of one byte.
        let start = [0, 0, 0, 2, b'k'];
        let value = [&start, &varint(BYTES)[..], &vec![0; BYTES], &[0]].concat();
        let headers = [0, 1].repeat(BYTES / 2);
        let headers = [&start, &[1][..], &varint(BYTES / 2), &headers].concat();
        let plain = build_batch(&[Record::default()], BatchOptions::default());
        [value, headers].map(|record| {
            let contents = [varint(record.len()), record].concat();
            repack(&plain, &contents, (Codec::Zstd, 1), &|| true).expect("it packs")
        })
    });
    BOMBS[number % 2].clone()
}

/// A Produce request of several bombs.
fn bombs(number: usize) -> Vec<u8> {
    let mut request = produce_request("bombs", 0, -1, bomb(number));
    let each = request.topic_data[0].partition_data[0].clone();
    request.topic_data[0].partition_data = vec![each; 20];
    whole(9, &request)
}

/// A search for the largest timestamp in each of the partitions that hold a bomb.
fn search_of_bombs() -> Vec<u8> {
    let all: Vec<_> = (0..BOMBS_LAID).map(|index| (index, -3)).collect();
    whole(10, &list_offsets_request("bombs", &all))
}

fn whole<R: protocol::Request>(version: i16, request: &R) -> Vec<u8> {
    let header = protocol::RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id: 7,
        client_id: None,
    };
    protocol::encode_request(&header, request).concat()
}

/// FindCoordinator for as many groups as fit in a frame: six bytes each, which is what a request may grow from.
fn many_keys() -> Vec<u8> {
    const KEYS: usize = 170_000;
    // The header's tagged fields, the kind of key, the compact length of the array.
    let mut body = vec![0, 0, 0x91, 0xb0, 0x0a];
    body.extend(b"\x06group".repeat(KEYS));
    body.push(0);
    frame(ApiKey::FindCoordinator, 4, &body)
}

/// A frame with a classic request header around a body.
fn frame(api: ApiKey, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.put_i16(api.code());
    frame.put_i16(version);
    frame.put_i32(7);
    frame.put_i16(-1);
    frame.extend_from_slice(body);
    let length = u32::try_from(frame.len() - 4).expect("small");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

fn huge_array(number: usize) -> Vec<u8> {
    let produce = [&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1][..], &ARRAY].concat();
    let fetch = [&[0; 17][..], &ARRAY].concat();
    let list_offsets = [&[0xff; 4][..], &ARRAY].concat();
    // No tagged fields in the header, then the compact form.
    let metadata = [&[0][..], &COMPACT_ARRAY].concat();
    let compact_produce = [&[0, 0, 0, 1, 0, 0, 0, 1][..], &COMPACT_ARRAY].concat();
    let mut frame = match number % 8 {
        0 => frame(ApiKey::Metadata, 1, &ARRAY),
        1 => frame(ApiKey::Produce, 3, &produce),
        2 => frame(ApiKey::Fetch, 4, &fetch),
        3 => frame(ApiKey::ListOffsets, 1, &list_offsets),
        4 => frame(ApiKey::Metadata, 9, &metadata),
        5 => frame(ApiKey::Produce, 9, &compact_produce),
        6 => frame(ApiKey::CreateTopics, 2, &ARRAY),
        _ => frame(ApiKey::DeleteTopics, 1, &ARRAY),
    };
    // Elements of a kind, as many as fit into what is read on credit.
    frame.resize(14_000, 0);
    frame[..4].copy_from_slice(&(14_000_u32 - 4).to_be_bytes());
    frame
}

/// A frame that announces ten million tagged fields; two of four also send them, 20 MB.
async fn send_tags(socket: &mut TcpStream, number: usize) -> io::Result<()> {
    let produce = [&[0, 0, 0, 1, 0, 0, 0, 1, 1][..], &TAG_COUNT].concat();
    let mut start = match number % 4 {
        0 | 1 => frame(ApiKey::Produce, 9, &TAG_COUNT),
        // No tagged fields in the header, an empty body, and then.
        _ => frame(ApiKey::Produce, 9, &produce),
    };
    if number.is_multiple_of(2) {
        return socket.write_all(&start).await;
    }
    let length = u32::try_from(start.len() - 4 + 2 * TAGS).expect("small");
    start[..4].copy_from_slice(&length.to_be_bytes());
    socket.write_all(&start).await?;
    let many = vec![0; 64 * 1024];
    let mut left = 2 * TAGS;
    while left > 0 {
        let piece = left.min(many.len());
        socket.write_all(&many[..piece]).await?;
        left -= piece;
    }
    Ok(())
}

/// Asks for as much as there is.
fn greedy_fetch() -> Vec<u8> {
    let mut request = fetch_request("large", 0, 0, 0);
    request.max_bytes = i32::MAX;
    request.topics[0].partitions[0].partition_max_bytes = i32::MAX;
    let header = protocol::RequestHeader {
        api_key: ApiKey::Fetch.code(),
        api_version: 12,
        correlation_id: 7,
        client_id: None,
    };
    protocol::encode_request(&header, &request).concat()
}

/// Sockets that keep attacking: who is thrown out comes back. All gone when dropped.
struct Crowd {
    sockets: JoinSet<()>,
    ended: Arc<AtomicUsize>,
}

impl Crowd {
    fn gather(broker: SocketAddr, attacks: &[(Attack, usize)]) -> Self {
        let ended = Arc::new(AtomicUsize::new(0));
        let mut sockets = JoinSet::new();
        for &(attack, count) in attacks {
            for number in 0..count {
                sockets.spawn(keep_attacking(attack, broker, number, Arc::clone(&ended)));
            }
        }
        Self { sockets, ended }
    }
}

async fn keep_attacking(
    attack: Attack,
    broker: SocketAddr,
    number: usize,
    ended: Arc<AtomicUsize>,
) {
    loop {
        let Ok(mut socket) = TcpStream::connect(broker).await else {
            sleep(PAUSE).await;
            continue;
        };
        sleep(PAUSE + Duration::from_millis(number as u64 % 500)).await;
        // However it ends, the broker ended it.
        let _ = attack.run(&mut socket, number).await;
        ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// The client that must not notice.
struct Good {
    broker: SocketAddr,
    client: Client,
    next: i64,
    longest: Duration,
}

impl Good {
    async fn new(broker: &Broker) -> Self {
        let mut client = Client::connect(broker.listen).await;
        assert_eq!(client.create_topic("good", 1, &[]).await, ErrorCode::NONE);
        Self {
            broker: broker.listen,
            client,
            next: 0,
            longest: Duration::ZERO,
        }
    }

    /// Produces a record and reads it back, every tenth time on a new connection.
    async fn round(&mut self) {
        let began = Instant::now();
        let round = timeout(REQUEST_MAX, async {
            if self.next % 10 == 9 {
                self.client = Client::connect(self.broker).await;
            }
            let value = format!("{:01000}", self.next);
            let placed = self.client.produce("good", 0, batch(&[&value])).await;
            assert_eq!(
                (placed.error_code, placed.base_offset),
                (ErrorCode::NONE, self.next)
            );
            let data = self.client.fetch("good", 0, self.next).await;
            assert_eq!(data.error_code, ErrorCode::NONE);
            assert_eq!(records_of(&data), [(self.next, value.into())]);
        });
        round.await.expect("a good client does not notice");
        self.next += 1;
        self.longest = self.longest.max(began.elapsed());
    }
}

/// A broker that may have as many sockets as the crowd opens.
async fn besieged(more: &[&str]) -> Broker {
    many_descriptors();
    let broker = Broker::in_memory(more).await;
    ready(&broker).await;
    broker
}

/// Lets a crowd in for a while; how much the broker's memory grew at the most.
async fn besiege(broker: &Broker, good: &mut Good, attacks: &[(Attack, usize)]) -> (u64, Crowd) {
    for _ in 0..50 {
        good.round().await;
    }
    let (before, rounds) = (broker.resident(), good.next);
    good.longest = Duration::ZERO;
    let crowd = Crowd::gather(broker.listen, attacks);
    let wanted: usize = attacks.iter().map(|(_, count)| count).sum();
    let there = wanted as f64 * 0.9;
    until("the crowd is there", async || {
        broker.metric("penstock_connections", &[]).await > there
    })
    .await;
    let over = Instant::now() + SIEGE;
    let mut peak = 0;
    while Instant::now() < over {
        good.round().await;
        peak = peak.max(broker.resident());
        sleep(Duration::from_millis(20)).await;
    }
    let grown = peak.saturating_sub(before);
    note(&format!(
        "{attacks:?}: memory grew by {:.1} MiB from {:.1}, {} connections were ended, {} good rounds of at most {:?}",
        grown as f64 / MIB as f64,
        before as f64 / MIB as f64,
        crowd.ended.load(Ordering::Relaxed),
        good.next - rounds,
        good.longest
    ));
    assert!(good.next - rounds >= 10, "{} rounds", good.next - rounds);
    assert!(!crowd.sockets.is_empty());
    (grown, crowd)
}

#[tokio::test]
async fn a_thousand_bad_sockets_cost_little_and_disturb_nobody() {
    let broker = besieged(&[]).await;
    let mut good = Good::new(&broker).await;
    let attacks = [
        (Attack::HugeLength, 250),
        (Attack::HugeArray, 250),
        (Attack::ManyTags, 250),
        (Attack::Trickle, 250),
    ];
    let (grown, crowd) = besiege(&broker, &mut good, &attacks).await;
    // The sockets, and half of what requests may take while they are decoded.
    assert!(grown < (64 + 32) * MIB, "{grown} bytes");
    // Nothing of that sort stays connected: all but the slow ones again and again, those after 10 s.
    assert!(crowd.ended.load(Ordering::Relaxed) > 1000);
    assert_eq!(broker.page("/health/ready").await.0, 200);
}

#[tokio::test]
async fn huge_frames_sent_slowly_wait_for_permits() {
    let broker = besieged(&[]).await;
    let mut good = Good::new(&broker).await;
    let (grown, _crowd) = besiege(&broker, &mut good, &[(Attack::SlowFrame, 300)]).await;
    assert!(grown < 64 * MIB, "{grown} bytes");
}

#[tokio::test]
async fn requests_for_much_are_answered_one_by_one() {
    let broker = besieged(&[]).await;
    let mut good = Good::new(&broker).await;
    let (grown, crowd) = besiege(&broker, &mut good, &[(Attack::AsksForMuch, 32)]).await;
    // Each of them takes some 70 MiB while it is answered; all at once would take two GiB.
    assert!(grown < 512 * MIB, "{grown} bytes");
    let answered = broker
        .metric("penstock_requests_total", &["FindCoordinator"])
        .await;
    assert!(answered > 5.0 && crowd.ended.load(Ordering::Relaxed) == 0);
}

#[tokio::test]
async fn clients_that_never_read_hold_up_nobody() {
    let broker = besieged(&["--cache-memory", "64MiB"]).await;
    let mut good = Good::new(&broker).await;
    assert_eq!(
        good.client.create_topic("large", 1, &[]).await,
        ErrorCode::NONE
    );
    for number in 0..40 {
        let value = noise(number, 960 * 1024);
        let record = Record {
            value: Some(value.into()),
            ..Default::default()
        };
        let batch = build_batch(&[record], BatchOptions::default());
        let answer = good
            .client
            .ask(9, &produce_request("large", 0, -1, batch))
            .await;
        assert_eq!(
            answer.responses[0].partition_responses[0].error_code,
            ErrorCode::NONE
        );
    }
    let (grown, _crowd) = besiege(&broker, &mut good, &[(Attack::NeverReads, 100)]).await;
    // Fetched bytes on their way to clients have a budget of 256 MiB.
    assert!(grown < 320 * MIB, "{grown} bytes");
}

#[tokio::test]
async fn batches_that_unpack_into_much_disturb_nobody() {
    let broker = besieged(&[]).await;
    let mut good = Good::new(&broker).await;
    let settings = [("cleanup.policy", "compact")];
    let made = good
        .client
        .create_topic("bombs", BOMBS_LAID, &settings)
        .await;
    assert_eq!(made, ErrorCode::NONE);
    for partition in 0..BOMBS_LAID {
        let number = usize::try_from(partition).expect("small");
        let laid = good.client.produce("bombs", partition, bomb(number)).await;
        assert_eq!(laid.error_code, ErrorCode::NONE);
    }
    let attacks = [(Attack::Bombs, 20), (Attack::SearchesBombs, 20)];
    let (grown, _crowd) = besiege(&broker, &mut good, &attacks).await;
    assert!(grown < 128 * MIB, "{grown} bytes");
    assert!(good.longest < Duration::from_secs(2), "{:?}", good.longest);
}
