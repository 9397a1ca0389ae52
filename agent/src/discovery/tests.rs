//! What clients find out, over metadata in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metadata::{Command, CreateTopic, Outcome, TopicId};
use protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use protocol::messages::{
    ApiVersionsRequest, DescribeClusterRequest, FindCoordinatorRequest, MetadataRequest,
    MetadataResponse,
};
use protocol::{ApiKey, ErrorCode, Uuid, decode_response};

use super::fixture::{call, crowded_call, with_context, with_silent_metadata};
use super::{ClusterMetadata, api_versions, describe_cluster, find_coordinator};
use crate::call::Reply;
use crate::context::{AutoCreate, Context};

pub(super) fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic {
        name: Some(name.to_owned()),
        ..MetadataRequestTopic::default()
    }
}

fn with_id(id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic {
        topic_id: id,
        name: None,
    }
}

async fn ask(
    context: &Arc<Context>,
    version: i16,
    topics: Option<Vec<MetadataRequestTopic>>,
) -> Vec<MetadataResponseTopic> {
    let request = MetadataRequest {
        topics,
        ..MetadataRequest::default()
    };
    metadata(context, version, request).await.topics
}

/// As a client reads it.
async fn metadata(
    context: &Arc<Context>,
    version: i16,
    request: MetadataRequest,
) -> MetadataResponse {
    let call = call(context, ApiKey::Metadata, version).await;
    let answer = ClusterMetadata::default().handle(&call, request).await;
    read(call.reply::<MetadataRequest>(answer), version)
}

pub(super) fn read(reply: Reply, version: i16) -> MetadataResponse {
    let frame = Bytes::from(reply.slices.concat()).split_off(4);
    let answer = decode_response::<MetadataRequest>(version, frame);
    answer.unwrap().1
}

async fn ask_one(
    context: &Arc<Context>,
    version: i16,
    topic: MetadataRequestTopic,
) -> MetadataResponseTopic {
    let mut topics = ask(context, version, Some(vec![topic])).await;
    assert_eq!(topics.len(), 1);
    topics.remove(0)
}

