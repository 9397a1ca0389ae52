//! Contents that contradict their batch or themselves, or that Kafka's clients do not read.

use super::*;
use crate::compression::compress;

#[test]
fn every_cut_is_an_error() {
    for codec in Codec::ALL {
        let batch = packed(codec, &[record(0), record(1)]);
        for length in HEADER_BYTES..batch.len() {
            // Cut, and said to be so long.
            let contents = &batch[HEADER_BYTES..length];
            let cut = Bytes::from([&batch[..HEADER_BYTES], contents].concat());
            let mut header = BatchHeader::read(&cut).unwrap();
            header.size = cut.len();
            let walked = walk(&cut, &header, &mut Allowance::of(MANY), |_| {
                ControlFlow::Continue(())
            });
            assert!(walked.is_err(), "{codec:?} {length}");
        }
    }
}

#[test]
fn what_follows_the_records_is_an_error_and_so_is_a_missing_one() {
    let records = packed(Codec::None, &[record(0), record(1)]).slice(HEADER_BYTES..);
    for codec in Codec::ALL {
        let walked = |contents: &[u8], count| seen_of(&around(codec, contents, count), MANY);
        assert_eq!(walked(&records, 2).unwrap().len(), 2, "{codec:?}");
        assert!(walked(&records, 1).is_err(), "{codec:?}");
        assert_eq!(walked(&records, 3), Err(BatchError::Truncated), "{codec:?}");
        let followed = [&records, &b"x"[..]].concat();
        assert!(walked(&followed, 2).is_err(), "{codec:?}");
        assert_eq!(walked(b"", 1), Err(BatchError::Truncated), "{codec:?}");
        assert!(walked(&[0xff; 40], 2).is_err(), "{codec:?}");
        // A second frame, or anything else, behind the first one.
        let packed = around(codec, &records, 2);
        let garbage = Bytes::from([&packed, &b"garbage"[..]].concat());
        let mut header = BatchHeader::read(&garbage).unwrap();
        header.size = garbage.len();
        let walked = walk(&garbage, &header, &mut Allowance::of(MANY), |_| {
            ControlFlow::Continue(())
        });
        assert!(walked.is_err(), "{codec:?}");
    }
}

#[test]
fn lengths_that_contradict_each_other_are_errors() {
    let one = |record: &[u8]| {
        let length = u8::try_from(record.len() * 2).unwrap();
        seen_of(&around(Codec::None, &[&[length], record].concat(), 1), MANY)
    };
    // Attributes, timestamp, offset, key, value, headers.
    assert!(one(&[0, 0, 0, 1, 1, 0]).is_ok());
    assert!(
        one(&[0, 0, 0, 1, 1, 0, 0]).is_err(),
        "longer than its parts"
    );
    assert!(one(&[0, 0, 0, 1, 2, 0]).is_err(), "a value over the end");
    assert!(one(&[0, 0, 0, 3, 1, 0]).is_err(), "a length of -2");
    assert!(one(&[0, 0, 0, 1, 1, 1]).is_err(), "-1 headers");
    assert!(one(&[0, 0, 0, 1, 1, 2, 1, 1]).is_err(), "no name");
    assert!(one(&[0, 0, 0, 1, 1, 2, 0, 1]).is_ok(), "an empty name");
}

#[test]
fn numbers_longer_than_kafka_reads_are_refused() {
    // Length, attributes, timestamp, offset, key, value, headers.
    let five = [0x80, 0x80, 0x80, 0x80, 0];
    let six = [0x80, 0x80, 0x80, 0x80, 0x80, 0];
    let ten = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0];
    let eleven = [&[0x80], &ten[..]].concat();
    let one = |timestamp: &[u8], offset: &[u8]| {
        let record = [&[0], timestamp, offset, &[1, 1, 0]].concat();
        let length = u8::try_from(record.len() * 2).unwrap();
        sealed(Codec::None, &[&[length], &record[..]].concat(), 1)
    };
    assert!(one(&ten, &five).is_ok());
    assert!(one(&[0], &six).is_err());
    assert!(one(&eleven, &[0]).is_err());
    let length = [0x8c, 0x80, 0x80, 0x80, 0x80, 0];
    let record = [0, 0, 0, 1, 1, 0];
    let with = |length: &[u8]| sealed(Codec::None, &[length, &record[..]].concat(), 1);
    assert!(with(&[12]).is_ok());
    assert!(with(&length).is_err());
}

#[test]
fn frames_that_javas_consumer_does_not_read_are_refused() {
    let records = packed(Codec::None, &[record(0), record(1)]).slice(HEADER_BYTES..);
    let lz4 = |mode| {
        let mut info = lz4_flex::frame::FrameInfo::new();
        info.block_mode = mode;
        let mut frame = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        std::io::Write::write_all(&mut frame, &records).unwrap();
        sealed(Codec::Lz4, &frame.finish().unwrap(), 2)
    };
    assert!(lz4(lz4_flex::frame::BlockMode::Independent).is_ok());
    assert!(lz4(lz4_flex::frame::BlockMode::Linked).is_err());
}

/// It aborts at an empty first member, and reads the first of several alone.
#[test]
fn gzip_that_librdkafka_does_not_read_is_refused() {
    let records = packed(Codec::None, &[record(0), record(1)]).slice(HEADER_BYTES..);
    let (half, rest) = records.split_at(records.len() / 2);
    let of = |members: &[&[u8]]| {
        let members = members
            .iter()
            .map(|bytes| compress(Codec::Gzip, bytes).unwrap());
        sealed(Codec::Gzip, &members.collect::<Vec<_>>().concat(), 2)
    };
    assert!(of(&[&records]).is_ok());
    for members in [[b"", &records[..]], [half, rest], [&records[..], b""]] {
        assert!(of(&members).is_err());
    }
}
