//! Input that is cut, bent, random or made to be large: an error, never a panic, and never more memory than 16 times the
//! frame and 64 KiB. The bodies that judge it are the fuzz targets' own.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the verdict"
)]

mod support;

#[path = "../fuzz/src/bodies.rs"]
mod bodies;
#[path = "../fuzz/src/counting.rs"]
mod counting;

use bytes::Bytes;
use protocol::compression::{Codec, CompressionError};
use protocol::messages::ProduceRequest;
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::record_batch::{BatchError, HEADER_BYTES};
use protocol::records::{BatchOptions, Record, build_batch};
use protocol::sample::{Fill, Filler, SHAPES, Shape};
use protocol::{ApiKey, Decode, DecodeError, Reader, Records, Request, RequestHeader};
use protocol::{encode_request, encode_response, frame};

use support::{Sample, Visitor, body, every_api, header};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// One valid message as bytes, and what to feed changed bytes of it to.
struct Specimen {
    what: String,
    bytes: Bytes,
    /// Those in front that say which message it is, and are left alone.
    fixed: usize,
    flexible: bool,
    feed: fn(&[u8]) -> Result<(), DecodeError>,
}

/// Makes specimens of every API and version, in one shape, a request and a response each.
struct Specimens {
    shape: Shape,
    made: Vec<Specimen>,
}

impl Visitor for Specimens {
    fn visit<R>(&mut self)
    where
        R: Request + Sample,
        R::Response: Sample,
    {
        for (position, version) in R::KEY.versions().enumerate() {
            let mut filler = Filler::new(3, self.shape);
            let head = header::<R>(version, &mut filler);
            let flexible = version >= R::KEY.first_flexible();
            self.made.push(Specimen {
                what: format!("{} request v{version} {:?}", R::KEY.name(), self.shape),
                bytes: body(&encode_request(&head, &R::fill(&mut filler))),
                fixed: 4,
                flexible,
                feed: bodies::request,
            });
            let api = ApiKey::ALL.iter().position(|key| *key == R::KEY).unwrap();
            let mut bytes = vec![u8::try_from(api).unwrap(), u8::try_from(position).unwrap()];
            let response = R::Response::fill(&mut filler);
            bytes.extend_from_slice(&body(&encode_response::<R>(9, version, &response)));
            self.made.push(Specimen {
                what: format!("{} response v{version} {:?}", R::KEY.name(), self.shape),
                bytes: bytes.into(),
                fixed: 2,
                flexible,
                feed: bodies::response,
            });
        }
    }
}

fn specimens(shape: Shape) -> Vec<Specimen> {
    let mut specimens = Specimens {
        shape,
        made: Vec::new(),
    };
    every_api(&mut specimens);
    let versions: usize = ApiKey::ALL.iter().map(|key| key.versions().count()).sum();
    assert_eq!(specimens.made.len(), 2 * versions);
    specimens.made
}

#[test]
fn specimens_are_valid() {
    for specimen in SHAPES.into_iter().flat_map(specimens) {
        assert_eq!(
            (specimen.feed)(&specimen.bytes),
            Ok(()),
            "{}",
            specimen.what
        );
    }
}

#[test]
fn cut_anywhere_is_an_error() {
    let mut cuts = 0_usize;
    for specimen in SHAPES.into_iter().flat_map(specimens) {
        for end in specimen.fixed..specimen.bytes.len() {
            let cut = (specimen.feed)(&specimen.bytes[..end]);
            assert!(cut.is_err(), "{} cut at {end}", specimen.what);
            cuts += 1;
        }
    }
    println!("{cuts} cuts");
    assert!(cuts > 10_000);
}

#[test]
fn one_byte_too_many_is_an_error() {
    for specimen in SHAPES.into_iter().flat_map(specimens) {
        let longer = [&specimen.bytes[..], &[0]].concat();
        let outcome = (specimen.feed)(&longer);
        assert_eq!(outcome, Err(DecodeError::Malformed), "{}", specimen.what);
    }
}

#[test]
fn bent_bytes_are_survived() {
    let mut refused = 0_usize;
    for specimen in [Shape::Full, Shape::Null].into_iter().flat_map(specimens) {
        for position in specimen.fixed..specimen.bytes.len() {
            for bend in [0x01, 0x02, 0x40, 0x80, 0xff] {
                let mut bent = specimen.bytes.to_vec();
                bent[position] ^= bend;
                refused += usize::from((specimen.feed)(&bent).is_err());
            }
        }
    }
    println!("{refused} refused");
    assert!(refused > 1000);
}

