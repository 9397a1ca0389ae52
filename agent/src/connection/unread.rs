//! A client that sends and hardly reads, beside one that does, by a clock that the tests move.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::messages::metadata::MetadataRequestTopic;
use protocol::messages::produce::PartitionProduceData;
use protocol::messages::{MetadataRequest, ProduceRequest};
use protocol::records::{BatchOptions, Record, build_batch};
use protocol::{Records, Request, RequestHeader, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

use super::Close;
use super::arrivals::Unknown;
use super::serve::serve;
use crate::admission::Admission;
use crate::call::{Arrival, ConnectionId};
use crate::dispatch::Dispatch;
use crate::reading::Reading;
use crate::rights::requests::produce;
use crate::rights::rooms::{TOPIC, with_rooms};
use crate::tasks::Tasks;

const MIB: usize = 1 << 20;
const VERSION: i16 = 9;
/// The longest names that topics have.
const NAME_BYTES: usize = 249;

/// The client's side of a connection.
struct Client {
    requests: DuplexStream,
    replies: DuplexStream,
}

impl Client {
    /// One from an address that ends in that, of whose replies so much fits on the way; and what serves it.
    fn connect(
        (rooms, admission): (&Arc<Dispatch>, &Admission),
        last: u8,
        on_the_way: usize,
    ) -> (Self, impl Future<Output = Result<(), Close>>) {
        let (requests, read) = duplex(8 * MIB);
        let (replies, write) = duplex(on_the_way);
        let (id, address) = (u64::from(last), IpAddr::from([10, 0, 0, last]));
        let arrival = Arrival::new(ConnectionId(id), "here".to_owned(), Some(address));
        let room = (admission.clone(), Reading::default().reader());
        let rooms = Arc::clone(rooms);
        let served = Box::pin(async move {
            let tasks = Tasks::new();
            let socket = (Unknown(read), write);
            Box::pin(serve(arrival, socket, rooms, room, tasks.stopping())).await
        });
        (Self { requests, replies }, served)
    }

    /// The answer to a request, with nothing before it.
    async fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.requests.write_all(request).await.unwrap();
        let bytes = self.replies.read_u32().await.unwrap();
        let mut answer = vec![0; bytes as usize];
        self.replies.read_exact(&mut answer).await.unwrap();
        answer
    }

    /// Sends that, and reads a byte now and then, just often enough.
    async fn hardly_reads(mut self, sends: Vec<u8>) {
        self.requests.write_all(&sends).await.unwrap();
        loop {
            sleep(Duration::from_secs(50)).await;
            if self.replies.read_u8().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn frame<R: Request>(request: &R) -> Vec<u8> {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: VERSION,
        correlation_id: 7,
        client_id: None,
    };
    encode_request(&header, request).concat()
}

/// Produce of one batch.
fn batch() -> ProduceRequest {
    let mut request = produce(&[TOPIC], None);
    let batch = build_batch(&[Record::default()], BatchOptions::default());
    request.topic_data[0].partition_data[0].records = Some(Records::from(batch));
    request
}

/// The same, and three thousand partitions without a batch.
fn mostly_refused() -> ProduceRequest {
    let mut request = batch();
    let null = PartitionProduceData {
        index: 0,
        records: None,
    };
    let partitions = &mut request.topic_data[0].partition_data;
    partitions.extend(vec![null; 3000]);
    request
}

/// Those partitions alone.
fn refused() -> ProduceRequest {
    let mut request = mostly_refused();
    request.topic_data[0].partition_data.remove(0);
    request
}

/// Metadata of so many topics that are not there, with the longest names.
fn metadata(count: usize) -> MetadataRequest {
    let named = |number| MetadataRequestTopic {
        name: Some(format!("{number:0>NAME_BYTES$}")),
        ..MetadataRequestTopic::default()
    };
    MetadataRequest {
        topics: Some((0..count).map(named).collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    }
}

/// Read behind answers that nobody took, it had all the room that such requests have, for as long as its client liked.
#[tokio::test(start_paused = true)]
async fn a_large_request_behind_unread_answers_keeps_none_of_others_waiting() {
    with_rooms(async |rooms| {
        let large = frame(&metadata(17_000));
        assert!(large.len() > 4 * MIB);
        let sends = [frame(&batch()).repeat(5), large].concat();
        let broker = (rooms, &Admission::new(256 * MIB, MIB));
        let (unread, serves_it) = Client::connect(broker, 1, 16);
        let (mut other, serves_other) = Client::connect(broker, 2, MIB);
        let asks = async {
            sleep(Duration::from_secs(5)).await;
            let request = frame(&metadata(160));
            assert!(request.len() > 40_000 && request.len() < 50_000);
            timeout(Duration::from_secs(2), other.ask(&request)).await
        };
        tokio::select! {
            answer = asks => assert!(answer.expect("it waits").len() > 40_000),
            _ = serves_it => unreachable!("nobody waits for it"),
            _ = serves_other => unreachable!("it stays"),
            () = unread.hardly_reads(sends) => unreachable!("it goes on"),
        }
    })
    .await;
}

/// What was held behind the first answer was charged to nobody once it was stored; and refused, it was never given back, for
/// that answer holds none of what others waited for.
#[tokio::test(start_paused = true)]
async fn who_has_much_to_be_told_and_takes_nothing_is_dropped_where_he_has_all_he_may_hold() {
    with_rooms(async |rooms| {
        let broker = (rooms, &Admission::new(256 * MIB, MIB));
        for much in [mostly_refused(), refused()] {
            let sends = [frame(&batch()), frame(&much).repeat(200)].concat();
            let (unread, served) = Client::connect(broker, 1, 16);
            let ended = tokio::select! {
                ended = timeout(Duration::from_secs(30), served) => ended,
                () = unread.hardly_reads(sends) => unreachable!("it goes on"),
            };
            assert!(matches!(ended, Ok(Err(Close::NotReading))), "{ended:?}");
            assert_eq!(rooms.context.admission.answer_bytes(), 0);
        }
    })
    .await;
}
