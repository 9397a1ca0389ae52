//! DeleteTopics: by name and by id, and that what is gone is gone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use protocol::messages::metadata::MetadataRequestTopic;
use protocol::messages::{DeleteTopicsRequest, MetadataRequest};
use protocol::{ApiKey, ErrorCode, Uuid};

use crate::shapes::{start, values};
use crate::support::client::{Client, batch};

/// By name, in the form of the version.
fn names(version: i16, names: &[&str]) -> DeleteTopicsRequest {
    let names = names.iter().map(|name| (*name).to_owned());
    let mut request = DeleteTopicsRequest {
        timeout_ms: 30_000,
        ..Default::default()
    };
    if version < 6 {
        request.topic_names = names.collect();
    } else {
        let states = names.map(|name| DeleteTopicState {
            name: Some(name),
            topic_id: Uuid::default(),
        });
        request.topics = states.collect();
    }
    request
}

fn states(states: &[(Option<&str>, Uuid)]) -> DeleteTopicsRequest {
    let states = states.iter().map(|(name, topic_id)| DeleteTopicState {
        name: name.map(str::to_owned),
        topic_id: *topic_id,
    });
    DeleteTopicsRequest {
        topics: states.collect(),
        timeout_ms: 30_000,
        ..Default::default()
    }
}

async fn codes(client: &mut Client, version: i16, request: &DeleteTopicsRequest) -> Vec<ErrorCode> {
    let response = client.ask(version, request).await;
    response
        .responses
        .iter()
        .map(|topic| topic.error_code)
        .collect()
}

