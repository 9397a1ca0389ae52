//! Requests that name very many things: how they let others have their turn, what they are charged for, and how many are too
//! many.

use std::sync::Arc;
use std::time::Duration;

use protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest};
use protocol::{ApiKey, ErrorCode};
use tokio::time::timeout;

use super::fixture::{call, call_of, with_context, with_silent_metadata, with_turns};
use super::tests::{named, read};
use super::topics::Described;
use super::{ClusterMetadata, find_coordinator};
use crate::context::{AutoCreate, Context};

/// All topics of a large cluster.
const TOPICS: usize = 100_000;
const TOPICS_MAX: usize = 128 * 1024;
const KEYS_MAX: usize = 64 * 1024;

fn request(topics: usize, name: impl Fn(usize) -> String) -> MetadataRequest {
    MetadataRequest {
        topics: Some((0..topics).map(|number| named(&name(number))).collect()),
        ..MetadataRequest::default()
    }
}

/// What is told of them, and how often others had their turn meanwhile.
async fn ask(
    context: &Arc<Context>,
    request: MetadataRequest,
) -> (Vec<MetadataResponseTopic>, usize) {
    let call = call(context, ApiKey::Metadata, 9).await;
    let room = ClusterMetadata::default();
    let (answer, turns) = with_turns(room.handle(&call, request)).await;
    let answer = read(call.reply::<MetadataRequest>(answer), 9);
    (answer.topics, turns)
}

/// They were looked at in one go, for seconds where they were a million.
#[tokio::test]
async fn who_names_all_topics_of_a_large_cluster_is_answered_and_others_have_their_turn() {
    with_context(AutoCreate::Enabled, async |context| {
        let unknown = MetadataRequest {
            allow_auto_topic_creation: false,
            ..request(TOPICS, |number| format!("t{number}"))
        };
        let unlawful = request(TOPICS, |number| format!("a b{number}"));
        for (request, code) in [
            (unknown, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            (unlawful, ErrorCode::INVALID_TOPIC_EXCEPTION),
        ] {
            let (topics, turns) = ask(context, request).await;
            assert_eq!(topics.len(), TOPICS);
            assert!(topics.iter().all(|topic| topic.error_code == code));
            assert!(turns >= TOPICS / 200, "{turns}");
        }
    })
    .await;
}

#[tokio::test]
async fn topics_that_are_known_are_looked_up_in_turns_too() {
    with_context(AutoCreate::Enabled, async |context| {
        let known = request(2000, |number| format!("t{number}"));
        ask(context, known.clone()).await;
        let (topics, turns) = ask(context, known).await;
        assert!(
            topics
                .iter()
                .all(|topic| topic.error_code == ErrorCode::NONE)
        );
        assert!(turns >= 3 * (2000 / 256), "{turns}");
    })
    .await;
}

#[tokio::test]
async fn more_topics_than_a_request_may_name_are_refused_each() {
    with_context(AutoCreate::Enabled, async |context| {
        let many = request(TOPICS_MAX + 1, |number| format!("t{number}"));
        let (topics, _) = ask(context, many).await;
        assert_eq!(topics.len(), TOPICS_MAX + 1);
        let code = ErrorCode::POLICY_VIOLATION;
        assert!(topics.iter().all(|topic| topic.error_code == code));
        let none = context.metadata.catalogue().topics().next().is_none();
        assert!(none, "nothing is made");
    })
    .await;
}

/// They were charged for sixteen megabytes, however many they were.
#[tokio::test(start_paused = true)]
async fn names_are_charged_for_while_the_metadata_is_asked_after_them() {
    const NAME_BYTES: usize = 40;
    with_silent_metadata(
        async |_| {},
        async |context| {
            let (call, admission) = call_of(6 << 20, context, ApiKey::Metadata, 9).await;
            let room = ClusterMetadata::default();
            let request = request(TOPICS_MAX, |number| format!("{number:0>NAME_BYTES$}"));
            let mut asked = Box::pin(room.handle(&call, request));
            let waits = timeout(Duration::from_millis(1), &mut asked).await;
            assert!(waits.is_err(), "nobody answers");
            let each = size_of::<MetadataRequestTopic>() + size_of::<Described>() + NAME_BYTES;
            let (held, charged) = (TOPICS_MAX * each, admission.decoded_bytes());
            assert!(
                (held..held + held / 4).contains(&charged),
                "{charged} for {held}"
            );
            assert_eq!(context.admission.answer_bytes(), 0);
        },
    )
    .await;
}

async fn coordinators(context: &Arc<Context>, keys: usize) -> (FindCoordinatorResponse, usize) {
    let request = FindCoordinatorRequest {
        coordinator_keys: (0..keys).map(|number| format!("g{number}")).collect(),
        ..FindCoordinatorRequest::default()
    };
    let call = call(context, ApiKey::FindCoordinator, 4).await;
    with_turns(find_coordinator::handle(&call, request)).await
}

#[tokio::test]
async fn very_many_groups_are_answered_in_turns_and_more_are_refused_each() {
    with_context(AutoCreate::Disabled, async |context| {
        let (told, turns) = coordinators(context, KEYS_MAX).await;
        let code = ErrorCode::COORDINATOR_NOT_AVAILABLE;
        assert_eq!(told.coordinators.len(), KEYS_MAX);
        assert!(told.coordinators.iter().all(|each| each.error_code == code));
        assert!(turns >= KEYS_MAX / 200, "{turns}");
        let (told, _) = coordinators(context, KEYS_MAX + 1).await;
        let code = ErrorCode::POLICY_VIOLATION;
        assert_eq!(told.coordinators.len(), KEYS_MAX + 1);
        assert!(told.coordinators.iter().all(|each| each.error_code == code));
        let said = told.coordinators[0].error_message.as_deref();
        assert!(said.is_some_and(|said| said.contains("65536")), "{said:?}");
    })
    .await;
}
