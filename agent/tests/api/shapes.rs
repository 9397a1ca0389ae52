//! What the files of this folder share: a broker with a connection to it, requests in their shortest form, and a look
//! into record batches.

use bytes::Bytes;
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::messages::{InitProducerIdRequest, ProduceRequest};
use protocol::record_batch::{BatchHeader, crc_matches};
use protocol::records::{BatchOptions, Record, build_batch, records};
use protocol::{ErrorCode, Records, Request, RequestHeader};

use crate::support::broker::Broker;
use crate::support::client::{Client, batch_with};

/// A broker that keeps everything in memory, and a connection to it.
pub(crate) async fn start(more: &[&str]) -> (Broker, Client) {
    let broker = Broker::in_memory(more).await;
    let client = Client::connect(broker.listen).await;
    (broker, client)
}

/// A request as the bytes of its frame, length included.
pub(crate) fn frame<R: Request>(version: i16, correlation_id: i32, request: &R) -> Vec<u8> {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id,
        client_id: Some("test".into()),
    };
    protocol::encode_request(&header, request).concat()
}

/// Milliseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the broker is another process and reads the same clock"
)]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("before the year 292278994")
}

/// Batches for partitions of one topic.
pub(crate) fn of_topic(
    name: &str,
    batches: impl IntoIterator<Item = (i32, Bytes)>,
) -> TopicProduceData {
    let partition_data = batches
        .into_iter()
        .map(|(index, batch)| PartitionProduceData {
            index,
            records: Some(Records::from(batch)),
        });
    TopicProduceData {
        name: name.to_owned(),
        partition_data: partition_data.collect(),
    }
}

/// A Produce request for several topics.
pub(crate) fn produce_topics(acks: i16, topic_data: Vec<TopicProduceData>) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data,
        ..Default::default()
    }
}

/// A request for a producer id.
pub(crate) fn init(
    transactional_id: Option<&str>,
    producer_id: i64,
    producer_epoch: i16,
) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: transactional_id.map(str::to_owned),
        transaction_timeout_ms: 60_000,
        producer_id,
        producer_epoch,
    }
}

/// An id that was handed out, with which batches may be numbered.
pub(crate) async fn new_producer(client: &mut Client) -> i64 {
    let given = client.ask(4, &init(None, -1, -1)).await;
    assert_eq!(
        (given.error_code, given.producer_epoch),
        (ErrorCode::NONE, 0)
    );
    given.producer_id
}

/// A batch of an idempotent producer.
pub(crate) fn numbered(
    values: &[&str],
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
) -> Bytes {
    let options = BatchOptions {
        producer_id,
        producer_epoch,
        base_sequence,
        ..BatchOptions::default()
    };
    batch_with(values, options)
}

/// A batch of records with those timestamps.
pub(crate) fn stamped(timestamps: &[i64], options: BatchOptions) -> Bytes {
    let base = timestamps.first().copied().unwrap_or(0);
    let records: Vec<Record> = (0..)
        .zip(timestamps)
        .map(|(offset_delta, timestamp)| Record {
            offset_delta,
            timestamp_delta: timestamp - base,
            value: Some(Bytes::from_static(b"a value")),
            ..Record::default()
        })
        .collect();
    build_batch(
        &records,
        BatchOptions {
            base_timestamp: base,
            ..options
        },
    )
}

/// A batch of one record that has exactly so many bytes.
pub(crate) fn batch_of_size(bytes: usize) -> Bytes {
    let build = |value: usize| batch_with(&[&"x".repeat(value)], BatchOptions::default());
    let start = bytes - 100;
    let built = build(start + bytes - build(start).len());
    assert_eq!(
        built.len(),
        bytes,
        "no length prefix changes its own length on the way"
    );
    built
}

/// A batch with some bytes replaced, and a checksum that fits them.
pub(crate) fn altered(batch: &Bytes, at: usize, with: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[21..]);
    let crc = u32::try_from(crc).expect("a CRC of 32 bits");
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(bytes)
}

/// Record batches one by one: each must be whole and match its checksum.
pub(crate) fn batches(records: &Option<Records>) -> Vec<(BatchHeader, Bytes)> {
    let records = records.as_ref().expect("records are not null");
    let mut rest = Bytes::from(records.0.concat());
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let header = BatchHeader::read(&rest).expect("a whole header");
        assert!(header.size <= rest.len(), "batches are not cut");
        let batch = rest.split_to(header.size);
        assert!(crc_matches(&batch, &header), "the checksum fits");
        batches.push((header, batch));
    }
    batches
}

/// The values in record batches, in order.
pub(crate) fn values(fetched: &Option<Records>) -> Vec<String> {
    let text = |value: Option<Bytes>| String::from_utf8(value.expect("a value").to_vec());
    batches(fetched)
        .iter()
        .flat_map(|(_, batch)| records(batch, 1 << 24).expect("they unpack"))
        .map(|record| text(record.expect("a record").value).expect("text"))
        .collect()
}
