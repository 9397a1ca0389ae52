//! Against the `kafka-protocol` crate, which is generated from Kafka's schemas: every message in every version has to
//! come out as the same bytes on both sides, whichever side wrote it.
//!
//! Ours writes, theirs reads all of it and writes it again: the bytes must be ours. That holds fields, their order, their
//! versions and nulls together, and needs no message of theirs to be put together by hand. The other way, theirs writes
//! its defaults, ours reads them and writes them again; and what ours makes of an untouched message must be the same
//! bytes, so that the defaults agree.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, where a panic is the verdict"
)]

mod support;

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, StrBytes};
use protocol::sample::{Fill, Filler, SHAPES};
use protocol::{
    ApiKey, Request, RequestHeader, decode_request, decode_response, encode_request,
    encode_response, for_each_api, messages,
};

use support::{Sample, body, header};

const SEEDS: u64 = 40;

/// Messages compared, and the versions that could not be because `kafka-protocol` does not have them.
#[derive(Debug, Default)]
struct Tally {
    compared: usize,
    unknown_there: Vec<String>,
    /// Messages whose untouched values differ.
    other_defaults: Vec<String>,
}

trait Theirs: Message + Encodable + Decodable + HeaderVersion + Default + Debug {}
impl<T: Message + Encodable + Decodable + HeaderVersion + Default + Debug> Theirs for T {}

/// Our message, their message, and what is compared of them.
fn pair<Ours, Request_, Response_>(tally: &mut Tally)
where
    Ours: Request + Sample,
    Ours::Response: Sample,
    Request_: Theirs,
    Response_: Theirs,
{
    for version in Ours::KEY.versions() {
        let known = |range: kafka_protocol::protocol::VersionRange| {
            (range.min..=range.max).contains(&version)
        };
        if !known(Request_::VERSIONS) || !known(Response_::VERSIONS) {
            let case = format!("{} v{version}", Ours::KEY.name());
            tally.unknown_there.push(case);
            continue;
        }
        for shape in SHAPES {
            for seed in 0..SEEDS {
                let mut filler = Filler::new(seed, shape);
                filled_request::<Ours, Request_>(version, &mut filler);
                filled_response::<Ours, Response_>(version, &mut filler);
                tally.compared += 2;
            }
        }
        default_request::<Ours, Request_>(version, tally);
        default_response::<Ours, Response_>(version, tally);
        tally.compared += 2;
    }
}

fn filled_request<Ours: Request + Sample, There: Theirs>(version: i16, filler: &mut Filler) {
    let head = header::<Ours>(version, filler);
    let filled = Ours::fill(filler);
    let written = body(&encode_request(&head, &filled));
    let case = || format!("{} request v{version}: {filled:?}", Ours::KEY.name());

    let mut rest = written.clone();
    let header_version = There::header_version(version);
    let their_header = theirs::RequestHeader::decode(&mut rest, header_version).unwrap();
    let client_id = their_header.client_id.as_ref().map(StrBytes::as_str);
    assert_eq!(their_header.request_api_key, Ours::KEY.code());
    assert_eq!(their_header.request_api_version, version);
    assert_eq!(their_header.correlation_id, head.correlation_id);
    assert_eq!(client_id, head.client_id.as_deref());
    let read: There = read_whole(rest, version, case);
    let mut again = BytesMut::new();
    their_header.encode(&mut again, header_version).unwrap();
    read.encode(&mut again, version).unwrap();
    assert_eq!(again, written, "{} became {read:?}", case());
}

fn filled_response<Ours, There>(version: i16, filler: &mut Filler)
where
    Ours: Request,
    Ours::Response: Sample,
    There: Theirs,
{
    let filled = Ours::Response::fill(filler);
    let correlation_id = i32::fill(filler);
    let written = body(&encode_response::<Ours>(correlation_id, version, &filled));
    let case = || format!("{} response v{version}: {filled:?}", Ours::KEY.name());

    let mut rest = written.clone();
    let header_version = There::header_version(version);
    let their_header = theirs::ResponseHeader::decode(&mut rest, header_version).unwrap();
    assert_eq!(their_header.correlation_id, correlation_id, "{}", case());
    let read: There = read_whole(rest, version, case);
    let mut again = BytesMut::new();
    their_header.encode(&mut again, header_version).unwrap();
    read.encode(&mut again, version).unwrap();
    assert_eq!(again, written, "{} became {read:?}", case());
}

