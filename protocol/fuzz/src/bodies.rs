//! What a fuzz target does with its input. Called by the targets in `protocol/fuzz/fuzz_targets` and, on stable Rust with
//! random and broken input, by `protocol/tests/hostile/`. Each body panics if the crate breaks a promise: that it does
//! not panic, that it allocates no more than its bound, that what it has read it can write and read again.

use std::ops::ControlFlow;

use bytes::Bytes;
use protocol::record_batch::{self, BatchError, BatchHeader};
use protocol::records::records;
use protocol::walk::{first_at_or_after, first_with_max_timestamp};
use protocol::{
    Allowance, ApiKey, DecodeError, Request, RequestHeader, decode_request, decode_response,
    encode_request, encode_response, for_each_api, frame, messages,
};

use super::counting::peak_of;

/// Bytes that decoding may allocate for a frame of `length` bytes. The last kilobyte is for the bookkeeping of `Bytes`.
pub(crate) fn bound(length: usize) -> usize {
    16 * length + 64 * 1024 + 1024
}

/// Calls a function with the type of the API's request.
macro_rules! of_api {
    ($key:expr, $function:ident $arguments:tt) => {
        for_each_api!(by_key($key, $function $arguments))
    };
}

macro_rules! by_key {
    (($key:expr, $function:ident $arguments:tt)
     $($(#[$doc:meta])* $name:ident($request:ident, $response:ident) = $facts:tt;)*) => {
        match $key {
            $(ApiKey::$name => $function::<messages::$request> $arguments,)*
        }
    };
}

/// A request's frame, without its length. What became of it tells the test whether it got through.
pub(crate) fn request(data: &[u8]) -> Result<(), DecodeError> {
    let peeked = RequestHeader::peek(data, data.len());
    let Some(key) = data
        .first_chunk()
        .and_then(|code| ApiKey::from_code(i16::from_be_bytes(*code)))
    else {
        return peeked.map(|_| ());
    };
    let outcome = of_api!(key, whole_request(data));
    if outcome.is_ok() {
        assert!(
            matches!(peeked, Ok(Some(_))),
            "decoded, yet its header is refused: {peeked:?}"
        );
    }
    outcome
}

fn whole_request<R: Request>(data: &[u8]) -> Result<(), DecodeError> {
    let frame = Bytes::copy_from_slice(data);
    let (decoded, peak) = peak_of(|| decode_request::<R>(frame));
    assert!(
        peak <= bound(data.len()),
        "{} bytes allocated for {} of {}",
        peak,
        data.len(),
        R::KEY.name()
    );
    let (header, message) = decoded?;
    let written = encode_request(&header, &message).concat();
    let again = decode_request::<R>(Bytes::from(written.clone()).split_off(4));
    let (header, message) = again.expect("what was written can be read");
    assert_eq!(encode_request(&header, &message).concat(), written);
    Ok(())
}

/// Two bytes that choose the API and the version, then a response's frame without its length.
pub(crate) fn response(data: &[u8]) -> Result<(), DecodeError> {
    let Some((&[api, version], frame)) = data.split_first_chunk::<2>() else {
        return Ok(());
    };
    let key = ApiKey::ALL[usize::from(api) % ApiKey::ALL.len()];
    let versions = key.versions();
    let count = versions.end() - versions.start() + 1;
    let version = versions.start() + i16::from(version) % count;
    of_api!(key, whole_response(version, frame))
}

fn whole_response<R: Request>(version: i16, data: &[u8]) -> Result<(), DecodeError> {
    let frame = Bytes::copy_from_slice(data);
    let (decoded, peak) = peak_of(|| decode_response::<R>(version, frame));
    assert!(
        peak <= bound(data.len()),
        "{} bytes allocated for {} of {} v{version}",
        peak,
        data.len(),
        R::KEY.name()
    );
    let (id, message) = decoded?;
    let written = encode_response::<R>(id, version, &message).concat();
    let again = decode_response::<R>(version, Bytes::from(written.clone()).split_off(4));
    let (id, message) = again.expect("what was written can be read");
    assert_eq!(
        encode_response::<R>(id, version, &message).concat(),
        written
    );
    Ok(())
}

/// The bytes of one frame's length.
pub(crate) fn frame_length(prefix: [u8; 4], max: usize) {
    if let Ok(length) = frame::length(prefix, max) {
        assert!((1..=max).contains(&length), "{length} of at most {max}");
    }
}

/// What a batch may unpack into, here.
const UNPACKED_MAX: usize = 1 << 20;
/// The largest blocks of LZ4, one packed and two not, and what the decoders keep besides.
const CODEC_BYTES: usize = 14 << 20;
/// A header of a record takes two bytes and becomes 64, in a vector that doubles: three times that while it moves.
const HEADERS_FACTOR: usize = 3 * 32;

/// A record batch as it comes from a producer.
pub(crate) fn record_batch(data: &[u8]) -> Result<(), BatchError> {
    let batch = Bytes::copy_from_slice(data);
    let header = BatchHeader::read(&batch)?;
    assert!(header.size >= record_batch::HEADER_BYTES);
    let _ = record_batch::crc_matches(&batch, &header);
    // The bytes unpacked, twice while they grow, and one record's headers, which are larger than what they are read from.
    let allowed = CODEC_BYTES + 4 * UNPACKED_MAX.max(data.len()) + HEADERS_FACTOR * UNPACKED_MAX;
    let (read, peak) = peak_of(|| read_all(&batch));
    assert!(
        peak <= allowed,
        "{peak} bytes allocated for a batch of {}",
        data.len()
    );
    let (_, peak) = peak_of(|| {
        (
            first_at_or_after(&batch, 0, &mut Allowance::of(UNPACKED_MAX)),
            first_with_max_timestamp(&batch, &mut Allowance::of(UNPACKED_MAX)),
        )
    });
    assert!(
        peak <= allowed,
        "{peak} bytes allocated to search a batch of {}",
        data.len()
    );
    let mut allowance = Allowance::of(UNPACKED_MAX);
    let walk = || {
        protocol::walk::walk(&batch, &header, &mut allowance, |_| {
            ControlFlow::Continue(())
        })
    };
    let (walked, peak) = peak_of(walk);
    // A decoder with its window, and pieces of what it unpacks.
    let walk_bytes = CODEC_BYTES + 2 * UNPACKED_MAX + data.len();
    assert!(peak <= walk_bytes, "{peak} bytes allocated to walk a batch");
    if walked.is_ok() && header.size - record_batch::HEADER_BYTES <= UNPACKED_MAX {
        let count = usize::try_from(header.record_count).unwrap_or(0);
        assert!(
            matches!(
                read,
                Err(BatchError::Records("a record has too many headers"))
            ) || read == Ok(count),
            "walked over, yet it does not read: {read:?}"
        );
    }
    read.map(|_| ())
}

/// How many records there are.
fn read_all(batch: &Bytes) -> Result<usize, BatchError> {
    let mut count = 0;
    for record in records(batch, UNPACKED_MAX)? {
        record?;
        count += 1;
    }
    Ok(count)
}
