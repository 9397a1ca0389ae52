//! The table of what is refused, and how.

use bytes::Bytes;
use protocol::ErrorCode;
use protocol::compression::Codec;
use protocol::messages::ProduceRequest;
use protocol::records::BatchOptions;

use super::{HOUR_MS, at};
use crate::shapes::{altered, batch_of_size, now_ms, numbered};
use crate::support::client::{batch, batch_with, produce_request};

/// What a partition is sent, where, and what it must be answered with.
pub(super) struct Case {
    pub(super) what: &'static str,
    topic: &'static str,
    pub(super) partition: i32,
    records: Option<Bytes>,
    pub(super) code: ErrorCode,
    /// The record at fault.
    pub(super) record: Option<i32>,
}

fn case(what: &'static str, topic: &'static str, records: Bytes, code: ErrorCode) -> Case {
    Case {
        what,
        topic,
        partition: 0,
        records: Some(records),
        code,
        record: None,
    }
}

/// Section 3.2 of the compatibility notes, in its order.
pub(super) fn refusals() -> Vec<Case> {
    let good = batch(&["a", "b"]);
    let mut flipped = good.to_vec();
    *flipped.last_mut().expect("bytes") ^= 1;
    let cut = good.slice(..good.len() - 1);
    let now = now_ms();
    vec![
        case("nothing", "t", Bytes::new(), ErrorCode::INVALID_RECORD),
        Case {
            records: None,
            ..case("null", "t", Bytes::new(), ErrorCode::INVALID_RECORD)
        },
        case(
            "two batches",
            "t",
            [good.clone(), good.clone()].concat().into(),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "magic 0",
            "t",
            altered(&good, 16, &[0]),
            ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        ),
        case(
            "magic 1",
            "t",
            altered(&good, 16, &[1]),
            ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        ),
        case(
            "codec 5",
            "t",
            altered(&good, 21, &5_i16.to_be_bytes()),
            ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
        ),
        case(
            "too large",
            "small",
            batch_of_size(501),
            ErrorCode::MESSAGE_TOO_LARGE,
        ),
        case(
            "a wrong checksum",
            "t",
            flipped.into(),
            ErrorCode::CORRUPT_MESSAGE,
        ),
        case("cut short", "t", cut, ErrorCode::CORRUPT_MESSAGE),
        case(
            "a negative length",
            "t",
            altered(&good, 8, &(-1_i32).to_be_bytes()),
            ErrorCode::CORRUPT_MESSAGE,
        ),
        case(
            "less than a header",
            "t",
            good.slice(..40),
            ErrorCode::CORRUPT_MESSAGE,
        ),
        case(
            "no records",
            "t",
            altered(&good, 57, &0_i32.to_be_bytes()),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "fewer records than offsets",
            "t",
            altered(&good, 57, &1_i32.to_be_bytes()),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "a last offset delta of -1",
            "t",
            altered(&good, 23, &(-1_i32).to_be_bytes()),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "a third record announced and not there",
            "t",
            altered(
                &altered(&good, 23, &2_i32.to_be_bytes()),
                57,
                &3_i32.to_be_bytes(),
            ),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "a control batch",
            "t",
            with_attributes(1 << 5),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "no transaction",
            "t",
            numbered_in_transaction(),
            ErrorCode::INVALID_TXN_STATE,
        ),
        case(
            "no sequence",
            "t",
            numbered(&["a"], 7, 0, -1),
            ErrorCode::INVALID_RECORD,
        ),
        case(
            "append time from a client",
            "t",
            with_attributes(1 << 3),
            ErrorCode::INVALID_TIMESTAMP,
        ),
        Case {
            record: Some(0),
            ..case(
                "the future",
                "t",
                at(now + 2 * HOUR_MS),
                ErrorCode::INVALID_TIMESTAMP,
            )
        },
        Case {
            record: Some(0),
            ..case(
                "the far future",
                "t",
                at(i64::MAX),
                ErrorCode::INVALID_TIMESTAMP,
            )
        },
        Case {
            record: Some(0),
            ..case(
                "the past",
                "recent",
                at(now - 2 * HOUR_MS),
                ErrorCode::INVALID_TIMESTAMP,
            )
        },
        Case {
            record: Some(1),
            ..case(
                "no key",
                "keyed",
                keyed_but_the_second(Codec::None),
                ErrorCode::INVALID_RECORD,
            )
        },
        Case {
            record: Some(1),
            ..case(
                "no key, packed",
                "keyed",
                keyed_but_the_second(Codec::Gzip),
                ErrorCode::INVALID_RECORD,
            )
        },
        case(
            "no such topic",
            "nowhere",
            good.clone(),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ),
        Case {
            partition: 1,
            ..case(
                "past the last",
                "t",
                good.clone(),
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            )
        },
        Case {
            partition: -1,
            ..case(
                "-1",
                "t",
                good.clone(),
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            )
        },
        Case {
            partition: i32::MAX,
            ..case(
                "the largest",
                "t",
                good,
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            )
        },
    ]
}

fn numbered_in_transaction() -> Bytes {
    let options = BatchOptions {
        producer_id: 7,
        producer_epoch: 0,
        base_sequence: 0,
        attributes: 1 << 4,
        ..BatchOptions::default()
    };
    batch_with(&["a"], options)
}

fn with_attributes(attributes: i16) -> Bytes {
    batch_with(
        &["a"],
        BatchOptions {
            attributes,
            ..BatchOptions::default()
        },
    )
}

fn keyed_but_the_second(codec: Codec) -> Bytes {
    let record = |offset_delta, key: Option<&'static str>| protocol::records::Record {
        offset_delta,
        key: key.map(|key| Bytes::from_static(key.as_bytes())),
        value: Some(Bytes::from_static(b"v")),
        ..Default::default()
    };
    let options = BatchOptions {
        codec,
        ..BatchOptions::default()
    };
    protocol::records::build_batch(
        &[record(0, Some("k")), record(1, None), record(2, Some("k"))],
        options,
    )
}

pub(super) fn request_of(case: &Case) -> ProduceRequest {
    let mut request = produce_request(case.topic, case.partition, -1, Bytes::new());
    request.topic_data[0].partition_data[0].records = case.records.clone().map(Into::into);
    request
}
