//! CreateTopics: names, sizes, assignments and settings at Kafka's limits and past them.

mod names;
mod settings;
mod sizes;

use std::collections::BTreeMap;

use protocol::messages::create_topics::{CreatableTopic, CreatableTopicResult};
use protocol::messages::{CreateTopicsRequest, MetadataRequest};
use protocol::{ApiKey, ErrorCode, Uuid};

use crate::shapes::start;
use crate::support::client::{Client, batch};

fn versions() -> std::ops::RangeInclusive<i16> {
    ApiKey::CreateTopics.versions()
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions,
        replication_factor,
        ..Default::default()
    }
}

fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics,
        timeout_ms: 30_000,
        validate_only: false,
    }
}

async fn create(client: &mut Client, version: i16, topic: CreatableTopic) -> CreatableTopicResult {
    let name = topic.name.clone();
    let mut response = client.ask(version, &request(vec![topic])).await;
    assert_eq!(
        (response.topics.len(), &response.topics[0].name),
        (1, &name)
    );
    response.topics.remove(0)
}

/// Refused for that reason, with a sentence, in every version; and not made.
async fn refused(client: &mut Client, topic: &CreatableTopic, code: ErrorCode) {
    let what: String = format!("{topic:?}").chars().take(300).collect();
    for version in versions() {
        let result = create(client, version, topic.clone()).await;
        assert_eq!(result.error_code, code, "{what} in {version}");
        let message = result.error_message.unwrap_or_default();
        assert!(message.contains(' '), "a sentence, not {message:?}");
        assert_eq!(
            (result.num_partitions, result.topic_id),
            (-1, Uuid::default()),
            "{what}"
        );
    }
    assert!(
        !all(client).await.contains_key(&topic.name),
        "{what} was made all the same"
    );
}

/// Every topic and its number of partitions.
async fn all(client: &mut Client) -> BTreeMap<String, usize> {
    let everything = MetadataRequest {
        topics: None,
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let response = client.ask(12, &everything).await;
    let named = response
        .topics
        .into_iter()
        .map(|topic| (topic.name.expect("a name"), topic.partitions.len()));
    named.collect()
}

#[tokio::test]
async fn a_new_topic_is_there_at_once_in_every_version() {
    let (broker, mut client) = start(&[]).await;
    let mut other = Client::connect(broker.listen).await;
    for version in versions() {
        let name = format!("in-{version}");
        let result = create(&mut client, version, topic(&name, 3, 2)).await;
        assert_eq!(
            (result.error_code, &result.error_message),
            (ErrorCode::NONE, &None)
        );
        if version >= 5 {
            assert_eq!(
                (result.num_partitions, result.replication_factor),
                (3, 2),
                "as asked for"
            );
            assert!(result.configs.is_some_and(|configs| configs.len() > 20));
        }
        assert_eq!(result.topic_id != Uuid::default(), version >= 7);
        // No sleep, and through another connection (section 5, 43).
        assert_eq!(
            other.produce(&name, 2, batch(&["a"])).await.error_code,
            ErrorCode::NONE
        );
        assert_eq!(all(&mut other).await.get(&name), Some(&3));
        let again = create(&mut other, version, topic(&name, 1, 1)).await;
        assert_eq!(again.error_code, ErrorCode::TOPIC_ALREADY_EXISTS);
        assert!(
            again
                .error_message
                .is_some_and(|message| message.contains(&name))
        );
        assert_eq!(
            all(&mut other).await.get(&name),
            Some(&3),
            "it is as it was"
        );
    }
}
