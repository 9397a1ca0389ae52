//! Requests for the topics and other things that they name.

use protocol::messages::create_topics::CreatableTopic;
use protocol::messages::delete_topics::DeleteTopicState;
use protocol::messages::describe_configs::DescribeConfigsResource;
use protocol::messages::fetch::{FetchPartition, FetchTopic};
use protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::metadata::MetadataRequestTopic;
use protocol::messages::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest, FetchRequest,
    FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    OffsetForLeaderEpochRequest, ProduceRequest,
};
use protocol::{Records, Uuid};

pub(crate) fn produce(topics: &[&str], transactional_id: Option<&str>) -> ProduceRequest {
    let partition = || PartitionProduceData {
        index: 0,
        records: Some(Records(Vec::new())),
    };
    ProduceRequest {
        transactional_id: transactional_id.map(str::to_owned),
        acks: -1,
        timeout_ms: 1_000,
        topic_data: topics
            .iter()
            .map(|name| TopicProduceData {
                name: (*name).to_owned(),
                partition_data: vec![partition()],
            })
            .collect(),
    }
}

pub(crate) fn fetch(topics: &[&str]) -> FetchRequest {
    FetchRequest {
        max_bytes: 1 << 20,
        topics: topics
            .iter()
            .map(|topic| FetchTopic {
                topic: (*topic).to_owned(),
                partitions: vec![FetchPartition::default()],
            })
            .collect(),
        session_epoch: -1,
        ..FetchRequest::default()
    }
}

pub(crate) fn list_offsets(topics: &[&str]) -> ListOffsetsRequest {
    ListOffsetsRequest {
        topics: topics
            .iter()
            .map(|name| ListOffsetsTopic {
                name: (*name).to_owned(),
                partitions: vec![ListOffsetsPartition {
                    timestamp: -1,
                    ..ListOffsetsPartition::default()
                }],
            })
            .collect(),
        ..ListOffsetsRequest::default()
    }
}

pub(crate) fn epochs(topics: &[&str]) -> OffsetForLeaderEpochRequest {
    OffsetForLeaderEpochRequest {
        topics: topics
            .iter()
            .map(|topic| OffsetForLeaderTopic {
                topic: (*topic).to_owned(),
                partitions: vec![OffsetForLeaderPartition::default()],
            })
            .collect(),
        ..OffsetForLeaderEpochRequest::default()
    }
}

pub(crate) fn metadata_of(names: Option<&[&str]>) -> MetadataRequest {
    let named = |name: &&str| MetadataRequestTopic {
        name: Some((*name).to_owned()),
        ..MetadataRequestTopic::default()
    };
    MetadataRequest {
        topics: names.map(|names| names.iter().map(named).collect()),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    }
}

pub(crate) fn coordinator(key_type: i8) -> FindCoordinatorRequest {
    FindCoordinatorRequest {
        key_type,
        coordinator_keys: vec!["k".to_owned()],
        ..FindCoordinatorRequest::default()
    }
}

pub(crate) fn create(name: &str) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        validate_only: true,
        ..CreateTopicsRequest::default()
    }
}

pub(crate) fn delete(name: Option<&str>, id: u128) -> DeleteTopicsRequest {
    DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: name.map(str::to_owned),
            topic_id: Uuid(id),
        }],
        ..DeleteTopicsRequest::default()
    }
}

pub(crate) fn configs(resource_type: i8, name: &str) -> DescribeConfigsRequest {
    DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: None,
        }],
        ..DescribeConfigsRequest::default()
    }
}

pub(crate) fn producer_id(transactional_id: Option<&str>) -> InitProducerIdRequest {
    InitProducerIdRequest {
        transactional_id: transactional_id.map(str::to_owned),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    }
}
