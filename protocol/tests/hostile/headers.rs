//! Headers of requests, as peeked at before the frame is whole, and lengths of frames.

use protocol::sample::{Filler, SHAPES, Shape};
use protocol::{DecodeError, Request, RequestHeader, encode_request, frame};

use crate::bodies;
use crate::support::{Sample, Visitor, body, every_api, header};

/// A header of `client_id`, whose length is as given rather than as it is.
pub(crate) fn header_bytes(key: i16, version: i16, client_id: &[u8], length: i16) -> Vec<u8> {
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
