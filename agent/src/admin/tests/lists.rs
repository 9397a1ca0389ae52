//! Requests that name very many topics: how they let others have their turn, and how many are too many.

use super::*;
use crate::discovery::fixture::with_turns;

const TOPICS_MAX: usize = 64 * 1024;

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("none-{number}"))
}

/// What so many topics are answered with that are to be made without partitions, and how often others had their turn.
async fn made(context: &Arc<Context>, count: usize) -> (Vec<ErrorCode>, usize) {
    let none = |name| CreatableTopic {
        name,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: names(count).map(none).collect(),
        ..CreateTopicsRequest::default()
    };
    let call = call(context, ApiKey::CreateTopics, 7).await;
    let (told, turns) = with_turns(create_topics::handle(&call, request)).await;
    (codes(&told), turns)
}

/// The same of topics that are not there and are to grow.
async fn grown(context: &Arc<Context>, count: usize) -> (Vec<ErrorCode>, usize) {
    let none = |name| CreatePartitionsTopic {
        name,
        count: 2,
        assignments: None,
    };
    let request = CreatePartitionsRequest {
        topics: names(count).map(none).collect(),
        ..CreatePartitionsRequest::default()
    };
    let call = call(context, ApiKey::CreatePartitions, 3).await;
    let (told, turns) = with_turns(create_partitions::handle(&call, request)).await;
    let codes = told.results.iter().map(|each| each.error_code);
    (codes.collect(), turns)
}

/// The same of topics that are not there and are to go.
async fn removed(context: &Arc<Context>, count: usize) -> (Vec<ErrorCode>, usize) {
    let request = DeleteTopicsRequest {
        topic_names: names(count).collect(),
        ..DeleteTopicsRequest::default()
    };
    let call = call(context, ApiKey::DeleteTopics, 4).await;
    let (told, turns) = with_turns(delete_topics::handle(&call, request)).await;
    let codes = told.responses.iter().map(|each| each.error_code);
    (codes.collect(), turns)
}

fn are_all((codes, turns): (Vec<ErrorCode>, usize), code: ErrorCode, count: usize) -> usize {
    assert_eq!(codes.len(), count);
    assert!(codes.iter().all(|each| *each == code), "{}", codes[0]);
    turns
}

/// Each list was gone through in one go.
#[tokio::test]
async fn who_names_very_many_topics_lets_others_have_their_turn() {
    const MANY: usize = 30_000;
    with_context(AutoCreate::Disabled, async |context| {
        let turns = [
            are_all(
                made(context, MANY).await,
                ErrorCode::INVALID_PARTITIONS,
                MANY,
            ),
            are_all(
                grown(context, MANY).await,
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                MANY,
            ),
            are_all(
                removed(context, MANY).await,
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                MANY,
            ),
        ];
        // To tell them apart, to judge them, and to ask.
        for (turns, lists) in turns.into_iter().zip([5, 3, 2]) {
            assert!(turns >= lists * MANY / 260, "{turns} for {lists}");
        }
    })
    .await;
}

#[tokio::test]
async fn more_topics_than_a_request_may_name_are_refused_each() {
    const MANY: usize = TOPICS_MAX + 1;
    with_context(AutoCreate::Disabled, async |context| {
        let code = ErrorCode::POLICY_VIOLATION;
        are_all(made(context, MANY).await, code, MANY);
        are_all(grown(context, MANY).await, code, MANY);
        are_all(removed(context, MANY).await, code, MANY);
        // Keys are compared with all settings, so they count as well.
        for (resources, keys) in [(MANY, 0), (1, TOPICS_MAX)] {
            let resource = |resource_name| DescribeConfigsResource {
                resource_type: 2,
                resource_name,
                configuration_keys: Some(vec![String::new(); keys]),
            };
            let request = DescribeConfigsRequest {
                resources: names(resources).map(resource).collect(),
                ..DescribeConfigsRequest::default()
            };
            let told = configs::described(context, request).await;
            let told = told.into_iter().map(|each| each.error_code).collect();
            are_all((told, 0), code, resources);
        }
    })
    .await;
}
