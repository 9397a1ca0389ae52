//! What looking into a batch may cost.

use super::*;
use crate::compression::CompressionError;

#[test]
fn bombs_stop_at_the_allowance() {
    let bomb = Record {
        value: Some(vec![0; MANY].into()),
        ..Record::default()
    };
    let crowd: Vec<_> = (0..200_000).map(|_| Record::default()).collect();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch = packed(codec, std::slice::from_ref(&bomb));
        assert!(batch.len() < MANY / 10, "{codec:?}");
        assert_eq!(
            seen_of(&batch, 1_000_000),
            Err(BatchError::TooMuch),
            "{codec:?}"
        );
        let batch = packed(codec, &crowd);
        assert_eq!(
            seen_of(&batch, 1_000_000),
            Err(BatchError::TooMuch),
            "{codec:?}"
        );
        assert!(seen_of(&batch, MANY).is_ok(), "{codec:?}");
        let header = BatchHeader::read(&batch).unwrap();
        // All batches of a request together.
        let mut allowance = Allowance::of(2_000_000);
        let mut again = || {
            walk(&batch, &header, &mut allowance, |_| {
                ControlFlow::Continue(())
            })
        };
        assert_eq!(again(), Ok(()), "{codec:?}");
        assert_eq!(again(), Err(BatchError::TooMuch), "{codec:?}");
        let nobody = || false;
        let mut allowance = Allowance {
            wanted: &nobody,
            ..Allowance::of(MANY)
        };
        let walked = walk(&batch, &header, &mut allowance, |_| {
            ControlFlow::Continue(())
        });
        assert_eq!(walked, Err(BatchError::Unwanted), "{codec:?}");
    }
}

#[test]
fn a_record_may_be_limited_where_it_is_packed() {
    for (codec, fits) in [(Codec::None, true), (Codec::Zstd, false)] {
        let batch = packed(codec, &[record(0)]);
        let header = BatchHeader::read(&batch).unwrap();
        let mut allowance = Allowance {
            record_bytes: 60,
            ..Allowance::of(MANY)
        };
        let walked = walk(&batch, &header, &mut allowance, |_| {
            ControlFlow::Continue(())
        });
        assert_eq!(walked.is_ok(), fits);
    }
}

#[test]
fn what_is_kept_has_a_bound_of_its_own() {
    let go_on = |_: Seen| ControlFlow::Continue(());
    for codec in Codec::ALL {
        let batch = packed(codec, &[record(0)]);
        let header = BatchHeader::read(&batch).unwrap();
        let mut allowance = Allowance::of(MANY);
        let kept = walk_and_unpack(&batch, &header, 60, &mut allowance, go_on);
        assert_eq!(kept, Err(BatchError::TooMuch), "{codec:?}");
        let walked = walk(&batch, &header, &mut allowance, go_on);
        assert_eq!(walked, Ok(()), "{codec:?}");
    }
}

#[test]
fn a_window_of_zstd_is_not_reserved_beyond_the_allowance() {
    // One raw block of one byte, in a frame that claims a window of 2^log bytes.
    let walked = |log: u8, window_bytes| {
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 9, 0, 0, b'x'];
        let packed = packed(Codec::Zstd, &[record(0)]);
        let batch = Bytes::from([&packed[..HEADER_BYTES], &frame].concat());
        let mut header = BatchHeader::read(&batch).unwrap();
        header.size = batch.len();
        let mut allowance = Allowance {
            window_bytes,
            ..Allowance::of(MANY)
        };
        walk(&batch, &header, &mut allowance, |_| {
            ControlFlow::Continue(())
        })
    };
    assert_eq!(walked(24, 1 << 23), Err(BatchError::TooMuch));
    assert_eq!(
        walked(24, 1 << 24),
        Err(BatchError::Truncated),
        "it was read"
    );
}

#[test]
fn raw_snappy_is_read_and_its_claims_are_not_believed() {
    let records = packed(Codec::None, &[record(0), record(1)]).slice(HEADER_BYTES..);
    let raw = snap::raw::Encoder::new().compress_vec(&records).unwrap();
    let with = |contents: &[u8]| {
        let batch = around(Codec::Snappy, b"", 2);
        let batch = Bytes::from([&batch[..HEADER_BYTES], contents].concat());
        let mut header = BatchHeader::read(&batch).unwrap();
        header.size = batch.len();
        walk(&batch, &header, &mut Allowance::of(usize::MAX), |_| {
            ControlFlow::Continue(())
        })
    };
    assert_eq!(with(&raw), Ok(()));
    let claims_a_gigabyte = [0x80, 0x80, 0x80, 0x80, 0x04, 0, 0];
    assert!(matches!(
        with(&claims_a_gigabyte),
        Err(BatchError::Compression(CompressionError::Invalid(
            "snappy",
            _
        )))
    ));
}
