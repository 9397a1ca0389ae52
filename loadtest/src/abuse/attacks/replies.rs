//! Requests whose answers are far larger than they are.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::messages::describe_configs::DescribeConfigsResource;
use protocol::messages::metadata::MetadataRequestTopic;
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::messages::{DescribeConfigsRequest, MetadataRequest, ProduceRequest};

use super::topics;
use crate::abuse::good::{self, Target};
use crate::abuse::manners::{Attack, asks, frame, never_reads};
use crate::produce;

const METADATA_VERSION: i16 = 9;
const PRODUCE_VERSION: i16 = 9;
const DESCRIBE_VERSION: i16 = 4;
/// Kafka's number of what has settings.
const TOPIC: i8 = 2;

type Ready<'a> = BoxFuture<'a, anyhow::Result<Vec<Attack>>>;

/// Metadata of a million partitions, which half of those who ask for it do not read.
pub(in crate::abuse) fn metadata(target: &Target) -> Ready<'_> {
    async {
        let names = topics::names(if target.short { 10 } else { 100 });
        topics::create_all(target, &names, 10_000, &[]).await?;
        let request = MetadataRequest {
            topics: None,
            ..Default::default()
        };
        let unread = frame(METADATA_VERSION, &request);
        Ok(vec![
            asks(8, &target.kafka, METADATA_VERSION, &[request]),
            never_reads(8, &target.kafka, unread),
        ])
    }
    .boxed()
}

/// Names of three letters that are of no topic, mostly because they cannot be: on two connections as many as there is room for
/// in a frame, and on two as many as a broker tells of.
pub(in crate::abuse) fn many_names(target: &Target) -> Ready<'_> {
    const LETTERS: usize = 127;
    async {
        let name = |number: usize| {
            let letters = [number / LETTERS / LETTERS, number / LETTERS, number];
            let letter =
                |place: usize| char::from(u8::try_from(place % LETTERS + 1).unwrap_or(b'x'));
            letters.map(letter).iter().collect::<String>()
        };
        let topic = |number| MetadataRequestTopic {
            name: Some(name(number)),
            ..Default::default()
        };
        let request = |count| MetadataRequest {
            topics: Some((0..count).map(topic).collect()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let [most, answered] = match target.short {
            true => [400_000, 30_000],
            false => [1_600_000, 128 * 1024],
        };
        let asks = |count| asks(2, &target.kafka, METADATA_VERSION, &[request(count)]);
        Ok(vec![asks(most), asks(answered)])
    }
    .boxed()
}

/// Four million partitions without records: six bytes of the request each.
pub(in crate::abuse) fn nulls(target: &Target) -> Ready<'_> {
    async {
        topics::create(target, "nulls", 1, &[]).await?;
        let count = if target.short { 100_000 } else { 4_000_000 };
        let null = PartitionProduceData {
            index: 0,
            records: None,
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 60_000,
            topic_data: vec![TopicProduceData {
                name: "nulls".to_owned(),
                partition_data: vec![null; count],
            }],
            ..Default::default()
        };
        Ok(vec![asks(2, &target.kafka, PRODUCE_VERSION, &[request])])
    }
    .boxed()
}

/// Sixteen that send, as fast as it is taken, one small batch and three thousand partitions without one, again and again, and
/// read no answer.
pub(in crate::abuse) fn unread_acks(target: &Target) -> Ready<'_> {
    async {
        topics::create(target, "acks", 1, &[]).await?;
        let batch = good::batch(Bytes::from_static(b"stored"));
        let mut request = produce::request("acks", 0, batch);
        let null = PartitionProduceData {
            index: 0,
            records: None,
        };
        for topic in &mut request.topic_data {
            topic.partition_data.extend(vec![null.clone(); 3000]);
        }
        let unread = frame(PRODUCE_VERSION, &request);
        Ok(vec![never_reads(16, &target.kafka, unread)])
    }
    .boxed()
}

/// Forty thousand topics that are not there, whose names the answer repeats, which half of those who ask do not read.
pub(in crate::abuse) fn long_names(target: &Target) -> Ready<'_> {
    async {
        let count = if target.short { 1000 } else { 40_000 };
        let topic = |number| TopicProduceData {
            name: format!("{number:0>249}"),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: None,
            }],
        };
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 60_000,
            topic_data: (0..count).map(topic).collect(),
            ..Default::default()
        };
        let unread = frame(PRODUCE_VERSION, &request);
        Ok(vec![
            asks(8, &target.kafka, PRODUCE_VERSION, &[request]),
            never_reads(8, &target.kafka, unread),
        ])
    }
    .boxed()
}

/// All settings of sixty thousand topics, each with its words.
pub(in crate::abuse) fn described(target: &Target) -> Ready<'_> {
    async {
        let names = topics::names(if target.short { 2000 } else { 60_000 });
        topics::create_all(target, &names, 1, &[]).await?;
        let resource = |resource_name| DescribeConfigsResource {
            resource_type: TOPIC,
            resource_name,
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest {
            resources: names.into_iter().map(resource).collect(),
            include_synonyms: true,
            include_documentation: true,
        };
        Ok(vec![asks(4, &target.kafka, DESCRIBE_VERSION, &[request])])
    }
    .boxed()
}
