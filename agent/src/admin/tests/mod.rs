//! A topic's life, over metadata in memory.

mod changes;
mod configs;
mod lists;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metadata::{Command, CommitObject, CreateTopic, ObjectKey, Outcome, TopicId};
use parking_lot::Mutex;
use protocol::messages::create_partitions::CreatePartitionsTopic;
use protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::delete_topics::DeleteTopicState;
use protocol::messages::describe_configs::{DescribeConfigsResource, DescribeConfigsResult};
use protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DescribeConfigsRequest,
};
use protocol::{ApiKey, Elements, ErrorCode, Uuid, decode_response};
use tokio::time::{Instant, timeout};

use super::configs_told::{Described, Detail, Size};
use super::{create_partitions, create_topics, delete_topics, describe_configs};
use crate::call::Call;
use crate::context::{AutoCreate, Context};
use crate::discovery::fixture::{call, crowded_call, with_context, with_silent_metadata};

fn topic(name: &str) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions: 2,
        replication_factor: 3,
        configs: vec![CreatableTopicConfig {
            name: "cleanup.policy".to_owned(),
            value: Some("compact".to_owned()),
        }],
        ..CreatableTopic::default()
    }
}

async fn create(
    context: &Arc<Context>,
    topics: Vec<CreatableTopic>,
    validate_only: bool,
) -> CreateTopicsResponse {
    let request = CreateTopicsRequest {
        topics,
        validate_only,
        ..CreateTopicsRequest::default()
    };
    create_topics::handle(&call(context, ApiKey::CreateTopics, 7).await, request).await
}

fn codes(response: &CreateTopicsResponse) -> Vec<ErrorCode> {
    response.topics.iter().map(|t| t.error_code).collect()
}

#[tokio::test]
async fn a_topic_is_made_once_with_what_was_asked() {
    with_context(AutoCreate::Disabled, async |context| {
        let judged = create(context, vec![topic("a.b")], true).await;
        assert_eq!(codes(&judged), [ErrorCode::NONE]);
        assert_eq!(judged.topics[0].topic_id, Uuid(0));
        assert!(context.metadata.catalogue().topics().next().is_none());

        let made = create(context, vec![topic("a.b")], false).await;
        let made = &made.topics[0];
        assert_eq!(made.error_code, ErrorCode::NONE);
        assert_eq!((made.num_partitions, made.replication_factor), (2, 3));
        let catalogue = context.metadata.catalogue();
        assert_eq!(Uuid(catalogue.topic("a.b").unwrap().id.0), made.topic_id);
        let configs = made.configs.as_ref().unwrap();
        let policy = configs.iter().find(|c| c.name == "cleanup.policy").unwrap();
        assert_eq!(policy.value.as_deref(), Some("compact"));
        assert_eq!(policy.config_source, 1);
        assert_eq!(
            configs.iter().filter(|c| c.config_source == 5).count(),
            configs.len() - 1
        );

        for judge in [true, false] {
            let again = create(context, vec![topic("a.b"), topic("a_b")], judge).await;
            let refused = [
                ErrorCode::TOPIC_ALREADY_EXISTS,
                ErrorCode::INVALID_TOPIC_EXCEPTION,
            ];
            assert_eq!(codes(&again), refused);
        }
    })
    .await;
}

#[tokio::test]
async fn two_topics_of_a_request_that_collide_are_told_apart_by_the_sequencer() {
    with_context(AutoCreate::Disabled, async |context| {
        let made = create(context, vec![topic("a.b"), topic("a_b")], false).await;
        assert_eq!(
            codes(&made),
            [ErrorCode::NONE, ErrorCode::INVALID_TOPIC_EXCEPTION]
        );
        let made = create(context, vec![topic("c"), topic("d"), topic("c")], false).await;
        assert_eq!(codes(&made), [ErrorCode::INVALID_REQUEST, ErrorCode::NONE]);
        assert!(context.metadata.catalogue().topic("c").is_none());
    })
    .await;
}

#[tokio::test]
async fn partitions_are_added() {
    with_context(AutoCreate::Disabled, async |context| {
        create(context, vec![topic("a")], false).await;
        let wanted = |name: &str, count| CreatePartitionsTopic {
            name: name.to_owned(),
            count,
            assignments: None,
        };
        for (judge, count, code, after) in [
            (true, 5, ErrorCode::NONE, 2),
            (false, 5, ErrorCode::NONE, 5),
            (false, 5, ErrorCode::INVALID_PARTITIONS, 5),
        ] {
            let request = CreatePartitionsRequest {
                topics: vec![
                    wanted("a", count),
                    wanted("b", 1),
                    wanted("c", 1),
                    wanted("c", 1),
                ],
                validate_only: judge,
                ..CreatePartitionsRequest::default()
            };
            let response = create_partitions::handle(
                &call(context, ApiKey::CreatePartitions, 3).await,
                request,
            )
            .await;
            let codes: Vec<_> = response.results.iter().map(|r| r.error_code).collect();
            let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            assert_eq!(codes, [code, unknown, ErrorCode::INVALID_REQUEST]);
            let catalogue = context.metadata.catalogue();
            assert_eq!(catalogue.topic("a").unwrap().partitions, after);
        }
    })
    .await;
}

async fn delete(context: &Arc<Context>, topics: &[(Option<&str>, u128)]) -> Vec<ErrorCode> {
    let topics = topics.iter().map(|(name, id)| DeleteTopicState {
        name: name.map(str::to_owned),
        topic_id: Uuid(*id),
    });
    let request = DeleteTopicsRequest {
        topics: topics.collect(),
        ..DeleteTopicsRequest::default()
    };
    let response =
        delete_topics::handle(&call(context, ApiKey::DeleteTopics, 6).await, request).await;
    response.responses.iter().map(|r| r.error_code).collect()
}

#[tokio::test]
async fn topics_go_by_name_or_id_but_only_if_meant_once() {
    with_context(AutoCreate::Disabled, async |context| {
        let names = ["a", "b", "c"];
        let made = create(context, names.map(topic).into(), false).await;
        let ids: Vec<u128> = made.topics.iter().map(|t| t.topic_id.0).collect();
        let invalid = ErrorCode::INVALID_REQUEST;
        let unclear = [
            (None, 0),
            (Some("a"), ids[0]),
            (Some("b"), 0),
            (None, ids[1]),
        ];
        assert_eq!(delete(context, &unclear).await, [invalid; 4]);
        assert_eq!(context.metadata.catalogue().topics().count(), 3);

        let clear = [(Some("a"), 0), (None, ids[1]), (Some("x"), 0), (None, 99)];
        let outcomes = [
            ErrorCode::NONE,
            ErrorCode::NONE,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::UNKNOWN_TOPIC_ID,
        ];
        assert_eq!(delete(context, &clear).await, outcomes);
        let old = DeleteTopicsRequest {
            topic_names: vec!["c".to_owned()],
            ..DeleteTopicsRequest::default()
        };
        let response =
            delete_topics::handle(&call(context, ApiKey::DeleteTopics, 1).await, old).await;
        assert_eq!(response.responses[0].name.as_deref(), Some("c"));
        assert_eq!(response.responses[0].error_code, ErrorCode::NONE);
        assert_eq!(context.metadata.catalogue().topics().count(), 0);
    })
    .await;
}
