//! Fetch: which batches come, within which limits, when they come, and what is refused.

mod batches;
mod requests;
mod waiting;

use protocol::messages::fetch::{FetchPartition, PartitionData};
use protocol::messages::{FetchRequest, FetchResponse};
use protocol::{ApiKey, ErrorCode};

use crate::shapes;
use crate::support::client::fetch_request;

/// Longer than any test waits: whoever gets an answer did not sleep it out.
const LONG_MS: i32 = 600_000;

fn versions() -> std::ops::RangeInclusive<i16> {
    ApiKey::Fetch.versions()
}

fn only(response: &FetchResponse) -> &PartitionData {
    assert_eq!(response.error_code, ErrorCode::NONE);
    assert_eq!(
        (
            response.responses.len(),
            response.responses[0].partitions.len()
        ),
        (1, 1)
    );
    &response.responses[0].partitions[0]
}

/// What a fetch of several partitions of one topic asks for: index, offset, byte limit.
fn several(topic: &str, wanted: &[(i32, i64, i32)], max_bytes: i32) -> FetchRequest {
    let mut request = fetch_request(topic, 0, 0, 0);
    request.max_bytes = max_bytes;
    let partitions = wanted
        .iter()
        .map(|(partition, fetch_offset, limit)| FetchPartition {
            partition: *partition,
            current_leader_epoch: -1,
            fetch_offset: *fetch_offset,
            partition_max_bytes: *limit,
            ..Default::default()
        });
    request.topics[0].partitions = partitions.collect();
    request
}

fn sizes(response: &FetchResponse) -> Vec<usize> {
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    partitions
        .map(|partition| shapes::batches(&partition.records).len())
        .collect()
}
