//! The one list of APIs, and one file for each: request and response as typed structs with Kafka's names, whose attributes
//! say which versions carry a field. Requests and responses are re-exported here; what is inside them is reached through
//! its module, since Kafka uses some names twice. Some files have no row in the list: `consumer_protocol`, which is no API,
//! and those of APIs that nobody answers yet, which clients are not told of.

pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod consumer_protocol;
pub mod create_acls;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_user_scram_credentials;
pub mod elect_leaders;
pub mod fetch;
pub mod find_coordinator;
pub mod get_telemetry_subscriptions;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod push_telemetry;
pub mod sync_group;
pub mod update_features;

pub use alter_client_quotas::{AlterClientQuotasRequest, AlterClientQuotasResponse};
pub use alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
pub use alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
};
pub use api_versions::{ApiVersionsRequest, ApiVersionsResponse};
pub use consumer_group_describe::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
pub use consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
pub use create_acls::{CreateAclsRequest, CreateAclsResponse};
pub use create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
pub use create_topics::{CreateTopicsRequest, CreateTopicsResponse};
pub use delete_acls::{DeleteAclsRequest, DeleteAclsResponse};
pub use delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
pub use delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
pub use delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
pub use describe_acls::{DescribeAclsRequest, DescribeAclsResponse};
pub use describe_client_quotas::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
pub use describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
pub use describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
pub use describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
pub use describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
pub use describe_producers::{DescribeProducersRequest, DescribeProducersResponse};
pub use describe_quorum::{DescribeQuorumRequest, DescribeQuorumResponse};
pub use describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
};
pub use describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};
pub use elect_leaders::{ElectLeadersRequest, ElectLeadersResponse};
pub use fetch::{FetchRequest, FetchResponse};
pub use find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
pub use get_telemetry_subscriptions::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse,
};
pub use heartbeat::{HeartbeatRequest, HeartbeatResponse};
pub use incremental_alter_configs::{
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
pub use init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
pub use join_group::{JoinGroupRequest, JoinGroupResponse};
pub use leave_group::{LeaveGroupRequest, LeaveGroupResponse};
pub use list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse};
pub use list_groups::{ListGroupsRequest, ListGroupsResponse};
pub use list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
pub use list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
pub use metadata::{MetadataRequest, MetadataResponse};
pub use offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
pub use offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
pub use offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
pub use offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
pub use produce::{ProduceRequest, ProduceResponse};
pub use push_telemetry::{PushTelemetryRequest, PushTelemetryResponse};
pub use sync_group::{SyncGroupRequest, SyncGroupResponse};
pub use update_features::{UpdateFeaturesRequest, UpdateFeaturesResponse};

/// Every API spoken here. There is no other such list: `ApiKey` is made from it, ApiVersions is answered from it, frames
/// are judged by it, and tests walk along it.
///
/// Calls the macro `$with` with what it was given in parentheses and then all rows:
/// `Name(Request, Response) = { code, versions, the first with compact lengths and tagged fields (KIP-482), [rights] };`
/// A right is what a client must be allowed, in Kafka's words: an operation on a type of resource.
#[macro_export]
macro_rules! for_each_api {
    ($with:ident($($given:tt)*)) => {
        $with! {
            ($($given)*)
            /// Appends record batches.
            Produce(ProduceRequest, ProduceResponse) =
                { 0, 3..=12, 9, [Write Topic, Write TransactionalId] };
            /// Reads record batches.
            Fetch(FetchRequest, FetchResponse) = { 1, 4..=12, 12, [Read Topic] };
            /// Offsets by timestamp, and the ends of partitions.
            ListOffsets(ListOffsetsRequest, ListOffsetsResponse) =
                { 2, 1..=10, 6, [Describe Topic] };
            /// Brokers, topics and who leads each partition.
            Metadata(MetadataRequest, MetadataResponse) =
                { 3, 0..=13, 9, [Describe Topic, Create Topic, Create Cluster, Describe Cluster] };
            /// Who coordinates a group or a transactional id.
            FindCoordinator(FindCoordinatorRequest, FindCoordinatorResponse) =
                { 10, 0..=6, 3, [Describe Group, Describe TransactionalId] };
            /// What the broker speaks.
            ApiVersions(ApiVersionsRequest, ApiVersionsResponse) = { 18, 0..=4, 3, [] };
            /// Makes topics.
            CreateTopics(CreateTopicsRequest, CreateTopicsResponse) =
                { 19, 2..=7, 5, [Create Topic, Create Cluster, DescribeConfigs Topic] };
            /// Removes topics.
            DeleteTopics(DeleteTopicsRequest, DeleteTopicsResponse) =
                { 20, 1..=6, 4, [Delete Topic, Delete Cluster, Describe Topic] };
            /// A producer id for idempotence.
            InitProducerId(InitProducerIdRequest, InitProducerIdResponse) =
                { 22, 0..=5, 2, [IdempotentWrite Cluster, Write Topic, Write TransactionalId] };
            /// Where a leader epoch ended, for consumers that check for truncation.
            OffsetForLeaderEpoch(OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse) =
                { 23, 2..=4, 4, [Describe Topic] };
            /// Settings of topics and brokers.
            DescribeConfigs(DescribeConfigsRequest, DescribeConfigsResponse) =
                { 32, 1..=4, 4, [DescribeConfigs Topic, DescribeConfigs Cluster] };
            /// Adds partitions to topics.
            CreatePartitions(CreatePartitionsRequest, CreatePartitionsResponse) =
                { 37, 0..=3, 2, [Alter Topic] };
            /// The cluster's id and brokers.
            DescribeCluster(DescribeClusterRequest, DescribeClusterResponse) =
                { 60, 0..=2, 0, [Describe Cluster] };
        }
    };
}
