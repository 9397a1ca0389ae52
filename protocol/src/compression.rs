//! The codecs of record batches, bounded: nothing unpacks into more than its caller allows, whatever it claims.

use std::io::{Read, Write};

use bytes::{Buf, Bytes};

/// How records are packed; bits 0 to 2 of a batch's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Raw, or in the frames of xerial's snappy-java, as Kafka's Java clients write it.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// KIP-110.
    Zstd,
}

/// Why bytes do not unpack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// They unpack into more than allowed.
    #[error("more than {0} bytes when unpacked")]
    TooLarge(usize),
    /// They are not what the codec writes.
    #[error("not valid {0}: {1}")]
    Invalid(&'static str, String),
}

/// What snappy-java's frames begin with, before two version numbers.
const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;
/// Raw bytes in one block of snappy-java.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// Packed between two looks at whether anybody still wants the rest: whole blocks of snappy-java, and of LZ4 as Kafka's Java
/// clients write it.
const STEP_BYTES: usize = 64 * 1024;

impl Codec {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec of a batch's attributes; `None` for numbers Kafka does not define.
    #[must_use]
    pub fn from_bits(attributes: i16) -> Option<Self> {
        match attributes & 7 {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The codec's number.
    #[must_use]
    pub fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Kafka's name, as in `compression.type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Unpacks `bytes`. Memory grows with what comes out, never with what a header claims.
///
/// # Errors
/// When the bytes are not valid, or unpack into more than `bytes_max`.
pub fn decompress(
    codec: Codec,
    bytes: &Bytes,
    bytes_max: usize,
) -> Result<Bytes, CompressionError> {
    let invalid =
        |error: std::io::Error| CompressionError::Invalid(codec.name(), error.to_string());
    match codec {
        Codec::None if bytes.len() > bytes_max => Err(CompressionError::TooLarge(bytes_max)),
        Codec::None => Ok(bytes.clone()),
        Codec::Gzip => read_bounded(
            codec,
            flate2::read::MultiGzDecoder::new(bytes.as_ref()),
            bytes_max,
        ),
        Codec::Snappy => unsnap(bytes, bytes_max),
        Codec::Lz4 => read_bounded(
            codec,
            lz4_flex::frame::FrameDecoder::new(bytes.as_ref()),
            bytes_max,
        ),
        Codec::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(bytes.as_ref()).map_err(invalid)?;
            decoder
                .window_log_max(zstd_window_log(bytes_max))
                .map_err(invalid)?;
            read_bounded(codec, decoder, bytes_max)
        }
    }
}

/// The largest window of zstd to keep, as a power of two: a frame of ten bytes may claim 128 MiB, and the decoder reserves
/// what it claims. Never below the 8 MiB that RFC 8878 asks every decoder for, never above zstd's own limit.
pub(crate) fn zstd_window_log(bytes_max: usize) -> u32 {
    let log = bytes_max
        .checked_next_power_of_two()
        .map_or(u32::MAX, usize::ilog2);
    log.clamp(23, 27)
}

fn read_bounded(
    codec: Codec,
    from: impl Read,
    bytes_max: usize,
) -> Result<Bytes, CompressionError> {
    let mut unpacked = Vec::new();
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let read = from.take(limit).read_to_end(&mut unpacked);
    read.map_err(|error| CompressionError::Invalid(codec.name(), error.to_string()))?;
    if unpacked.len() > bytes_max {
        return Err(CompressionError::TooLarge(bytes_max));
    }
    Ok(unpacked.into())
}

fn unsnap(bytes: &[u8], bytes_max: usize) -> Result<Bytes, CompressionError> {
    let mut unpacked = Vec::new();
    let Some(mut rest) = after_xerial_header(bytes) else {
        unsnap_block(bytes, &mut unpacked, bytes_max)?;
        return Ok(unpacked.into());
    };
    let cut = || CompressionError::Invalid("snappy", "a block is cut short".to_owned());
    while !rest.is_empty() {
        let length = usize::try_from(rest.try_get_u32().map_err(|_| cut())?).map_err(|_| cut())?;
        let (block, after) = rest.split_at_checked(length).ok_or_else(cut)?;
        unsnap_block(block, &mut unpacked, bytes_max)?;
        rest = after;
    }
    Ok(unpacked.into())
}

/// What follows the header of snappy-java's frames; `None` where bytes do not begin with one.
pub(crate) fn after_xerial_header(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.starts_with(XERIAL_MAGIC) {
        true => bytes.get(XERIAL_HEADER_BYTES..),
        false => None,
    }
}

/// snappy can at best say 64 bytes in 3, so a claim beyond that is a lie and nothing is reserved for it.
const SNAPPY_RATIO_MAX: usize = 24;

/// Unpacks one block behind what `to` has, which may be `bytes_max` in all.
pub(crate) fn unsnap_block(
    block: &[u8],
    to: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<(), CompressionError> {
    let invalid = |error: snap::Error| CompressionError::Invalid("snappy", error.to_string());
    let claimed = snap::raw::decompress_len(block).map_err(invalid)?;
    if claimed > bytes_max.saturating_sub(to.len()) {
        return Err(CompressionError::TooLarge(bytes_max));
    }
    if claimed > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(CompressionError::Invalid(
            "snappy",
            "an impossible length".to_owned(),
        ));
    }
    // In place: what is large is not held twice.
    let behind = to.len();
    to.resize(behind.saturating_add(claimed), 0);
    let place = to.get_mut(behind..).unwrap_or_default();
    let unpacked = snap::raw::Decoder::new().decompress(block, place);
    let unpacked = unpacked.map_err(invalid);
    to.truncate(behind.saturating_add(*unpacked.as_ref().unwrap_or(&0)));
    unpacked.map(|_| ())
}

/// Packs `bytes`, as a producer does that has time for little. Snappy comes in snappy-java's frames.
///
/// # Errors
/// When a codec fails, which none does on bytes in memory.
pub fn compress(codec: Codec, bytes: &[u8]) -> std::io::Result<Bytes> {
    compress_at(codec, 1, bytes)
}

/// Higher levels of zstd pack as this one does: they take a hundred times as long for some percent, and memory by the
/// hundred megabytes, also for those who unpack.
const ZSTD_LEVEL_MAX: i32 = 12;

/// The same at a level of the codec's own, where it has levels: gzip from 0 to 9, or -1 for its usual one, and zstd up to
/// 22, where those above 12 do as 12 does.
///
/// # Errors
/// As [`compress`].
pub fn compress_at(codec: Codec, level: i32, bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut packed = Vec::new();
    compress_behind(&mut packed, codec, level, bytes, &|| true)?;
    Ok(packed.into())
}

/// The same behind what `packed` has, and for as long as it is `wanted`: then what there is, or the error, is of no use.
pub(crate) fn compress_behind(
    packed: &mut Vec<u8>,
    codec: Codec,
    level: i32,
    bytes: &[u8],
    wanted: &dyn Fn() -> bool,
) -> std::io::Result<()> {
    let mut pieces = bytes.chunks(STEP_BYTES).take_while(|_| wanted());
    match codec {
        Codec::None => packed.extend_from_slice(bytes),
        Codec::Gzip => {
            let level = u32::try_from(level).map_or_else(
                |_| flate2::Compression::default(),
                |level| flate2::Compression::new(level.min(9)),
            );
            let mut packer = flate2::write::GzEncoder::new(packed, level);
            pieces.try_for_each(|piece| packer.write_all(piece))?;
            packer.finish()?;
        }
        Codec::Snappy => snap(packed, pieces)?,
        Codec::Lz4 => {
            // Its blocks are as large as the first piece.
            let mut packer = lz4_flex::frame::FrameEncoder::new(packed);
            pieces.try_for_each(|piece| packer.write_all(piece))?;
            packer.finish().map_err(std::io::Error::other)?;
        }
        Codec::Zstd => {
            let mut packer = zstd::stream::write::Encoder::new(packed, level.min(ZSTD_LEVEL_MAX))?;
            // It takes no more memory than that needs, and says so to those who unpack.
            packer.set_pledged_src_size(u64::try_from(bytes.len()).ok())?;
            pieces.try_for_each(|piece| packer.write_all(piece))?;
            packer.finish()?;
        }
    }
    Ok(())
}

fn snap<'a>(packed: &mut Vec<u8>, pieces: impl Iterator<Item = &'a [u8]>) -> std::io::Result<()> {
    packed.extend_from_slice(XERIAL_MAGIC);
    packed.extend_from_slice(&1_u32.to_be_bytes());
    packed.extend_from_slice(&1_u32.to_be_bytes());
    for block in pieces.flat_map(|piece| piece.chunks(XERIAL_BLOCK_BYTES)) {
        let block = snap::raw::Encoder::new()
            .compress_vec(block)
            .map_err(std::io::Error::other)?;
        packed.extend_from_slice(&u32::try_from(block.len()).unwrap_or(0).to_be_bytes());
        packed.extend_from_slice(&block);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_unpacks(bytes in proptest::collection::vec(any::<u8>(), 0..100_000)) {
            for codec in Codec::ALL {
                let packed = compress(codec, &bytes).unwrap();
                let unpacked = decompress(codec, &packed, bytes.len()).unwrap();
                prop_assert_eq!(unpacked.as_ref(), bytes.as_slice());
            }
        }

        #[test]
        fn damage_is_an_error_or_other_bytes_but_never_more_than_allowed(
            bytes in proptest::collection::vec(any::<u8>(), 1..2000),
            position: prop::sample::Index,
            flip in 1..=255_u8,
        ) {
            for codec in Codec::ALL {
                let mut packed = compress(codec, &bytes).unwrap().to_vec();
                let position = position.index(packed.len());
                packed[position] ^= flip;
                if let Ok(unpacked) = decompress(codec, &packed.into(), 10_000) {
                    prop_assert!(unpacked.len() <= 10_000);
                }
            }
        }
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let zeros = vec![0; 8 * 1024 * 1024];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let packed = compress(codec, &zeros).unwrap();
            assert!(packed.len() < zeros.len() / 10, "{codec:?}");
            let unpacked = decompress(codec, &packed, 1_000_000);
            assert_eq!(
                unpacked,
                Err(CompressionError::TooLarge(1_000_000)),
                "{codec:?}"
            );
        }
    }