fn read_whole<There: Theirs>(mut bytes: Bytes, version: i16, case: impl Fn() -> String) -> There {
    let read = There::decode(&mut bytes, version);
    let read = read.unwrap_or_else(|error| panic!("theirs refuses: {error:#}: {}", case()));
    assert!(bytes.is_empty(), "theirs leaves {bytes:?}: {}", case());
    read
}

fn default_request<Ours: Request + Sample, There: Theirs>(version: i16, tally: &mut Tally) {
    let case = format!("{} request v{version}", Ours::KEY.name());
    let their_header = theirs::RequestHeader::default()
        .with_request_api_key(Ours::KEY.code())
        .with_request_api_version(version)
        .with_correlation_id(77)
        .with_client_id(Some(StrBytes::from_static_str("differential")));
    let mut written = BytesMut::new();
    let header_version = There::header_version(version);
    their_header.encode(&mut written, header_version).unwrap();
    There::default().encode(&mut written, version).unwrap();
    let written = written.freeze();

    let (head, read) = decode_request::<Ours>(written.clone()).unwrap();
    let expected = RequestHeader {
        api_key: Ours::KEY.code(),
        api_version: version,
        correlation_id: 77,
        client_id: Some("differential".to_owned()),
    };
    assert_eq!(head, expected);
    assert_eq!(body(&encode_request(&head, &read)), written, "{case}");
    let untouched = body(&encode_request(&head, &Ours::default()));
    if untouched != written {
        tally.other_defaults.push(case);
    }
}

fn default_response<Ours, There>(version: i16, tally: &mut Tally)
where
    Ours: Request,
    Ours::Response: Sample,
    There: Theirs,
{
    let case = format!("{} response v{version}", Ours::KEY.name());
    let their_header = theirs::ResponseHeader::default().with_correlation_id(77);
    let mut written = BytesMut::new();
    let header_version = There::header_version(version);
    their_header.encode(&mut written, header_version).unwrap();
    There::default().encode(&mut written, version).unwrap();
    let written = written.freeze();

    let (correlation_id, read) = decode_response::<Ours>(version, written.clone()).unwrap();
    assert_eq!(correlation_id, 77);
    let again = body(&encode_response::<Ours>(77, version, &read));
    assert_eq!(again, written, "{case}");
    let untouched = body(&encode_response::<Ours>(
        77,
        version,
        &Ours::Response::default(),
    ));
    if untouched != written {
        tally.other_defaults.push(case);
    }
}

macro_rules! every_pair {
    (() $($(#[$doc:meta])* $name:ident($request:ident, $response:ident) = $facts:tt;)*) => {
        fn every_pair(tally: &mut Tally) {
            $(pair::<messages::$request, theirs::$request, theirs::$response>(tally);)*
        }
    };
}

for_each_api!(every_pair());

#[test]
fn both_write_the_same_bytes() {
    let mut tally = Tally::default();
    every_pair(&mut tally);
    println!("{} messages compared", tally.compared);
    println!("not in kafka-protocol 0.18: {:?}", tally.unknown_there);
    // All that is spoken here is in kafka-protocol 0.18. An API that outgrows it is to be named here with the reason.
    let nowhere: [String; 0] = [];
    assert_eq!(tally.unknown_there, nowhere);
    assert_eq!(tally.other_defaults, null_here());
    let versions: usize = ApiKey::ALL.iter().map(|key| key.versions().count()).sum();
    let each = 2 * (SHAPES.len() * usize::try_from(SEEDS).unwrap() + 1);
    assert_eq!(tally.compared, versions * each);
}

/// Nullable fields that Kafka's schemas leave without a default. `kafka-protocol` starts them empty, as Kafka's generator
/// does; here every `Option` starts as null, which in these messages is what is meant: all topics, no transaction, no
/// error message.
fn null_here() -> Vec<String> {
    let metadata = (1..=13).map(|version| format!("Metadata request v{version}"));
    let coordinator = (1..=3).map(|version| format!("FindCoordinator response v{version}"));
    let producer = (0..=5).map(|version| format!("InitProducerId request v{version}"));
    metadata.chain(coordinator).chain(producer).collect()
}
