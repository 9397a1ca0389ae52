//! Names: which are lawful, which collide, and what is said twice.

use protocol::ErrorCode;

use super::{all, create, refused, request, topic, versions};
use crate::shapes::start;
use crate::support::client::batch;

#[tokio::test]
async fn names_are_lawful_up_to_249_characters() {
    let (_broker, mut client) = start(&["--auto-create-topics-enable", "false"]).await;
    for name in ["a", "...", "-", "_", "A.b_c-9", "__mine", &"x".repeat(249)] {
        let result = create(&mut client, 7, topic(name, 1, 1)).await;
        assert_eq!(result.error_code, ErrorCode::NONE, "{name}");
        assert_eq!(
            client.produce(name, 0, batch(&["a"])).await.base_offset,
            0,
            "{name}"
        );
    }
    for name in [
        "",
        ".",
        "..",
        "a b",
        "a/b",
        "a\\b",
        "a:b",
        "a,b",
        "a\0b",
        "a\nb",
        "*",
        "gr\u{fc}n",
        "\u{430}",
        &"x".repeat(250),
        &"x".repeat(32_767),
    ] {
        refused(
            &mut client,
            &topic(name, 1, 1),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
        )
        .await;
    }
}

#[tokio::test]
async fn names_that_differ_in_dots_and_underscores_alone_collide() {
    let (_broker, mut client) = start(&[]).await;
    for name in ["a.b", "c_d", "plain"] {
        assert_eq!(
            create(&mut client, 7, topic(name, 1, 1)).await.error_code,
            ErrorCode::NONE
        );
    }
    for name in ["a_b", "c.d"] {
        refused(
            &mut client,
            &topic(name, 1, 1),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
        )
        .await;
    }
    let exists = create(&mut client, 7, topic("a.b", 1, 1)).await;
    assert_eq!(exists.error_code, ErrorCode::TOPIC_ALREADY_EXISTS);
    // Two in one request: the first is made.
    let response = client
        .ask(7, &request(vec![topic("x.y", 1, 1), topic("x_y", 1, 1)]))
        .await;
    let codes: Vec<_> = response
        .topics
        .iter()
        .map(|topic| topic.error_code)
        .collect();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::INVALID_TOPIC_EXCEPTION]);
}

#[tokio::test]
async fn kafkas_internal_topics_are_nobodys_to_make() {
    let (_broker, mut client) = start(&[]).await;
    for name in ["__consumer_offsets", "__transaction_state"] {
        refused(
            &mut client,
            &topic(name, 1, 1),
            ErrorCode::INVALID_TOPIC_EXCEPTION,
        )
        .await;
    }
}

#[tokio::test]
async fn a_name_given_twice_is_refused_once_and_the_rest_is_made() {
    let (_broker, mut client) = start(&[]).await;
    for version in versions() {
        let good = format!("good-{version}");
        let topics = vec![
            topic("twice", 1, 1),
            topic(&good, 2, 1),
            topic("twice", 1, 1),
            topic("a b", 1, 1),
        ];
        let response = client.ask(version, &request(topics)).await;
        let mut codes: Vec<_> = response
            .topics
            .iter()
            .map(|topic| (&*topic.name, topic.error_code))
            .collect();
        codes.sort();
        let mut expected = [
            ("twice", ErrorCode::INVALID_REQUEST),
            (&*good, ErrorCode::NONE),
            ("a b", ErrorCode::INVALID_TOPIC_EXCEPTION),
        ];
        expected.sort();
        assert_eq!(codes, expected);
        let there = all(&mut client).await;
        assert!(there.contains_key(&good) && !there.contains_key("twice"));
    }
}