    #[test]
    fn raw_snappy_is_read_and_its_claims_are_not_believed() {
        let text = b"one two three four five six seven".repeat(100);
        let raw = Bytes::from(snap::raw::Encoder::new().compress_vec(&text).unwrap());
        assert_eq!(decompress(Codec::Snappy, &raw, 10_000).unwrap(), text);
        let claims_a_gigabyte = Bytes::from_static(&[0x80, 0x80, 0x80, 0x80, 0x04, 0, 0]);
        let refused = decompress(Codec::Snappy, &claims_a_gigabyte, usize::MAX);
        assert!(matches!(
            refused,
            Err(CompressionError::Invalid("snappy", _))
        ));
    }

    #[test]
    fn a_window_of_zstd_is_not_reserved_beyond_the_limit() {
        // One raw block of one byte, in a frame that claims a window of 2^log bytes.
        let frame = |log: u8| {
            Bytes::from(vec![
                0x28,
                0xb5,
                0x2f,
                0xfd,
                0,
                (log - 10) << 3,
                9,
                0,
                0,
                b'x',
            ])
        };
        let unpacked = |log, bytes_max| decompress(Codec::Zstd, &frame(log), bytes_max);
        assert_eq!(unpacked(23, 1000).unwrap(), "x");
        assert!(matches!(
            unpacked(24, 1000),
            Err(CompressionError::Invalid("zstd", _))
        ));
        assert_eq!(unpacked(27, 128 << 20).unwrap(), "x");
    }

    #[test]
    fn truncation_is_noticed() {
        let bytes = b"some text that is long enough to matter".repeat(50);
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let packed = compress(codec, &bytes).unwrap();
            for length in [packed.len() / 2, 20] {
                let unpacked = decompress(codec, &packed.slice(..length), 10_000);
                assert!(unpacked.is_err(), "{codec:?} {length}");
            }
            // LZ4 may end without its end mark: nothing of the contents is missing then.
            match decompress(codec, &packed.slice(..packed.len() - 1), 10_000) {
                Ok(unpacked) => assert_eq!(unpacked, bytes, "{codec:?}"),
                Err(error) => assert!(matches!(error, CompressionError::Invalid(..)), "{codec:?}"),
            }
        }
    }
}
