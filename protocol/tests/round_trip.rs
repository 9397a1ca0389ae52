//! Round trips: what is written reads back, and writes the same bytes again, for every message in every version.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, where a panic is the verdict"
)]

mod support;

use proptest::prelude::*;
use protocol::messages::create_partitions::CreatePartitionsTopicResult;
use protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use protocol::sample::{Fill, Filler, SHAPES, Shape};
use protocol::{
    ApiKey, Encode, ErrorCode, Request, decode_request, decode_response, encode_request,
    encode_response,
};

use support::{Sample, Visitor, body, every_api, header};

/// One seed and shape through every API and version, and how many messages that were.
struct RoundTrip {
    seed: u64,
    messages: usize,
}

impl Visitor for RoundTrip {
    fn visit<R>(&mut self)
    where
        R: Request + Sample,
        R::Response: Sample,
    {
        for version in R::KEY.versions() {
            for shape in SHAPES {
                let mut filler = Filler::new(self.seed, shape);
                request_round_trip::<R>(version, &mut filler);
                response_round_trip::<R>(version, &mut filler);
                self.messages += 2;
            }
        }
    }
}

fn request_round_trip<R: Request + Sample>(version: i16, filler: &mut Filler) {
    let sent = header::<R>(version, filler);
    let filled = R::fill(filler);
    let bytes = body(&encode_request(&sent, &filled));
    let case = || format!("{} v{version} {filled:?}", R::KEY.name());
    let (read_header, read) = decode_request::<R>(bytes.clone()).unwrap_or_else(|error| {
        panic!("{error}: {}", case());
    });
    assert_eq!(read_header, sent, "{}", case());
    let again = body(&encode_request(&read_header, &read));
    assert_eq!(again, bytes, "{}", case());
    // What the version carries is in `read`; so from here on the structs are equal too.
    assert_eq!(decode_request::<R>(again).unwrap().1, read, "{}", case());
}

fn response_round_trip<R>(version: i16, filler: &mut Filler)
where
    R: Request,
    R::Response: Sample,
{
    let filled = R::Response::fill(filler);
    let bytes = body(&encode_response::<R>(-7, version, &filled));
    let case = || format!("{} v{version} {filled:?}", R::KEY.name());
    let (correlation_id, read) =
        decode_response::<R>(version, bytes.clone()).unwrap_or_else(|error| {
            panic!("{error}: {}", case());
        });
    assert_eq!(correlation_id, -7);
    let again = body(&encode_response::<R>(-7, version, &read));
    assert_eq!(again, bytes, "{}", case());
    assert_eq!(
        decode_response::<R>(version, again).unwrap().1,
        read,
        "{}",
        case()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_message_survives(seed: u64) {
        let mut trip = RoundTrip { seed, messages: 0 };
        every_api(&mut trip);
        prop_assert!(trip.messages >= 10 * ApiKey::ALL.len());
    }
}

#[test]
fn the_first_error_of_an_answer_is_found_however_deep_it_lies() {
    let result = |error_code| CreatePartitionsTopicResult {
        error_code,
        ..CreatePartitionsTopicResult::default()
    };
    let answer = |codes: &[ErrorCode]| CreatePartitionsResponse {
        results: codes.iter().copied().map(result).collect(),
        ..CreatePartitionsResponse::default()
    };
    let (none, refused) = (ErrorCode::NONE, ErrorCode::INVALID_PARTITIONS);
    assert_eq!(answer(&[]).first_error(), none);
    assert_eq!(answer(&[none, none]).first_error(), none);
    let several = answer(&[none, refused, ErrorCode::INVALID_REQUEST]);
    assert_eq!(several.first_error(), refused);
}

/// A field that a version does not carry comes back as its default, and every other one as it was.
#[test]
fn the_newest_version_keeps_every_field() {
    struct Newest(Vec<&'static str>);
    impl Visitor for Newest {
        fn visit<R>(&mut self)
        where
            R: Request + Sample,
            R::Response: Sample,
        {
            let version = *R::KEY.versions().end();
            let mut filler = Filler::new(11, Shape::Full);
            let sent = header::<R>(version, &mut filler);
            let request = R::fill(&mut filler);
            let bytes = body(&encode_request(&sent, &request));
            if decode_request::<R>(bytes).unwrap().1 != request {
                self.0.push(R::KEY.name());
            }
        }
    }
    let mut newest = Newest(Vec::new());
    every_api(&mut newest);
    // The newest versions of these dropped a field that older ones had.
    let dropped = ["Metadata", "FindCoordinator", "DeleteTopics"];
    // A list of slices reads back as one slice.
    let expected: Vec<_> = std::iter::once("Produce").chain(dropped).collect();
    assert_eq!(newest.0, expected);
}

/// An error message may quote what the client sent, and so come out longer than a 16-bit length can say.
#[test]
fn a_text_too_long_for_its_version_is_cut() {
    let long = format!("x{}", "\u{4e2d}".repeat(20_000));
    let response = CreatePartitionsResponse {
        results: vec![CreatePartitionsTopicResult {
            name: "after".to_owned(),
            error_message: Some(long.clone()),
            ..CreatePartitionsTopicResult::default()
        }],
        ..CreatePartitionsResponse::default()
    };
    let read = |version| {
        let bytes = body(&encode_response::<CreatePartitionsRequest>(
            1, version, &response,
        ));
        let read = decode_response::<CreatePartitionsRequest>(version, bytes);
        let mut results = read.unwrap().1.results;
        results.pop().unwrap().error_message.unwrap()
    };
    let classic = read(1);
    assert!(long.starts_with(&classic));
    // The largest whole number of characters below 2^15 bytes.
    assert_eq!(classic.len(), 1 + 3 * 10_922);
    assert_eq!(read(2), long);
}
