//! Every API spoken here with its versions. There is no other such table: ApiVersions is answered from it, and a frame
//! is judged by it.

use std::ops::RangeInclusive;

use crate::messages;
use crate::wire::Request;

macro_rules! apis {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $request:ident -> $response:ident,
       $min:literal ..= $max:literal, flexible $flexible:literal;)*) => {
        /// An API of Kafka's protocol that is implemented.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ApiKey {
            $($(#[$doc])* $name,)*
        }

        impl ApiKey {
            /// All of them, by code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The API with that code, if it is implemented.
            #[must_use]
            pub fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The code on the wire.
            #[must_use]
            pub fn code(self) -> i16 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// Kafka's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The versions that are implemented.
            #[must_use]
            pub fn versions(self) -> RangeInclusive<i16> {
                match self {
                    $(Self::$name => $min..=$max,)*
                }
            }

            /// The first version with compact lengths and tagged fields (KIP-482).
            #[must_use]
            pub fn first_flexible(self) -> i16 {
                match self {
                    $(Self::$name => $flexible,)*
                }
            }
        }

        $(impl Request for messages::$request {
            const KEY: ApiKey = ApiKey::$name;
            type Response = messages::$response;
        })*
    };
}

apis! {
    /// Appends record batches.
    Produce = 0, ProduceRequest -> ProduceResponse, 3..=12, flexible 9;
    /// Reads record batches.
    Fetch = 1, FetchRequest -> FetchResponse, 4..=12, flexible 12;
    /// Offsets by timestamp, and the ends of partitions.
    ListOffsets = 2, ListOffsetsRequest -> ListOffsetsResponse, 1..=10, flexible 6;
    /// Brokers, topics and who leads each partition.
    Metadata = 3, MetadataRequest -> MetadataResponse, 0..=13, flexible 9;
    /// Who coordinates a group or a transactional id.
    FindCoordinator = 10, FindCoordinatorRequest -> FindCoordinatorResponse, 0..=5, flexible 3;
    /// What the broker speaks.
    ApiVersions = 18, ApiVersionsRequest -> ApiVersionsResponse, 0..=4, flexible 3;
    /// Makes topics.
    CreateTopics = 19, CreateTopicsRequest -> CreateTopicsResponse, 2..=7, flexible 5;
    /// Removes topics.
    DeleteTopics = 20, DeleteTopicsRequest -> DeleteTopicsResponse, 1..=6, flexible 4;
    /// A producer id for idempotence.
    InitProducerId = 22, InitProducerIdRequest -> InitProducerIdResponse, 0..=5, flexible 2;
    /// Where a leader epoch ended, for consumers that check for truncation.
    OffsetForLeaderEpoch = 23, OffsetForLeaderEpochRequest -> OffsetForLeaderEpochResponse, 2..=4, flexible 4;
    /// Settings of topics and brokers.
    DescribeConfigs = 32, DescribeConfigsRequest -> DescribeConfigsResponse, 1..=4, flexible 4;
    /// Adds partitions to topics.
    CreatePartitions = 37, CreatePartitionsRequest -> CreatePartitionsResponse, 0..=3, flexible 2;
    /// The cluster's id and brokers.
    DescribeCluster = 60, DescribeClusterRequest -> DescribeClusterResponse, 0..=2, flexible 0;
}

impl ApiKey {
    /// The versions named by ApiVersions. Produce says 0, though 0 to 2 carry formats that Kafka 4 no longer takes:
    /// librdkafka gives up compression when the range does not start there, so Kafka 4 says so as well (KIP-896).
    #[must_use]
    pub fn advertised(self) -> RangeInclusive<i16> {
        match self {
            Self::Produce => 0..=*self.versions().end(),
            other => other.versions(),
        }
    }
}
