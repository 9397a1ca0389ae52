//! ApiVersions: the table, and that what it promises is kept.

use std::collections::BTreeSet;

use protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreatePartitionsRequest, CreateTopicsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest, FetchRequest,
    FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
    OffsetForLeaderEpochRequest, ProduceRequest,
};
use protocol::{ApiKey, ErrorCode, Request};

use crate::shapes::{frame, start};
use crate::support::client::Client;

fn software(name: &str, version: &str) -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: name.to_owned(),
        client_software_version: version.to_owned(),
    }
}

fn good() -> ApiVersionsRequest {
    software("apache-kafka-java", "4.1.0")
}

fn table(response: &ApiVersionsResponse) -> Vec<(i16, i16, i16)> {
    let keys = response.api_keys.iter();
    keys.map(|key| (key.api_key, key.min_version, key.max_version))
        .collect()
}

/// A frame of any api and version: header version 1, and whatever bytes after it.
fn any_frame(key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(correlation_id.to_be_bytes());
    bytes.extend(4_i16.to_be_bytes());
    bytes.extend(b"test");
    bytes.extend(body);
    let length = i32::try_from(bytes.len()).expect("small");
    [length.to_be_bytes().to_vec(), bytes].concat()
}

#[tokio::test]
async fn the_table_is_what_is_implemented() {
    let (_broker, mut client) = start(&[]).await;
    let expected: Vec<_> = ApiKey::ALL
        .iter()
        .map(|key| {
            (
                key.code(),
                *key.advertised().start(),
                *key.advertised().end(),
            )
        })
        .collect();
    for version in ApiKey::ApiVersions.versions() {
        let response = client.ask(version, &good()).await;
        assert_eq!(response.error_code, ErrorCode::NONE);
        assert_eq!(table(&response), expected, "in version {version}");
        assert!(
            response.finalized_features.is_empty(),
            "no transaction.version: clients keep to the older form"
        );
    }
}

#[tokio::test]
async fn librdkafka_finds_the_features_it_derives_from_the_table() {
    let (_broker, mut client) = start(&[]).await;
    let table = table(&client.ask(3, &good()).await);
    let range = |key: ApiKey| {
        table
            .iter()
            .find(|row| row.0 == key.code())
            .copied()
            .expect("advertised")
    };
    assert_eq!(
        range(ApiKey::Produce).1,
        0,
        "else compression is given up in silence"
    );
    assert!(
        range(ApiKey::Produce).2 >= 7 && range(ApiKey::Fetch).2 >= 10,
        "ZSTD"
    );
    assert_eq!(range(ApiKey::FindCoordinator).1, 0, "LZ4");
    assert_eq!(range(ApiKey::ApiVersions).1, 0);
    // Topic ids are one set of versions: all or none.
    let by_id = [range(ApiKey::Produce).2 >= 13, range(ApiKey::Fetch).2 >= 13];
    assert_eq!(by_id[0], by_id[1]);
    let codes: BTreeSet<i16> = table.iter().map(|row| row.0).collect();
    assert_eq!(codes.len(), table.len(), "no key twice");
}

#[tokio::test]
async fn a_version_to_come_is_answered_in_version_0_with_our_range() {
    let (_broker, mut client) = start(&[]).await;
    for version in [5, 6, 9, 100, i16::MAX, -1, i16::MIN] {
        // As a newer client would: a flexible body, which nobody here can know.
        client
            .send_raw(&any_frame(
                18,
                version,
                77,
                &[0, 4, b'n', b'e', b'w', 2, b'9', 0],
            ))
            .await;
        let answer = client
            .receive_frame()
            .await
            .expect("not a closed connection");
        // Byte for byte: correlation id, error, one key in version 0; no throttle time, no tags.
        let expected = [&[0, 0, 0, 77, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4][..]].concat();
        assert_eq!(answer, expected, "version {version}");
        let retried = client.ask(4, &good()).await;
        assert_eq!(
            retried.error_code,
            ErrorCode::NONE,
            "the connection is as good as before"
        );
    }
}