#[test]
fn random_bytes_are_survived() {
    let mut filler = Filler::new(99, Shape::Mixed);
    let mut understood = 0_usize;
    for specimen in specimens(Shape::Null) {
        for _ in 0..400 {
            let length = filler.below(300);
            let mut random = specimen.bytes[..specimen.fixed].to_vec();
            random.extend_from_slice(&filler.bytes(length));
            understood += usize::from((specimen.feed)(&random).is_ok());
            // Small numbers are lengths that fit, so more of the message is reached.
            random.truncate(specimen.fixed);
            random.extend(filler.bytes(length).iter().map(|byte| byte % 3));
            understood += usize::from((specimen.feed)(&random).is_ok());
        }
    }
    println!("{understood} understood");
    assert!(understood > 0);
}

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

/// Ten million tagged fields, counted honestly or with nothing behind the count, wherever a section of them is.
#[test]
fn ten_million_tagged_fields_are_refused() {
    const TAGS: u32 = 10_000_000;
    let fields = [0x7f, 0].repeat(usize::try_from(TAGS).unwrap());
    let mut tags = Vec::new();
    compact(&mut tags, TAGS);
    for specimen in untagged() {
        let sections = if specimen.flexible {
            tag_sections(&specimen)
        } else {
            Vec::new()
        };
        assert_eq!(specimen.flexible, !sections.is_empty(), "{}", specimen.what);
        for position in sections {
            for behind in [&fields[..0], &fields] {
                let many = [&specimen.bytes[..position], &tags, behind].concat();
                let outcome = (specimen.feed)(&many);
                assert_eq!(outcome, Err(DecodeError::TooLarge), "{}", specimen.what);
            }
        }
    }
}

/// Empty messages. Where a tagged field is not at its default when empty (the cluster of Fetch, the epoch of the features
/// of ApiVersions), it goes.
fn untagged() -> Vec<Specimen> {
    let mut made = specimens(Shape::Empty);
    for specimen in &mut made {
        let tagged: [&[u8]; 2] = [&[1, 0, 1, 1], &[1, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0]];
        for section in tagged.into_iter().filter(|_| specimen.flexible) {
            if let Some(front) = specimen.bytes.strip_suffix(section) {
                specimen.bytes = [front, &[0]].concat().into();
                break;
            }
        }
    }
    made
}

/// Where the header's and the outermost section of tagged fields start. A section of an empty message is one byte of 0.
fn tag_sections(specimen: &Specimen) -> Vec<usize> {
    let last = specimen.bytes.len() - 1;
    let apis = ApiKey::ALL;
    match specimen.fixed {
        // Key, version, correlation id, empty client id.
        4 => vec![10, last],
        // The response to ApiVersions has no section in its header.
        _ if apis[usize::from(specimen.bytes[0])] == ApiKey::ApiVersions => vec![last],
        _ => vec![6, last],
    }
}

#[test]
fn few_unknown_tagged_fields_are_skipped() {
    for specimen in untagged() {
        let sections = if specimen.flexible {
            tag_sections(&specimen)
        } else {
            Vec::new()
        };
        for position in sections {
            let mut with_tags = specimen.bytes[..position].to_vec();
            with_tags.extend_from_slice(&[2, 100, 0, 101, 3, 1, 2, 3]);
            with_tags.extend_from_slice(&specimen.bytes[position + 1..]);
            assert_eq!((specimen.feed)(&with_tags), Ok(()), "{}", specimen.what);
        }
    }
}

