//! Produce: what is checked and how it is refused, acks, order, and the offsets that batches get.

mod acks;
mod checks;
mod offsets;
mod refusals;

use bytes::Bytes;
use protocol::messages::ProduceResponse;
use protocol::messages::produce::PartitionProduceResponse;
use protocol::records::BatchOptions;
use protocol::{ApiKey, ErrorCode};

use crate::shapes::stamped;
use crate::support::client::Client;

const HOUR_MS: i64 = 3_600_000;

fn versions() -> std::ops::RangeInclusive<i16> {
    ApiKey::Produce.versions()
}

fn only(response: &ProduceResponse) -> &PartitionProduceResponse {
    assert_eq!(response.responses.len(), 1);
    assert_eq!(response.responses[0].partition_responses.len(), 1);
    &response.responses[0].partition_responses[0]
}

async fn high_watermark(client: &mut Client, topic: &str) -> i64 {
    client.fetch(topic, 0, 0).await.high_watermark
}

fn at(timestamp: i64) -> Bytes {
    stamped(&[timestamp], BatchOptions::default())
}

async fn topics_to_be_refused(client: &mut Client) {
    for (name, configs) in [
        ("t", &[][..]),
        ("small", &[("max.message.bytes", "500")]),
        ("recent", &[("message.timestamp.before.max.ms", "3600000")]),
        ("keyed", &[("cleanup.policy", "compact")]),
    ] {
        assert_eq!(client.create_topic(name, 1, configs).await, ErrorCode::NONE);
    }
}
