//! The bytes that every later version must write and read.

use bytes::{Buf, Bytes};

use super::samples::{VERSIONS, downs, ups};
use super::{Down, Up};
use crate::golden::golden;

/// Each frame behind its length.
fn transcript(frames: &[Bytes]) -> Bytes {
    let mut all = Vec::new();
    for frame in frames {
        all.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
        all.extend_from_slice(frame);
    }
    all.into()
}

fn frames(mut transcript: Bytes) -> Vec<Bytes> {
    let mut all = Vec::new();
    while transcript.has_remaining() {
        let length = usize::try_from(transcript.get_u32()).unwrap();
        all.push(transcript.split_to(length));
    }
    all
}

/// What the two sides of version 3 say, which every later version that speaks it must write and read so.
#[test]
fn the_bytes_of_every_message_stay_what_they_are() {
    let up: Vec<Bytes> = ups().iter().map(Up::encode).collect();
    let old = frames(golden("up-3.bin", &transcript(&up)));
    let read: Vec<_> = old
        .into_iter()
        .map(|frame| Up::decode_as(VERSIONS, frame))
        .collect();
    assert_eq!(read, ups().into_iter().map(Ok).collect::<Vec<_>>());
    let down: Vec<Bytes> = downs().iter().map(Down::encode).collect();
    let old = frames(golden("down-3.bin", &transcript(&down)));
    let read: Vec<_> = old.into_iter().map(Down::decode).collect();
    assert_eq!(read, downs().into_iter().map(Ok).collect::<Vec<_>>());
}
