//! Batches that are broken, and small ones that unpack into a great deal.

use bytes::Bytes;
use protocol::compression::{Codec, CompressionError};
use protocol::record_batch::{BatchError, HEADER_BYTES};
use protocol::records::{BatchOptions, Record, build_batch};
use protocol::sample::{Filler, Shape};

use crate::bodies;

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
