//! What is seen is what is there, and damage is survived.

use proptest::prelude::*;

use super::*;
use crate::compression::compress;
use crate::record_batch::{crc_matches, stamp_log_append_time};

fn any_records() -> impl Strategy<Value = Vec<Record>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let headers = proptest::collection::vec((bytes(), proptest::option::of(bytes())), 0..4);
    let optional = || proptest::option::of(bytes());
    let record = (
        any::<i32>(),
        -1_000_000_i64..1_000_000,
        optional(),
        optional(),
        headers,
    );
    let record = record.prop_map(
        |(offset_delta, timestamp_delta, key, value, headers)| Record {
            offset_delta,
            timestamp_delta,
            key,
            value,
            headers,
        },
    );
    proptest::collection::vec(record, 1..50)
}

proptest! {
    #[test]
    fn what_is_seen_is_what_is_there(records in any_records()) {
        let plain = packed(Codec::None, &records);
        for codec in Codec::ALL {
            let batch = packed(codec, &records);
            let expected: Vec<_> = (0..).zip(&records).map(|(index, record)| Seen {
                index,
                offset_delta: record.offset_delta,
                timestamp_delta: record.timestamp_delta,
                has_key: record.key.is_some(),
            }).collect();
            prop_assert_eq!(seen_of(&batch, MANY), Ok(expected));
            let header = BatchHeader::read(&batch).unwrap();
            let bytes = walk_and_unpack(&batch, &header, MANY, &mut Allowance::of(MANY), |_| ControlFlow::Continue(()));
            prop_assert_eq!(bytes.unwrap(), plain.slice(HEADER_BYTES..));
        }
    }

    #[test]
    fn search_by_time_agrees_with_a_look_at_each(records in any_records(), wanted in -1_000_000_i64..1_000_000) {
        let batch = packed(Codec::Zstd, &records);
        let first = records.iter().find(|r| r.timestamp_delta >= wanted);
        let first = first.map(|r| (r.offset_delta, r.timestamp_delta));
        prop_assert_eq!(first_at_or_after(&batch, wanted, &mut Allowance::of(MANY)).unwrap(), first);
        let largest = records.iter().map(|r| r.timestamp_delta).max().unwrap();
        let first = records.iter().find(|r| r.timestamp_delta == largest).unwrap();
        let found = first_with_max_timestamp(&batch, &mut Allowance::of(MANY)).unwrap();
        prop_assert_eq!(found, (first.offset_delta, largest));
    }

    #[test]
    fn damage_is_survived(records in any_records(), position: prop::sample::Index, flip in 1..=255_u8) {
        for codec in Codec::ALL {
            let mut damaged = packed(codec, &records).to_vec();
            let position = position.index(damaged.len());
            damaged[position] ^= flip;
            let _ = seen_of(&damaged, MANY);
        }
    }
}

#[test]
fn after_log_append_time_every_record_has_the_batchs_time() {
    let batch = packed(Codec::None, &[record(0), record(1)]);
    let stamped = stamp_log_append_time(&batch, 400);
    let largest = |batch| first_with_max_timestamp(batch, &mut Allowance::of(MANY));
    let from = |at| first_at_or_after(&stamped, at, &mut Allowance::of(MANY));
    assert_eq!(largest(&batch), Ok((1, 1000)));
    assert_eq!(largest(&stamped), Ok((0, 400)));
    assert_eq!(from(400), Ok(Some((0, 400))));
    assert_eq!(from(401), Ok(None));
}

#[test]
fn a_batch_packed_again_keeps_its_records() {
    for from in Codec::ALL {
        let batch = packed(from, &[record(0), record(1)]);
        let header = BatchHeader::read(&batch).unwrap();
        let unpacked = walk_and_unpack(&batch, &header, MANY, &mut Allowance::of(MANY), |_| {
            ControlFlow::Continue(())
        });
        for (to, level) in Codec::ALL.into_iter().zip([0, -1, 0, 9, 3]) {
            let unpacked = unpacked.as_ref().unwrap();
            let again = repack(&batch, unpacked, (to, level), &|| true).unwrap();
            let header = BatchHeader::read(&again).unwrap();
            assert_eq!(header.codec(), Some(to));
            assert_eq!(header.size, again.len());
            assert!(crc_matches(&again, &header));
            assert_eq!(seen_of(&again, MANY), seen_of(&batch, MANY));
        }
    }
    assert!(compress(Codec::Zstd, b"").is_ok());
}
