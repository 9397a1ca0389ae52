//! Very many tiny batches in one frame.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::Records;
use protocol::messages::ProduceRequest;
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::records::{BatchOptions, Record, build_batch};

use super::topics;
use crate::abuse::good::Target;
use crate::abuse::manners::{Attack, asks};
use crate::produce;

const VERSION: i16 = 9;
const TOPIC: &str = "tiny";
const PARTITIONS_EACH: i32 = 10_000;

/// Six hundred thousand of one empty record each for one partition, or one for each of a hundred thousand partitions.
pub(in crate::abuse) fn tiny(target: &Target) -> BoxFuture<'_, anyhow::Result<Vec<Attack>>> {
    async {
        topics::create(target, TOPIC, 1, &[]).await?;
        let (count, names) = match target.short {
            true => (60_000, topics::names(1)),
            false => (600_000, topics::names(10)),
        };
        topics::create_all(target, &names, PARTITIONS_EACH, &[]).await?;
        let one = build_batch(&[Record::default()], BatchOptions::default());
        let together = produce::request(TOPIC, 0, Bytes::from(one.repeat(count)));
        let partition = |index| PartitionProduceData {
            index,
            records: Some(Records::from(one.clone())),
        };
        let topic = |name| TopicProduceData {
            name,
            partition_data: (0..PARTITIONS_EACH).map(partition).collect(),
        };
        let apart = ProduceRequest {
            topic_data: names.into_iter().map(topic).collect(),
            ..together.clone()
        };
        Ok(vec![asks(2, &target.kafka, VERSION, &[together, apart])])
    }
    .boxed()
}
