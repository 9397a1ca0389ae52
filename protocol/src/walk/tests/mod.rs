//! Batches of every codec, walked over.

mod bounds;
mod refused;
mod whole;

use std::ops::ControlFlow;

use bytes::Bytes;

use super::*;
use crate::compression::Codec;
use crate::record_batch::{BatchError, BatchHeader, HEADER_BYTES, repack};
use crate::records::{BatchOptions, Record, build_batch};
use crate::unpack::Allowance;

const MANY: usize = 1 << 24;

fn packed(codec: Codec, records: &[Record]) -> Bytes {
    let options = BatchOptions {
        codec,
        ..BatchOptions::default()
    };
    build_batch(records, options)
}

fn record(offset_delta: i32) -> Record {
    Record {
        offset_delta,
        timestamp_delta: i64::from(offset_delta) * 1000,
        key: (offset_delta % 2 == 0).then(|| Bytes::from_static(b"key")),
        value: Some(vec![7; 50].into()),
        headers: vec![(Bytes::from_static(b"name"), None)],
    }
}

/// What is seen of a batch, within an allowance.
fn seen_of(batch: &[u8], bytes: usize) -> Result<Vec<Seen>, BatchError> {
    let header = BatchHeader::read(batch)?;
    let mut all = Vec::new();
    walk(batch, &header, &mut Allowance::of(bytes), |seen| {
        all.push(seen);
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

/// A batch of that codec whose contents are these bytes.
fn around(codec: Codec, contents: &[u8], count: usize) -> Bytes {
    let empty = vec![Record::default(); count];
    let plain = packed(Codec::None, &empty);
    repack(&plain, contents, (codec, 1), &|| true).unwrap()
}

/// A batch of that codec with these packed contents.
fn sealed(codec: Codec, contents: &[u8], count: usize) -> Result<Vec<Seen>, BatchError> {
    let batch = around(codec, b"", count);
    let mut batch = [&batch[..HEADER_BYTES], contents].concat();
    let length = i32::try_from(batch.len() - 12).unwrap();
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    seen_of(&batch, MANY)
}
