//! Messages that `for_each_api!` does not name: those inside other messages and, for now, those of APIs that nobody answers
//! yet. Without a frame around them they are held to what all others are: they come back as they were written, they are what
//! Kafka's schemas say, and no cut or bent one does harm.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, where a panic is the verdict"
)]

#[path = "../../fuzz/src/counting.rs"]
mod counting;
#[path = "../support/mod.rs"]
mod support;

mod broken;
mod known;
mod schemas;

use std::fmt::Debug;
use std::ops::RangeInclusive;

use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message};
use protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, NEWEST,
};
use protocol::{Decode, Encode, messages};

use support::Sample;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

pub(crate) trait Ours: Sample + Decode + Encode {}
impl<T: Sample + Decode + Encode> Ours for T {}

pub(crate) trait Theirs: Message + Encodable + Decodable + Default + Debug {}
impl<T: Message + Encodable + Decodable + Default + Debug> Theirs for T {}

/// Looks at one message after another.
pub(crate) trait Look {
    /// In each of its versions: from `flexible` on they have compact lengths and tagged fields (KIP-482).
    fn at<O: Ours, T: Theirs>(
        &mut self,
        name: &'static str,
        versions: RangeInclusive<i16>,
        flexible: i16,
    );
}

/// Takes it to all messages.
pub(crate) fn every(look: &mut impl Look) {
    look.at::<ConsumerProtocolSubscription, theirs::ConsumerProtocolSubscription>(
        "ConsumerProtocolSubscription",
        0..=NEWEST,
        NEWEST + 1,
    );
    look.at::<ConsumerProtocolAssignment, theirs::ConsumerProtocolAssignment>(
        "ConsumerProtocolAssignment",
        0..=NEWEST,
        NEWEST + 1,
    );
    to_come(look);
}

macro_rules! to_come {
    ($($request:ident, $response:ident: $versions:expr, $flexible:literal;)*) => {
        fn to_come(look: &mut impl Look) {
            $(
                look.at::<messages::$request, theirs::$request>(
                    stringify!($request), $versions, $flexible);
                look.at::<messages::$response, theirs::$response>(
                    stringify!($response), $versions, $flexible);
            )*
        }
    };
}

// Versions, and the first that is flexible, by code. Once an API is answered it has its row in `for_each_api!` instead.
to_come! {
    OffsetCommitRequest, OffsetCommitResponse: 2..=10, 8;
    OffsetFetchRequest, OffsetFetchResponse: 1..=10, 6;
    JoinGroupRequest, JoinGroupResponse: 0..=9, 6;
    HeartbeatRequest, HeartbeatResponse: 0..=4, 4;
    LeaveGroupRequest, LeaveGroupResponse: 0..=5, 4;
    SyncGroupRequest, SyncGroupResponse: 0..=5, 4;
    DescribeGroupsRequest, DescribeGroupsResponse: 0..=6, 5;
    ListGroupsRequest, ListGroupsResponse: 0..=5, 3;
    DeleteRecordsRequest, DeleteRecordsResponse: 0..=2, 2;
    DescribeAclsRequest, DescribeAclsResponse: 1..=3, 2;
    CreateAclsRequest, CreateAclsResponse: 1..=3, 2;
    DeleteAclsRequest, DeleteAclsResponse: 1..=3, 2;
    AlterConfigsRequest, AlterConfigsResponse: 0..=2, 2;
    DescribeLogDirsRequest, DescribeLogDirsResponse: 1..=5, 2;
    DeleteGroupsRequest, DeleteGroupsResponse: 0..=2, 2;
    ElectLeadersRequest, ElectLeadersResponse: 0..=2, 2;
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse: 0..=1, 1;
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse: 0..=1, 0;
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse: 0..=0, 0;
    OffsetDeleteRequest, OffsetDeleteResponse: 0..=0, 1;
    DescribeClientQuotasRequest, DescribeClientQuotasResponse: 0..=1, 1;
    AlterClientQuotasRequest, AlterClientQuotasResponse: 0..=1, 1;
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse: 0..=0, 0;
    DescribeQuorumRequest, DescribeQuorumResponse: 0..=2, 0;
    UpdateFeaturesRequest, UpdateFeaturesResponse: 0..=2, 0;
    DescribeProducersRequest, DescribeProducersResponse: 0..=0, 0;
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse: 0..=1, 0;
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse: 0..=1, 0;
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse: 0..=0, 0;
    PushTelemetryRequest, PushTelemetryResponse: 0..=0, 0;
    ListConfigResourcesRequest, ListConfigResourcesResponse: 0..=1, 0;
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse: 0..=0, 0;
}