/// A header of `client_id`, whose length is as given rather than as it is.
fn header_bytes(key: i16, version: i16, client_id: &[u8], length: i16) -> Vec<u8> {
    let mut bytes = [key.to_be_bytes(), version.to_be_bytes()].concat();
    bytes.extend_from_slice(&77_i32.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(client_id);
    bytes
}

#[test]
fn a_client_id_longer_than_the_frame_is_refused() {
    let bytes = header_bytes(3, 1, b"short", i16::MAX);
    assert_eq!(bodies::request(&bytes), Err(DecodeError::Truncated));
    assert_eq!(
        RequestHeader::peek(&bytes, bytes.len()),
        Err(DecodeError::Truncated)
    );
    let negative = header_bytes(3, 1, b"short", -2);
    assert_eq!(bodies::request(&negative), Err(DecodeError::Malformed));
    assert_eq!(
        RequestHeader::peek(&negative, 1000),
        Err(DecodeError::Malformed)
    );
}

/// What `peek` says, byte by byte: nothing until the header is whole, then what decoding the whole frame says.
#[test]
fn peek_waits_for_the_whole_header() {
    struct Peek(usize);
    impl Visitor for Peek {
        fn visit<R>(&mut self)
        where
            R: Request + Sample,
            R::Response: Sample,
        {
            for version in R::KEY.versions() {
                for shape in SHAPES {
                    let mut filler = Filler::new(5, shape);
                    let head = header::<R>(version, &mut filler);
                    let bytes = body(&encode_request(&head, &R::fill(&mut filler)));
                    let text = head.client_id.as_ref().map_or(0, String::len);
                    let tags = usize::from(version >= R::KEY.first_flexible());
                    let needed = 10 + text + tags;
                    for end in 0..=bytes.len() {
                        let peeked = RequestHeader::peek(&bytes[..end], bytes.len()).unwrap();
                        let expected = (end >= needed).then(|| head.clone());
                        assert_eq!(peeked, expected, "{head:?} at {end} of {needed}");
                        self.0 += 1;
                    }
                }
            }
        }
    }
    let mut peek = Peek(0);
    every_api(&mut peek);
    println!("{} prefixes", peek.0);
}

/// What follows the frame on the connection is not the header's.
#[test]
fn peek_stays_within_the_frame() {
    let bytes = header_bytes(3, 1, b"of the next frame", 17);
    assert_eq!(RequestHeader::peek(&bytes, 12), Err(DecodeError::Truncated));
}

#[test]
fn an_unknown_api_or_version_is_peeked_too() {
    for (key, version) in [(18, 99), (0, 2), (0, i16::MAX), (999, 0), (-1, -1)] {
        let bytes = header_bytes(key, version, b"me", 2);
        let peeked = RequestHeader::peek(&bytes, 5000).unwrap().unwrap();
        assert_eq!((peeked.api_key, peeked.api_version), (key, version));
        assert_eq!(peeked.correlation_id, 77);
        assert_eq!(peeked.client_id.as_deref(), Some("me"));
        assert!(bodies::request(&bytes).is_err() || key == 999 || key == -1);
    }
}

#[test]
fn lengths_of_frames_are_judged() {
    let max = 1000;
    let judge = |length: i32| frame::length(length.to_be_bytes(), max);
    assert_eq!(judge(0), Err(DecodeError::Malformed));
    assert_eq!(judge(-1), Err(DecodeError::Malformed));
    assert_eq!(judge(i32::MIN), Err(DecodeError::Malformed));
    assert_eq!(judge(1), Ok(1));
    assert_eq!(judge(1000), Ok(1000));
    assert_eq!(judge(1001), Err(DecodeError::TooLarge));
    assert_eq!(judge(i32::MAX), Err(DecodeError::TooLarge));
    let mut filler = Filler::new(8, Shape::Full);
    for _ in 0..1000 {
        let prefix = *filler.bytes(4).first_chunk().unwrap();
        bodies::frame_length(prefix, protocol::FRAME_BYTES_MAX);
    }
}

/// A batch of a few records in every codec.
fn batches() -> Vec<(String, Bytes)> {
    let mut filler = Filler::new(21, Shape::Full);
    let records: Vec<_> = (0..5)
        .map(|offset_delta| Record {
            offset_delta,
            timestamp_delta: 3,
            key: (offset_delta % 2 == 0).then(|| Bytes::from(filler.bytes(5))),
            value: Some(Bytes::from_static(b"again and again and again and again")),
            headers: vec![(Bytes::from_static(b"name"), None)],
        })
        .collect();
    let built = |codec: Codec| {
        let options = BatchOptions {
            codec,
            ..BatchOptions::default()
        };
        (codec.name().to_owned(), build_batch(&records, options))
    };
    Codec::ALL.into_iter().map(built).collect()
}

#[test]
fn broken_batches_are_survived() {
    let mut refused = 0_usize;
    let mut filler = Filler::new(22, Shape::Full);
    for (codec, batch) in batches() {
        assert_eq!(bodies::record_batch(&batch), Ok(()), "{codec}");
        for end in 0..batch.len() {
            assert!(
                bodies::record_batch(&batch[..end]).is_err(),
                "{codec} cut at {end}"
            );
        }
        for position in 0..batch.len() {
            for bend in [0x01, 0x02, 0x40, 0x80, 0xff] {
                let mut bent = batch.to_vec();
                bent[position] ^= bend;
                refused += usize::from(bodies::record_batch(&bent).is_err());
            }
        }
        for _ in 0..2000 {
            let mut random = batch[..HEADER_BYTES].to_vec();
            let length = filler.below(200);
            random.extend_from_slice(&filler.bytes(length));
            let size = i32::try_from(random.len() - 12).unwrap();
            random[8..12].copy_from_slice(&size.to_be_bytes());
            refused += usize::from(bodies::record_batch(&random).is_err());
        }
    }
    println!("{refused} refused");
    assert!(refused > 9000);
}

/// Small batches that unpack into a great deal.
#[test]
fn bombs_are_refused() {
    let record = Record {
        offset_delta: 0,
        timestamp_delta: 0,
        key: None,
        value: Some(vec![0; 64 << 20].into()),
        headers: Vec::new(),
    };
    for codec in Codec::ALL {
        let options = BatchOptions {
            codec,
            ..BatchOptions::default()
        };
        let bomb = build_batch(std::slice::from_ref(&record), options);
        let refused = bodies::record_batch(&bomb);
        let too_large = CompressionError::TooLarge(1 << 20);
        assert_eq!(
            refused,
            Err(BatchError::Compression(too_large)),
            "{}",
            codec.name()
        );
    }
}

fn compact(bytes: &mut Vec<u8>, mut value: u32) {
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