#[tokio::test]
async fn the_response_header_has_no_tags_in_any_version() {
    let (_broker, mut client) = start(&[]).await;
    for version in 0..=4 {
        client.send_raw(&frame(version, 7, &good())).await;
        let answer = client.receive_frame().await.expect("an answer");
        assert_eq!(
            answer[..6],
            [0, 0, 0, 7, 0, 0],
            "the error code follows at once in version {version}"
        );
        let count = i32::try_from(ApiKey::ALL.len()).expect("few");
        match version {
            0..3 => assert_eq!(answer[6..10], count.to_be_bytes()),
            _ => assert_eq!(i32::from(answer[6]), count + 1, "a compact array"),
        }
    }
}

#[tokio::test]
async fn software_is_named_in_letters_and_digits() {
    let (_broker, mut client) = start(&[]).await;
    for version in 3..=4 {
        for bad in [
            software("", "1"),
            software("a", ""),
            software("a b", "1"),
            software("a", "-1"),
            software("a_b", "1"),
        ] {
            let refused = client.ask(version, &bad).await;
            assert_eq!(refused.error_code, ErrorCode::INVALID_REQUEST, "{bad:?}");
        }
        assert_eq!(
            client
                .ask(version, &software("a-b.c", "2.10.0-rc1"))
                .await
                .error_code,
            ErrorCode::NONE
        );
    }
    // Before version 3 nobody says a name.
    assert_eq!(
        client.ask(2, &software("", "")).await.error_code,
        ErrorCode::NONE
    );
}

/// An answer that decodes, in every version, on a connection that stays.
async fn answered<R: Request>(client: &mut Client, request: R) {
    for version in R::KEY.versions() {
        client.ask(version, &request).await;
    }
}

#[tokio::test]
async fn every_advertised_version_answers_a_default_request() {
    let (_broker, mut client) = start(&[]).await;
    let client = &mut client;
    for key in ApiKey::ALL {
        match key {
            // With acks=0 there is no answer.
            ApiKey::Produce => {
                answered(
                    client,
                    ProduceRequest {
                        acks: 1,
                        ..Default::default()
                    },
                )
                .await
            }
            ApiKey::Fetch => answered(client, FetchRequest::default()).await,
            ApiKey::ListOffsets => answered(client, ListOffsetsRequest::default()).await,
            ApiKey::Metadata => answered(client, MetadataRequest::default()).await,
            ApiKey::FindCoordinator => answered(client, FindCoordinatorRequest::default()).await,
            ApiKey::ApiVersions => answered(client, ApiVersionsRequest::default()).await,
            ApiKey::CreateTopics => answered(client, CreateTopicsRequest::default()).await,
            ApiKey::DeleteTopics => answered(client, DeleteTopicsRequest::default()).await,
            ApiKey::InitProducerId => answered(client, InitProducerIdRequest::default()).await,
            ApiKey::OffsetForLeaderEpoch => {
                answered(client, OffsetForLeaderEpochRequest::default()).await
            }
            ApiKey::DescribeConfigs => answered(client, DescribeConfigsRequest::default()).await,
            ApiKey::CreatePartitions => answered(client, CreatePartitionsRequest::default()).await,
            ApiKey::DescribeCluster => answered(client, DescribeClusterRequest::default()).await,
        }
    }
}

#[tokio::test]
async fn what_is_not_spoken_closes_the_connection_as_in_kafka() {
    let (broker, mut good) = start(&[]).await;
    let past = ApiKey::ALL
        .iter()
        .filter(|key| **key != ApiKey::ApiVersions);
    let past = past.flat_map(|key| {
        [
            (key.code(), *key.versions().end() + 1),
            (key.code(), i16::MAX),
            (key.code(), -1),
        ]
    });
    let formats_gone = (0..3).map(|version| (ApiKey::Produce.code(), version));
    let unknown = [
        (4, 0),
        (8, 2),
        (11, 5),
        (36, 0),
        (500, 0),
        (i16::MAX, 0),
        (-1, 0),
        (i16::MIN, 0),
    ];
    for (key, version) in past.chain(formats_gone).chain(unknown) {
        let mut client = Client::connect(broker.listen).await;
        client.send_raw(&any_frame(key, version, 1, &[0; 32])).await;
        assert_eq!(
            client.receive_frame().await,
            None,
            "key {key}, version {version}"
        );
    }
    assert_eq!(good.ask(3, &self::good()).await.error_code, ErrorCode::NONE);
}