async fn id_of(client: &mut Client, name: &str) -> Option<Uuid> {
    let topics = vec![MetadataRequestTopic {
        name: Some(name.to_owned()),
        topic_id: Uuid::default(),
    }];
    let request = MetadataRequest {
        topics: Some(topics),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let topic = client.ask(12, &request).await.topics.remove(0);
    (topic.error_code == ErrorCode::NONE).then_some(topic.topic_id)
}

#[tokio::test]
async fn topics_are_deleted_by_name_in_every_version() {
    let (_broker, mut client) = start(&[]).await;
    for version in ApiKey::DeleteTopics.versions() {
        client.create_topic("t", 2, &[]).await;
        client.create_topic("stays", 1, &[]).await;
        let response = client
            .ask(version, &names(version, &["t", "nowhere"]))
            .await;
        let answered: Vec<_> = response
            .responses
            .iter()
            .map(|t| (t.name.as_deref(), t.error_code))
            .collect();
        assert_eq!(
            answered,
            [
                (Some("t"), ErrorCode::NONE),
                (Some("nowhere"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            ]
        );
        let explained = response.responses[1].error_message.is_some();
        assert_eq!(
            explained,
            version >= 5,
            "a sentence where there is room for one"
        );
        assert_eq!(id_of(&mut client, "t").await, None);
        let produced = client.produce("t", 0, batch(&["a"])).await;
        assert_eq!(produced.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(
            client.fetch("t", 0, 0).await.error_code,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        );
        assert_eq!(
            codes(&mut client, version, &names(version, &["t"])).await,
            [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]
        );
        assert!(id_of(&mut client, "stays").await.is_some());
    }
}

#[tokio::test]
async fn topics_are_deleted_by_id() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let id = id_of(&mut client, "t").await.expect("it is there");
    let other = Uuid(id.0 ^ 1);
    let response = client.ask(6, &states(&[(None, other), (None, id)])).await;
    let expected = |name: Option<&str>, topic_id, error_code| DeletableTopicResult {
        name: name.map(str::to_owned),
        topic_id,
        error_code,
        error_message: None,
    };
    let mut answered = response.responses;
    assert!(answered[0].error_message.take().is_some());
    assert_eq!(
        answered,
        [
            expected(None, other, ErrorCode::UNKNOWN_TOPIC_ID),
            expected(Some("t"), id, ErrorCode::NONE)
        ]
    );
    assert_eq!(id_of(&mut client, "t").await, None);
    assert_eq!(
        codes(&mut client, 6, &states(&[(None, id)])).await,
        [ErrorCode::UNKNOWN_TOPIC_ID]
    );
}

#[tokio::test]
async fn a_topic_made_again_is_another_one() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, batch(&["old", "old"])).await;
    let old = id_of(&mut client, "t").await.expect("it is there");
    assert_eq!(
        codes(&mut client, 5, &names(5, &["t"])).await,
        [ErrorCode::NONE]
    );
    client.create_topic("t", 3, &[]).await;
    let new = id_of(&mut client, "t").await.expect("it is there again");
    assert_ne!(old, new);
    let empty = client.fetch("t", 0, 0).await;
    assert_eq!(
        (empty.error_code, empty.high_watermark),
        (ErrorCode::NONE, 0),
        "the old records are gone"
    );
    assert_eq!(client.produce("t", 0, batch(&["new"])).await.base_offset, 0);
    assert_eq!(values(&client.fetch("t", 0, 0).await.records), ["new"]);
    // The old id must not find it.
    assert_eq!(
        codes(&mut client, 6, &states(&[(None, old)])).await,
        [ErrorCode::UNKNOWN_TOPIC_ID]
    );
    assert_eq!(id_of(&mut client, "t").await, Some(new));
}

#[tokio::test]
async fn what_is_asked_unclearly_is_not_deleted() {
    let (_broker, mut client) = start(&[]).await;
    client.create_topic("t", 1, &[]).await;
    let id = id_of(&mut client, "t").await.expect("it is there");
    let none = Uuid::default();
    let invalid = ErrorCode::INVALID_REQUEST;
    // Both, neither, twice by name, twice by name and id.
    assert_eq!(
        codes(&mut client, 6, &states(&[(Some("t"), id)])).await,
        [invalid]
    );
    assert_eq!(
        codes(&mut client, 6, &states(&[(None, none)])).await,
        [invalid]
    );
    assert_eq!(
        codes(
            &mut client,
            6,
            &states(&[(Some("t"), none), (Some("t"), none)])
        )
        .await,
        [invalid, invalid]
    );
    assert_eq!(
        codes(&mut client, 6, &states(&[(Some("t"), none), (None, id)])).await,
        [invalid, invalid]
    );
    for version in 1..6 {
        assert_eq!(
            codes(&mut client, version, &names(version, &["t", "t"])).await,
            [invalid, invalid]
        );
    }
    for version in ApiKey::DeleteTopics.versions() {
        assert_eq!(codes(&mut client, version, &names(version, &[])).await, []);
    }
    assert_eq!(id_of(&mut client, "t").await, Some(id));
}

#[tokio::test]
async fn a_name_is_free_again_for_its_neighbours() {
    let (_broker, mut client) = start(&[]).await;
    assert_eq!(client.create_topic("a.b", 1, &[]).await, ErrorCode::NONE);
    assert_eq!(
        client.create_topic("a_b", 1, &[]).await,
        ErrorCode::INVALID_TOPIC_EXCEPTION
    );
    codes(&mut client, 5, &names(5, &["a.b"])).await;
    assert_eq!(client.create_topic("a_b", 1, &[]).await, ErrorCode::NONE);
}

#[tokio::test]
async fn whoever_uses_a_topic_that_goes_is_told_so() {
    let (broker, mut client) = start(&[]).await;
    let stop = AtomicBool::new(false);
    let produce = async {
        let mut producer = Client::connect(broker.listen).await;
        let mut seen = BTreeSet::new();
        while !stop.load(Ordering::Relaxed) {
            seen.insert(producer.produce("t", 0, batch(&["a"])).await.error_code);
        }
        seen
    };
    let fetch = async {
        let mut consumer = Client::connect(broker.listen).await;
        let mut seen = BTreeSet::new();
        while !stop.load(Ordering::Relaxed) {
            seen.insert(consumer.fetch("t", 0, 0).await.error_code);
        }
        seen
    };
    let make_and_delete = async {
        for _ in 0..50 {
            assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
            client.produce("t", 0, batch(&["a"])).await;
            let deleted = codes(&mut client, 5, &names(5, &["t"])).await;
            assert_eq!(deleted, [ErrorCode::NONE]);
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (produced, fetched, ()) = tokio::join!(produce, fetch, make_and_delete);
    let lawful = BTreeSet::from([ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
    assert!(produced.is_subset(&lawful), "{produced:?}");
    assert!(fetched.is_subset(&lawful), "{fetched:?}");
}
