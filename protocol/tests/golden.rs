//! Frames that real clients sent to Apache Kafka 4.3.1, and its answers: they decode, and encode to the same bytes.
//!
//! `golden/CLIENT.API.vVERSION.{request,response}.bin` holds a frame without its length. They were recorded by a proxy
//! between the client and the broker, which lowered the versions that ApiVersions offers to those spoken here; one pair
//! per client, API and version, the largest below 3.5 KB.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, where a panic is the verdict"
)]

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use protocol::{
    ApiKey, DecodeError, Request, RequestHeader, decode_request, decode_response, encode_request,
    encode_response, for_each_api, messages, unsupported_version_response,
};

/// One recorded frame.
struct Golden {
    file: String,
    client: String,
    key: ApiKey,
    version: i16,
    is_request: bool,
    bytes: Bytes,
}

fn golden() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut golden: Vec<_> = entries.map(|entry| parse(&entry.path())).collect();
    golden.sort_by(|a, b| a.file.cmp(&b.file));
    golden
}

fn parse(path: &Path) -> Golden {
    let file = path.file_name().unwrap().to_str().unwrap().to_owned();
    let parts: Vec<_> = file.split('.').collect();
    let [client, api, version, direction, "bin"] = parts[..] else {
        panic!("{file} is not named as the others are");
    };
    let key = ApiKey::ALL.iter().find(|key| key.name() == api).unwrap();
    Golden {
        client: client.to_owned(),
        key: *key,
        version: version.strip_prefix('v').unwrap().parse().unwrap(),
        is_request: direction == "request",
        bytes: std::fs::read(path).unwrap().into(),
        file,
    }
}

/// Decodes and encodes; what comes out, without the length.
fn again<R: Request>(golden: &Golden) -> Result<Bytes, DecodeError> {
    let frame = if golden.is_request {
        let (header, request) = decode_request::<R>(golden.bytes.clone())?;
        assert_eq!(header.api_version, golden.version, "{}", golden.file);
        encode_request(&header, &request)
    } else {
        let (id, response) = decode_response::<R>(golden.version, golden.bytes.clone())?;
        encode_response::<R>(id, golden.version, &response)
    };
    Ok(Bytes::from(frame.concat()).slice(4..))
}

macro_rules! again_of {
    (() $($(#[$doc:meta])* $name:ident($request:ident, $response:ident) = $facts:tt;)*) => {
        fn again_of(golden: &Golden) -> Result<Bytes, DecodeError> {
            match golden.key {
                $(ApiKey::$name => again::<messages::$request>(golden),)*
            }
        }
    };
}

for_each_api!(again_of());

fn is_spoken(golden: &Golden) -> bool {
    golden.key.versions().contains(&golden.version)
}

#[test]
fn recorded_frames_come_out_as_they_were() {
    let mut others = Vec::new();
    let mut same = 0_usize;
    for golden in golden().iter().filter(|golden| is_spoken(golden)) {
        let again = again_of(golden).unwrap_or_else(|error| panic!("{}: {error}", golden.file));
        if again == golden.bytes {
            same += 1;
        } else {
            others.push(golden.file.clone());
        }
    }
    println!("{same} frames");
    let nothing: [String; 0] = [];
    assert_eq!(others, nothing);
    assert!(same >= 122, "only {same} frames were there");
}

#[test]
fn every_client_and_every_api_is_there() {
    let golden = golden();
    let clients: BTreeSet<_> = golden.iter().map(|golden| golden.client.as_str()).collect();
    let expected = [
        "franz-go",
        "java",
        "kafka-python",
        "kafkajs",
        "kcat",
        "librdkafka",
    ];
    assert_eq!(clients, BTreeSet::from(expected));
    let seen: BTreeSet<_> = golden.iter().map(|golden| golden.key).collect();
    assert!(seen.iter().eq(ApiKey::ALL));
}

/// franz-go first asks in a version of ApiVersions that nobody speaks yet; what Kafka answers is what is answered here.
#[test]
fn a_version_to_come_is_answered_as_kafka_does() {
    let golden = golden();
    let unknown: Vec<_> = golden.iter().filter(|golden| !is_spoken(golden)).collect();
    let [asked, answered] = unknown[..] else {
        panic!("{} frames of unknown versions", unknown.len());
    };
    let header = RequestHeader::peek(&asked.bytes, asked.bytes.len());
    let header = header.unwrap().unwrap();
    assert_eq!((header.api_key, header.api_version), (18, 5));
    assert_eq!(
        decode_request::<messages::ApiVersionsRequest>(asked.bytes.clone()).unwrap_err(),
        DecodeError::Unsupported {
            key: 18,
            version: 5
        }
    );
    let answer = unsupported_version_response(header.correlation_id).concat();
    assert_eq!(answer[4..], answered.bytes);
}
