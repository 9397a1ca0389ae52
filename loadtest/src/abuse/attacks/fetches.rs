//! Fetches for far more than they say: the same partition over and over, very many that wait for ever, answers that nobody
//! reads, and limits of a byte that a broker reads a megabyte for.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::messages::FetchRequest;
use protocol::messages::fetch::{FetchPartition, FetchTopic};

use super::topics;
use crate::abuse::good::{self, Target};
use crate::abuse::manners::{Attack, asks, frame, never_reads};

/// The oldest, in which a partition takes least of a request.
const VERSION: i16 = 4;
const TOPIC: &str = "stored";
/// As large as a batch may be by default, about.
const BATCH_BYTES: usize = 1_000_000;

type Ready<'a> = BoxFuture<'a, anyhow::Result<Vec<Attack>>>;

/// A megabyte in each of so many partitions.
async fn store(target: &Target, partitions: i32) -> anyhow::Result<()> {
    topics::create(target, TOPIC, partitions, &[]).await?;
    let batch = good::batch(Bytes::from(vec![b'x'; BATCH_BYTES]));
    topics::fill(target, TOPIC, partitions, &batch).await
}

fn partition(partition: i32, partition_max_bytes: i32) -> FetchPartition {
    FetchPartition {
        partition,
        fetch_offset: 0,
        partition_max_bytes,
        ..Default::default()
    }
}

fn topic(topic: &str, partitions: Vec<FetchPartition>) -> FetchTopic {
    FetchTopic {
        topic: topic.to_owned(),
        partitions,
    }
}

/// Requests of 16 and of 960 KB that name one partition.
pub(in crate::abuse) fn repeated_partitions(target: &Target) -> Ready<'_> {
    async {
        store(target, 1).await?;
        let request = |times| FetchRequest {
            min_bytes: 1,
            max_bytes: i32::MAX,
            topics: vec![topic(TOPIC, vec![partition(0, 1 << 20); times])],
            ..Default::default()
        };
        let requests = [request(1000), request(60_000)];
        Ok(vec![asks(4, &target.kafka, VERSION, &requests)])
    }
    .boxed()
}

/// Requests for 400,000 partitions at whose ends nothing comes.
pub(in crate::abuse) fn waiting_wants(target: &Target) -> Ready<'_> {
    async {
        const EACH: i32 = 10_000;
        let names = topics::names(if target.short { 4 } else { 40 });
        topics::create_all(target, &names, EACH, &[]).await?;
        let partitions: Vec<_> = (0..EACH).map(|index| partition(index, 1 << 20)).collect();
        let wanted = names.iter().map(|name| topic(name, partitions.clone()));
        let request = FetchRequest {
            max_wait_ms: i32::MAX,
            min_bytes: i32::MAX,
            max_bytes: i32::MAX,
            topics: wanted.collect(),
            ..Default::default()
        };
        Ok(vec![asks(8, &target.kafka, VERSION, &[request])])
    }
    .boxed()
}

/// Those who wait for all of these partitions, each for some, until something comes.
fn waits(partitions: std::ops::Range<i32>) -> FetchRequest {
    FetchRequest {
        max_wait_ms: i32::MAX,
        min_bytes: 1,
        max_bytes: i32::MAX,
        topics: vec![topic(
            TOPIC,
            partitions.map(|index| partition(index, 1 << 20)).collect(),
        )],
        ..Default::default()
    }
}

/// Thirty-two that wait, each for 2,048 partitions that nobody else reads: 65,536 together.
pub(in crate::abuse) fn waiting_views(target: &Target) -> Ready<'_> {
    async {
        const EACH: i32 = 2048;
        let sockets = if target.short { 4 } else { 32 };
        let names = topics::names(8);
        topics::create_all(target, &names, EACH * sockets / 8, &[]).await?;
        let each = EACH / 8;
        let request = |socket: i32| FetchRequest {
            topics: names
                .iter()
                .map(|name| {
                    let partitions = socket * each..(socket + 1) * each;
                    topic(
                        name,
                        partitions.map(|index| partition(index, 1 << 20)).collect(),
                    )
                })
                .collect(),
            ..waits(0..0)
        };
        let requests: Vec<_> = (0..sockets).map(request).collect();
        Ok(vec![asks(
            requests.len(),
            &target.kafka,
            VERSION,
            &requests,
        )])
    }
    .boxed()
}

/// Eight that wait for 16,384 partitions, and for the one that the good client produces to.
pub(in crate::abuse) fn woken_polls(target: &Target) -> Ready<'_> {
    async {
        const EACH: i32 = 8192;
        let names = topics::names(2);
        topics::create_all(target, &names, EACH, &[]).await?;
        let mut request = FetchRequest {
            min_bytes: i32::MAX,
            ..waits(0..0)
        };
        request.topics = vec![topic(good::TOPIC, vec![partition(0, 1)])];
        let all: Vec<_> = (0..EACH).map(|index| partition(index, 1 << 20)).collect();
        request
            .topics
            .extend(names.iter().map(|name| topic(name, all.clone())));
        Ok(vec![asks(8, &target.kafka, VERSION, &[request])])
    }
    .boxed()
}

/// Three hundred that want all there is and never read it.
pub(in crate::abuse) fn never_read(target: &Target) -> Ready<'_> {
    async {
        const PARTITIONS: i32 = 60;
        store(target, PARTITIONS).await?;
        let all = (0..PARTITIONS).map(|index| partition(index, i32::MAX));
        let request = FetchRequest {
            min_bytes: 1,
            max_bytes: i32::MAX,
            topics: vec![topic(TOPIC, all.collect())],
            ..Default::default()
        };
        let bytes = frame(VERSION, &request);
        Ok(vec![never_reads(300, &target.kafka, bytes)])
    }
    .boxed()
}

/// A byte of each of three hundred partitions, and a megabyte in all.
pub(in crate::abuse) fn one_byte_limits(target: &Target) -> Ready<'_> {
    async {
        let partitions = if target.short { 50 } else { 300 };
        store(target, partitions).await?;
        let all = (0..partitions).map(|index| partition(index, 1));
        let request = FetchRequest {
            min_bytes: 1,
            max_bytes: 1 << 20,
            topics: vec![topic(TOPIC, all.collect())],
            ..Default::default()
        };
        Ok(vec![asks(4, &target.kafka, VERSION, &[request])])
    }
    .boxed()
}
