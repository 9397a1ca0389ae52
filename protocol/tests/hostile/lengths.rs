//! Lengths that lie, arrays that are long, and what is too large to be read.

use bytes::Bytes;
use protocol::messages::fetch::{FetchPartition, FetchTopic};
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::messages::{FetchRequest, ProduceRequest};
use protocol::records::{BatchOptions, Record, build_batch};
use protocol::sample::{Filler, Shape};
use protocol::{Decode, DecodeError, Reader, Records, RequestHeader, encode_request};

use crate::bodies;
use crate::headers::header_bytes;
use crate::specimens::specimens;
use crate::support::{body, header};

/// Lengths that lie, in every form, written over every position: wherever a length is, it is hit.
#[test]
fn lying_lengths_are_survived() {
    let classic: [&[u8]; 5] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xfe],
        &[0x80, 0, 0, 0],
        &[0x7f, 0xff],
        &[0xff, 0xfe],
    ];
    let compact: [&[u8]; 4] = [
        &[0x80, 0x80, 0x80, 0x80, 0x08],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0xff, 0xff, 0x03],
    ];
    for specimen in [Shape::Full, Shape::Extreme]
        .into_iter()
        .flat_map(specimens)
    {
        // What follows in the large ones is text.
        for position in (specimen.fixed..specimen.bytes.len()).take(400) {
            let (front, back) = specimen.bytes.split_at(position);
            for lie in classic {
                let back = back.get(lie.len()..).unwrap_or_default();
                let _ = (specimen.feed)(&[front, lie, back].concat());
            }
            for lie in compact.into_iter().filter(|_| specimen.flexible) {
                let _ = (specimen.feed)(&[front, lie, &back[1..]].concat());
            }
        }
    }
}

#[test]
fn an_array_is_as_long_as_it_can_be() {
    // The body of Metadata starts with an array.
    let classic = |length: i32| {
        let front = header_bytes(3, 1, b"me", 2);
        bodies::request(&[&front[..], &length.to_be_bytes()].concat())
    };
    assert_eq!(classic(i32::MAX), Err(DecodeError::Truncated));
    assert_eq!(classic(1), Err(DecodeError::Truncated));
    assert_eq!(classic(-2), Err(DecodeError::Malformed));
    assert_eq!(classic(i32::MIN), Err(DecodeError::Malformed));
    assert_eq!(classic(-1), Ok(()));
    assert_eq!(classic(0), Ok(()));
    let flexible = |length: &[u8]| {
        let front = header_bytes(3, 12, b"me", 2);
        bodies::request(&[&front[..], &[0], length, &[1, 1, 0]].concat())
    };
    let truncated = Err(DecodeError::Truncated);
    assert_eq!(flexible(&[0x80, 0x80, 0x80, 0x80, 0x08]), truncated);
    assert_eq!(flexible(&[0xff, 0xff, 0xff, 0xff, 0x0f]), truncated);
    let malformed = Err(DecodeError::Malformed);
    assert_eq!(flexible(&[0xff, 0xff, 0xff, 0xff, 0x1f]), malformed);
    assert_eq!(flexible(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), malformed);
    assert_eq!(flexible(&[1]), Ok(()));
}

/// Arrays as long as the frame can hold, of the smallest elements there are: what decodes into most memory.
#[test]
fn long_arrays_of_small_elements_stay_in_bounds() {
    const FILL_BYTES: usize = 64 * 1024;
    const POSITIONS: usize = 40;
    let mut accepted = 0_usize;
    for specimen in [Shape::Empty, Shape::Null, Shape::Full]
        .into_iter()
        .flat_map(specimens)
    {
        for position in (specimen.fixed..specimen.bytes.len()).take(POSITIONS) {
            for (share, fill) in [(1, 1), (2, 0), (4, 1), (6, 1), (8, 0), (16, 0), (32, 1)] {
                let count = u32::try_from(FILL_BYTES / share).unwrap();
                let mut long = specimen.bytes[..position].to_vec();
                if specimen.flexible {
                    compact(&mut long, count + 1);
                } else {
                    long.extend_from_slice(&count.to_be_bytes());
                }
                long.resize(long.len() + FILL_BYTES, fill);
                accepted += usize::from((specimen.feed)(&long) != Err(DecodeError::Truncated));
            }
        }
    }
    println!("{accepted} read beyond the array");
    assert!(accepted > 0);
}

pub(crate) fn compact(bytes: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
}

/// Held to twice its frame, a Produce request of the smallest batches is read, and one that only names partitions is not.
#[test]
fn who_holds_a_reader_to_less_decides_what_is_too_large() {
    let smallest = build_batch(&[Record::default()], BatchOptions::default());
    let decode = |count, records: Option<Bytes>| {
        let partition = PartitionProduceData {
            index: 0,
            records: records.map(Records::from),
        };
        let topic = TopicProduceData {
            name: "t".to_owned(),
            partition_data: vec![partition; count],
        };
        let request = ProduceRequest {
            topic_data: vec![topic],
            ..Default::default()
        };
        let head = header::<ProduceRequest>(9, &mut Filler::new(1, Shape::Full));
        let mut reader = Reader::new(body(&encode_request(&head, &request)));
        RequestHeader::decode(&mut reader).unwrap();
        reader.hold_to(2);
        ProduceRequest::decode(&mut reader, 9).map(|_| ())
    };
    assert_eq!(decode(100_000, Some(smallest)), Ok(()));
    assert_eq!(decode(100_000, None), Err(DecodeError::TooLarge));
}

/// Each entry takes time to be read, though hardly a byte: a list of a million names kept a thread busy.
#[test]
fn entries_of_all_lists_of_a_request_are_counted_together() {
    let topic = FetchTopic {
        topic: String::new(),
        partitions: vec![FetchPartition::default(); 9],
    };
    let request = FetchRequest {
        topics: vec![topic; 10],
        ..Default::default()
    };
    for version in [4, 12] {
        let head = header::<FetchRequest>(version, &mut Filler::new(1, Shape::Full));
        let frame = body(&encode_request(&head, &request));
        let read = |entries| {
            let mut reader = Reader::new(frame.clone());
            RequestHeader::decode(&mut reader).unwrap();
            reader.hold_to_entries(entries);
            FetchRequest::decode(&mut reader, version).map(|_| ())
        };
        assert_eq!(read(100), Ok(()), "{version}");
        assert_eq!(read(99), Err(DecodeError::TooMany), "{version}");
        assert_eq!(read(9), Err(DecodeError::TooMany), "{version}");
    }
}