#[tokio::test]
async fn a_topic_that_is_asked_for_is_made_at_once() {
    with_context(AutoCreate::Enabled, async |context| {
        let made = ask_one(context, 13, named("a.b")).await;
        assert_eq!(made.error_code, ErrorCode::NONE);
        assert_eq!(made.partitions.len(), 3);
        assert!(made.partitions.iter().all(|p| p.leader_id == 7));
        assert!(made.partitions.iter().all(|p| p.leader_epoch == 0));
        assert_eq!(ask_one(context, 13, named("a.b")).await, made);
        assert_eq!(ask_one(context, 12, with_id(made.topic_id)).await, made);
        let all = ask(context, 0, Some(Vec::new())).await;
        let names: Vec<_> = all.iter().map(|topic| topic.name.as_ref()).collect();
        assert_eq!(names, [made.name.as_ref()]);
        assert_eq!(ask(context, 1, Some(Vec::new())).await, []);
        assert_eq!(ask(context, 13, None).await, [made]);
        for refused in ["a_b", "a/b", ""] {
            let refused = ask_one(context, 13, named(refused)).await;
            assert_eq!(refused.error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
        }
    })
    .await;
}

#[tokio::test]
async fn many_topics_are_made_together_and_in_order() {
    with_context(AutoCreate::Enabled, async |context| {
        let names: Vec<String> = (0..600).map(|n| format!("t{n}")).collect();
        let wanted = names.iter().map(|name| named(name)).collect();
        let made = ask(context, 13, Some(wanted)).await;
        assert!(made.iter().all(|topic| topic.error_code == ErrorCode::NONE));
        let answered = made.into_iter().filter_map(|topic| topic.name);
        assert!(answered.eq(names));
    })
    .await;
}

#[tokio::test]
async fn nothing_is_made_unless_client_and_broker_want_it() {
    with_context(AutoCreate::Disabled, async |context| {
        let unknown = ask_one(context, 13, named("a")).await;
        assert_eq!(unknown.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(ask(context, 13, None).await, []);
    })
    .await;
    with_context(AutoCreate::Enabled, async |context| {
        for (version, code) in [
            (4, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (3, ErrorCode::NONE),
        ] {
            let request = MetadataRequest {
                topics: Some(vec![named("a")]),
                allow_auto_topic_creation: false,
                ..MetadataRequest::default()
            };
            let response = metadata(context, version, request).await;
            assert_eq!(response.topics[0].error_code, code, "version {version}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_id_that_is_not_known_is_said_to_be() {
    with_context(AutoCreate::Enabled, async |context| {
        let id = Uuid(99);
        let unknown = ask_one(context, 12, with_id(id)).await;
        assert_eq!(unknown.error_code, ErrorCode::UNKNOWN_TOPIC_ID);
        assert_eq!((unknown.topic_id, unknown.name), (id, None));
        let too_early = ask_one(context, 11, with_id(id)).await;
        assert_eq!(too_early.error_code, ErrorCode::INVALID_REQUEST);
    })
    .await;
}

#[tokio::test]
async fn operations_are_listed_only_if_asked_for() {
    with_context(AutoCreate::Enabled, async |context| {
        for (asked, topic, cluster) in [(true, 0x0df8, 0x1fa0), (false, i32::MIN, i32::MIN)] {
            let request = MetadataRequest {
                topics: Some(vec![named("a")]),
                include_topic_authorized_operations: asked,
                include_cluster_authorized_operations: asked,
                ..MetadataRequest::default()
            };
            let response = metadata(context, 10, request).await;
            assert_eq!(response.topics[0].topic_authorized_operations, topic);
            assert_eq!(response.cluster_authorized_operations, cluster);
            assert_eq!(response.controller_id, response.brokers[0].node_id);
            assert_eq!(response.cluster_id.map(|id| id.len()), Some(22));
        }
    })
    .await;
}

#[tokio::test]
async fn versions_are_those_of_the_table() {
    with_context(AutoCreate::Disabled, async |context| {
        let nameless = ApiVersionsRequest::default();
        let early = api_versions::handle(
            &call(context, ApiKey::ApiVersions, 2).await,
            nameless.clone(),
        )
        .await;
        assert_eq!(early.error_code, ErrorCode::NONE);
        assert_eq!(early.api_keys.len(), ApiKey::ALL.len());
        let late =
            api_versions::handle(&call(context, ApiKey::ApiVersions, 3).await, nameless).await;
        assert_eq!(late.error_code, ErrorCode::INVALID_REQUEST);
        let named = ApiVersionsRequest {
            client_software_name: "librdkafka".to_owned(),
            client_software_version: "2.1.0".to_owned(),
        };
        assert_eq!(
            api_versions::handle(&call(context, ApiKey::ApiVersions, 4).await, named).await,
            early
        );
    })
    .await;
}

#[tokio::test]
async fn nobody_coordinates_yet() {
    with_context(AutoCreate::Disabled, async |context| {
        let one = FindCoordinatorRequest {
            key: "g".to_owned(),
            ..FindCoordinatorRequest::default()
        };
        let one =
            find_coordinator::handle(&call(context, ApiKey::FindCoordinator, 3).await, one).await;
        assert_eq!(one.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
        assert!(one.error_message.is_some() && one.node_id == -1);
        let many = FindCoordinatorRequest {
            key_type: 1,
            coordinator_keys: vec!["a".to_owned(), "b".to_owned()],
            ..FindCoordinatorRequest::default()
        };
        let many =
            find_coordinator::handle(&call(context, ApiKey::FindCoordinator, 4).await, many).await;
        assert_eq!(many.error_code, ErrorCode::NONE);
        let keys: Vec<_> = many.coordinators.iter().map(|c| c.key.as_str()).collect();
        assert_eq!(keys, ["a", "b"]);
        let refused = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        assert!(many.coordinators.iter().all(|c| c.error_code == refused));
    })
    .await;
}

#[tokio::test]
async fn the_cluster_is_this_broker() {
    with_context(AutoCreate::Disabled, async |context| {
        let request = DescribeClusterRequest::default();
        let cluster = describe_cluster::handle(
            &call(context, ApiKey::DescribeCluster, 2).await,
            request.clone(),
        )
        .await;
        assert_eq!(cluster.error_code, ErrorCode::NONE);
        assert_eq!(cluster.brokers[0].broker_id, cluster.controller_id);
        assert_eq!(cluster.brokers[0].rack.as_deref(), Some("z"));
        let controllers = DescribeClusterRequest {
            endpoint_type: 2,
            ..request
        };
        let controllers = describe_cluster::handle(
            &call(context, ApiKey::DescribeCluster, 2).await,
            controllers,
        )
        .await;
        assert_ne!(controllers.error_code, ErrorCode::NONE);
        assert!(controllers.brokers.is_empty());
    })
    .await;
}

/// Many that wait for metadata which does not answer would have all the room for requests.
#[tokio::test(start_paused = true)]
async fn a_topic_is_not_asked_after_where_too_many_wait_for_the_metadata() {
    with_silent_metadata(
        async |_| {},
        async |context| {
            let began = tokio::time::Instant::now();
            let request = MetadataRequest {
                topics: Some(vec![named("fresh")]),
                allow_auto_topic_creation: true,
                ..MetadataRequest::default()
            };
            let (call, crowd) = crowded_call(context, ApiKey::Metadata, 9).await;
            let answer = ClusterMetadata::default().handle(&call, request).await;
            let answer = read(call.reply::<MetadataRequest>(answer), 9);
            let code = answer.topics[0].error_code;
            assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            assert_eq!(began.elapsed(), Duration::ZERO);
            drop(crowd);
        },
    )
    .await;
}

/// However large an answer is going to be: others need the room for it.
#[tokio::test(start_paused = true)]
async fn nothing_is_held_for_an_answer_while_the_metadata_is_asked() {
    let known = CreateTopic {
        name: "known".to_owned(),
        id: TopicId(1),
        partitions: 10_000,
        replication_factor: 1,
        configs: BTreeMap::new(),
    };
    with_silent_metadata(
        async |context| {
            let made = context.metadata.submit(Command::CreateTopic(known)).await;
            assert_eq!(made.unwrap().outcome, Outcome::TopicCreated(TopicId(1)));
        },
        async |context| {
            let request = MetadataRequest {
                topics: Some(vec![named("known"), named("fresh")]),
                ..MetadataRequest::default()
            };
            let call = call(context, ApiKey::Metadata, 9).await;
            let room = ClusterMetadata::default();
            let mut asked = Box::pin(room.handle(&call, request));
            assert!(futures::poll!(&mut asked).is_pending());
            assert_eq!(context.admission.answer_bytes(), 0);
            let answer = asked.await;
            let answer = call.reply::<MetadataRequest>(answer);
            let held = context.admission.answer_bytes();
            let bytes = answer.slices.concat().len();
            assert!(bytes > 200_000 && held >= bytes, "{held} for {bytes}");
        },
    )
    .await;
}

/// Each few of them were waited for, one after another.
#[tokio::test(start_paused = true)]
async fn topics_are_not_made_on_and_on_while_the_metadata_does_not_answer() {
    with_silent_metadata(
        async |_| {},
        async |context| {
            let began = tokio::time::Instant::now();
            let names = (0..5000).map(|number| named(&format!("fresh-{number}")));
            let request = MetadataRequest {
                topics: Some(names.collect()),
                allow_auto_topic_creation: true,
                ..MetadataRequest::default()
            };
            let call = call(context, ApiKey::Metadata, 9).await;
            let answer = ClusterMetadata::default().handle(&call, request).await;
            let answer = read(call.reply::<MetadataRequest>(answer), 9);
            assert_eq!(answer.topics.len(), 5000);
            let retriable = |topic: &MetadataResponseTopic| topic.error_code.is_retriable();
            assert!(answer.topics.iter().all(retriable));
            assert!(began.elapsed() < Duration::from_secs(90), "{began:?}");
        },
    )
    .await;
}
