//! What the tests of the crate share: messages filled from a seed, and a walk over every API. The list of fields below
//! is exhaustive: a field added to a message does not compile here until it is filled.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the verdict"
)]
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::fmt::Debug;

use bytes::Bytes;
use protocol::{ErrorCode, Records, Request, RequestHeader, Uuid, for_each_api, messages};

/// What a filled message looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Arrays of one to three, texts and numbers that are not the default.
    Full,
    /// Arrays and texts of no length.
    Empty,
    /// Null wherever there is a null, arrays of one.
    Null,
    /// The ends of every integer's range, texts of several hundred bytes beyond ASCII, longer arrays.
    Extreme,
    /// Any of these, field by field.
    Mixed,
}

pub(crate) const SHAPES: [Shape; 5] = [
    Shape::Full,
    Shape::Empty,
    Shape::Null,
    Shape::Extreme,
    Shape::Mixed,
];

/// Yields values, the same ones for the same seed.
#[derive(Debug)]
pub(crate) struct Filler {
    state: u64,
    shape: Shape,
}

impl Filler {
    pub(crate) fn new(seed: u64, shape: Shape) -> Self {
        Self {
            state: seed ^ 0x5851_f42d_4c95_7f2d,
            shape,
        }
    }

    /// The next number (splitmix64).
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`, which is positive.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap();
        usize::try_from(self.next() % bound).unwrap()
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    fn shape(&mut self) -> Shape {
        match self.shape {
            Shape::Mixed => SHAPES[self.below(4)],
            shape => shape,
        }
    }

    fn count(&mut self) -> usize {
        match self.shape() {
            Shape::Empty => 0,
            Shape::Null => 1,
            Shape::Extreme => 2 + self.below(3),
            _ => 1 + self.below(3),
        }
    }
}

pub(crate) trait Fill: Sized {
    fn fill(filler: &mut Filler) -> Self;
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Fill for $type {
            fn fill(filler: &mut Filler) -> Self {
                let bytes = filler.next().to_le_bytes();
                match filler.shape() {
                    Shape::Extreme if bytes[7] & 1 == 0 => Self::MIN,
                    Shape::Extreme => Self::MAX,
                    Shape::Empty => 0,
                    // Neither 0 nor -1, which are the defaults.
                    _ => Self::from_le_bytes(*bytes.first_chunk().unwrap()) & !3 | 2,
                }
            }
        }
    )*};
}

integers!(i8, i16, i32, i64);

impl Fill for bool {
    fn fill(filler: &mut Filler) -> Self {
        filler.shape() == Shape::Full || filler.next() & 1 == 1
    }
}

impl Fill for String {
    fn fill(filler: &mut Filler) -> Self {
        match filler.shape() {
            Shape::Empty => Self::new(),
            // Past 127, where a compact length takes a second byte.
            Shape::Extreme => "\u{e9}\u{4e2d}\u{1f980}x".repeat(20 + filler.below(30)),
            _ => format!("text-{}", filler.below(1000)),
        }
    }
}

impl Fill for Uuid {
    fn fill(filler: &mut Filler) -> Self {
        match filler.shape() {
            Shape::Empty => Self(0),
            Shape::Extreme => Self(u128::MAX),
            _ => Self(u128::from(filler.next()) << 64 | u128::from(filler.next())),
        }
    }
}

impl Fill for ErrorCode {
    fn fill(filler: &mut Filler) -> Self {
        match filler.shape() {
            Shape::Empty => Self::NONE,
            Shape::Extreme => Self::UNKNOWN_SERVER_ERROR,
            _ => [Self::CORRUPT_MESSAGE, Self::UNKNOWN_TOPIC_ID][filler.below(2)],
        }
    }
}

impl Fill for Records {
    fn fill(filler: &mut Filler) -> Self {
        let slices = filler.count();
        let slice = |_| {
            let length = filler.below(200);
            Bytes::from(filler.bytes(length))
        };
        Self((0..slices).map(slice).collect())
    }
}

impl<T: Fill> Fill for Option<T> {
    fn fill(filler: &mut Filler) -> Self {
        match filler.shape() {
            Shape::Null => None,
            _ => Some(T::fill(filler)),
        }
    }
}

impl<T: Fill> Fill for Vec<T> {
    fn fill(filler: &mut Filler) -> Self {
        (0..filler.count()).map(|_| T::fill(filler)).collect()
    }
}

macro_rules! fill {
    ($($name:path { $($field:ident),* })*) => {$(
        impl Fill for $name {
            fn fill(filler: &mut Filler) -> Self {
                Self { $($field: Fill::fill(filler)),* }
            }
        }
    )*};
}

fill! {
    messages::api_versions::ApiVersionsRequest { client_software_name, client_software_version }
    messages::api_versions::ApiVersionsResponse { error_code, api_keys, throttle_time_ms, supported_features, finalized_features_epoch, finalized_features, zk_migration_ready }
    messages::api_versions::ApiVersion { api_key, min_version, max_version }
    messages::api_versions::SupportedFeatureKey { name, min_version, max_version }
    messages::api_versions::FinalizedFeatureKey { name, max_version_level, min_version_level }
    messages::create_partitions::CreatePartitionsRequest { topics, timeout_ms, validate_only }
    messages::create_partitions::CreatePartitionsTopic { name, count, assignments }
    messages::create_partitions::CreatePartitionsAssignment { broker_ids }
    messages::create_partitions::CreatePartitionsResponse { throttle_time_ms, results }
    messages::create_partitions::CreatePartitionsTopicResult { name, error_code, error_message }
    messages::create_topics::CreateTopicsRequest { topics, timeout_ms, validate_only }
    messages::create_topics::CreatableTopic { name, num_partitions, replication_factor, assignments, configs }
    messages::create_topics::CreatableReplicaAssignment { partition_index, broker_ids }
    messages::create_topics::CreatableTopicConfig { name, value }
    messages::create_topics::CreateTopicsResponse { throttle_time_ms, topics }
    messages::create_topics::CreatableTopicResult { name, topic_id, error_code, error_message, topic_config_error_code, num_partitions, replication_factor, configs }
    messages::create_topics::CreatableTopicConfigs { name, value, read_only, config_source, is_sensitive }
    messages::delete_topics::DeleteTopicsRequest { topics, topic_names, timeout_ms }
    messages::delete_topics::DeleteTopicState { name, topic_id }
    messages::delete_topics::DeleteTopicsResponse { throttle_time_ms, responses }
    messages::delete_topics::DeletableTopicResult { name, topic_id, error_code, error_message }
    messages::describe_cluster::DescribeClusterRequest { include_cluster_authorized_operations, endpoint_type, include_fenced_brokers }
    messages::describe_cluster::DescribeClusterResponse { throttle_time_ms, error_code, error_message, endpoint_type, cluster_id, controller_id, brokers, cluster_authorized_operations }
    messages::describe_cluster::DescribeClusterBroker { broker_id, host, port, rack, is_fenced }
    messages::describe_configs::DescribeConfigsRequest { resources, include_synonyms, include_documentation }
    messages::describe_configs::DescribeConfigsResource { resource_type, resource_name, configuration_keys }
    messages::describe_configs::DescribeConfigsResponse { throttle_time_ms, results }
    messages::describe_configs::DescribeConfigsResult { error_code, error_message, resource_type, resource_name, configs }
    messages::describe_configs::DescribeConfigsResourceResult { name, value, read_only, config_source, is_sensitive, synonyms, config_type, documentation }
    messages::describe_configs::DescribeConfigsSynonym { name, value, source }
    messages::fetch::FetchRequest { cluster_id, replica_id, max_wait_ms, min_bytes, max_bytes, isolation_level, session_id, session_epoch, topics, forgotten_topics_data, rack_id }
    messages::fetch::FetchTopic { topic, partitions }
    messages::fetch::ForgottenTopic { topic, partitions }
    messages::fetch::FetchPartition { partition, current_leader_epoch, fetch_offset, last_fetched_epoch, log_start_offset, partition_max_bytes }
    messages::fetch::FetchResponse { throttle_time_ms, error_code, session_id, responses }
    messages::fetch::FetchableTopicResponse { topic, partitions }
    messages::fetch::PartitionData { partition_index, error_code, high_watermark, last_stable_offset, log_start_offset, diverging_epoch, current_leader, snapshot_id, aborted_transactions, preferred_read_replica, records }
    messages::fetch::EpochEndOffset { epoch, end_offset }
    messages::fetch::LeaderIdAndEpoch { leader_id, leader_epoch }
    messages::fetch::SnapshotId { end_offset, epoch }
    messages::fetch::AbortedTransaction { producer_id, first_offset }
    messages::find_coordinator::FindCoordinatorRequest { key, key_type, coordinator_keys }
    messages::find_coordinator::FindCoordinatorResponse { throttle_time_ms, error_code, error_message, node_id, host, port, coordinators }
    messages::find_coordinator::Coordinator { key, node_id, host, port, error_code, error_message }
    messages::init_producer_id::InitProducerIdRequest { transactional_id, transaction_timeout_ms, producer_id, producer_epoch }
    messages::init_producer_id::InitProducerIdResponse { throttle_time_ms, error_code, producer_id, producer_epoch }
    messages::list_offsets::ListOffsetsRequest { replica_id, isolation_level, topics, timeout_ms }
    messages::list_offsets::ListOffsetsTopic { name, partitions }
    messages::list_offsets::ListOffsetsPartition { partition_index, current_leader_epoch, timestamp }
    messages::list_offsets::ListOffsetsResponse { throttle_time_ms, topics }
    messages::list_offsets::ListOffsetsTopicResponse { name, partitions }
    messages::list_offsets::ListOffsetsPartitionResponse { partition_index, error_code, timestamp, offset, leader_epoch }
    messages::metadata::MetadataRequest { topics, allow_auto_topic_creation, include_cluster_authorized_operations, include_topic_authorized_operations }
    messages::metadata::MetadataRequestTopic { topic_id, name }
    messages::metadata::MetadataResponse { throttle_time_ms, brokers, cluster_id, controller_id, topics, cluster_authorized_operations, error_code }
    messages::metadata::MetadataResponseBroker { node_id, host, port, rack }
    messages::metadata::MetadataResponseTopic { error_code, name, topic_id, is_internal, partitions, topic_authorized_operations }
    messages::metadata::MetadataResponsePartition { error_code, partition_index, leader_id, leader_epoch, replica_nodes, isr_nodes, offline_replicas }
    messages::offset_for_leader_epoch::OffsetForLeaderEpochRequest { replica_id, topics }
    messages::offset_for_leader_epoch::OffsetForLeaderTopic { topic, partitions }
    messages::offset_for_leader_epoch::OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch }
    messages::offset_for_leader_epoch::OffsetForLeaderEpochResponse { throttle_time_ms, topics }
    messages::offset_for_leader_epoch::OffsetForLeaderTopicResult { topic, partitions }
    messages::offset_for_leader_epoch::EpochEndOffset { error_code, partition, leader_epoch, end_offset }
    messages::produce::ProduceRequest { transactional_id, acks, timeout_ms, topic_data }
    messages::produce::TopicProduceData { name, partition_data }
    messages::produce::PartitionProduceData { index, records }
    messages::produce::ProduceResponse { responses, throttle_time_ms, node_endpoints }
    messages::produce::TopicProduceResponse { name, partition_responses }
    messages::produce::NodeEndpoint { node_id, host, port, rack }
    messages::produce::PartitionProduceResponse { index, error_code, base_offset, log_append_time_ms, log_start_offset, record_errors, error_message, current_leader }
    messages::produce::BatchIndexAndErrorMessage { batch_index, batch_index_error_message }
    messages::produce::LeaderIdAndEpoch { leader_id, leader_epoch }
}

/// A message that can be made, compared and shown.
pub(crate) trait Sample: Fill + Default + Clone + PartialEq + Debug {}
impl<T: Fill + Default + Clone + PartialEq + Debug> Sample for T {}

/// Does something for one API.
pub(crate) trait Visitor {
    fn visit<R>(&mut self)
    where
        R: Request + Sample,
        R::Response: Sample;
}

macro_rules! every_api {
    (() $($(#[$doc:meta])* $name:ident($request:ident, $response:ident) = $facts:tt;)*) => {
        /// Takes the visitor to every API.
        pub(crate) fn every_api(visitor: &mut impl Visitor) {
            $(visitor.visit::<messages::$request>();)*
        }
    };
}

for_each_api!(every_api());

/// A header of the given version, its other fields filled.
pub(crate) fn header<R: Request>(version: i16, filler: &mut Filler) -> RequestHeader {
    RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id: Fill::fill(filler),
        client_id: Fill::fill(filler),
    }
}

/// A frame's body in one piece, after checking its length prefix.
pub(crate) fn body(frame: &[Bytes]) -> Bytes {
    let whole = Bytes::from(frame.concat());
    let prefix = u32::from_be_bytes(*whole.first_chunk().unwrap());
    assert_eq!(usize::try_from(prefix).unwrap(), whole.len() - 4);
    whole.slice(4..)
}
