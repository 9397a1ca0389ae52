//! The contents of a batch as a stream: a piece unpacked at a time, so that whoever only looks at them never holds them
//! whole, and within an allowance, so that a small batch cannot cost much.

use std::io::{BufRead, BufReader, Read};

use bytes::Buf;

use crate::compression::{Codec, CompressionError};
use crate::record_batch::BatchError;

/// Unpacked between two looks at whether anybody still wants the rest.
const STEP_BYTES: usize = 64 * 1024;
/// What a decoder of this crate's choosing may hold besides its window.
const PIECE_BYTES: usize = 64 * 1024;

/// How much looking into batches may cost, for all of a request together.
pub struct Allowance<'a> {
    /// Bytes of records that may still be looked at.
    pub bytes: usize,
    /// The most that one batch may unpack into.
    pub batch_bytes: usize,
    /// The largest record of a packed batch.
    pub record_bytes: usize,
    /// The largest block that may be unpacked whole, as raw snappy is.
    pub memory_bytes: usize,
    /// The largest window of zstd.
    pub window_bytes: usize,
    /// Asked every now and then: false ends the work.
    pub wanted: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Allowance<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Allowance")
            .field("bytes", &self.bytes)
            .field("batch_bytes", &self.batch_bytes)
            .finish_non_exhaustive()
    }
}

impl Allowance<'_> {
    /// So many bytes of records, in one batch or many.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        Self {
            bytes,
            batch_bytes: bytes,
            record_bytes: usize::MAX,
            memory_bytes: bytes.max(8 * 1024 * 1024),
            window_bytes: bytes.max(8 * 1024 * 1024),
            wanted: &|| true,
        }
    }

    /// Bytes of records that the next batch may unpack into, where so many of them may be kept; all, if none is given.
    fn left(&self, kept_max: Option<usize>) -> usize {
        let of_batch = self.bytes.min(self.batch_bytes);
        kept_max.map_or(of_batch, |kept_max| of_batch.min(kept_max))
    }
}

/// Records' bytes from their codec, counted.
pub(crate) struct Unpacked<'a, 'b, R> {
    from: R,
    allowance: &'a mut Allowance<'b>,
    /// What of the batch's part of the allowance is left.
    left: usize,
    taken: usize,
    /// When to look again whether somebody wants the rest.
    look_at: usize,
    codec: Codec,
    /// Everything taken, where somebody wants to have it.
    kept: Option<Vec<u8>>,
}

/// Something to be done with records whatever they are packed with.
pub(crate) trait Use {
    type Done;
    fn with<R: BufRead>(self, records: Unpacked<'_, '_, R>) -> Result<Self::Done, BatchError>;
}

/// Opens a batch's contents for one use. Given `kept_max`, they are kept, and may be no more than that.
pub(crate) fn unpack<U: Use>(
    codec: Codec,
    packed: &[u8],
    allowance: &mut Allowance<'_>,
    kept_max: Option<usize>,
    user: U,
) -> Result<U::Done, BatchError> {
    let invalid =
        |error: std::io::Error| CompressionError::Invalid(codec.name(), error.to_string());
    let memory = allowance.memory_bytes;
    match codec {
        Codec::None => user.with(Unpacked::new(packed, allowance, codec, kept_max)),
        Codec::Gzip => {
            let member = GzipMember(flate2::bufread::GzDecoder::new(packed));
            let pieces = BufReader::with_capacity(PIECE_BYTES, member);
            user.with(Unpacked::new(pieces, allowance, codec, kept_max))
        }
        Codec::Snappy => {
            let left = allowance.left(kept_max);
            let blocks = SnappyBlocks::open(packed, memory, left)?;
            user.with(Unpacked::new(blocks, allowance, codec, kept_max))
        }
        Codec::Lz4 => {
            check_lz4_frame(packed)?;
            let blocks = lz4_flex::frame::FrameDecoder::new(packed);
            user.with(Unpacked::new(blocks, allowance, codec, kept_max))
        }
        Codec::Zstd => {
            let window = allowance.window_bytes;
            if zstd_window(packed) > window {
                return Err(BatchError::TooMuch);
            }
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(invalid)?;
            let log = crate::compression::zstd_window_log(window);
            decoder.window_log_max(log).map_err(invalid)?;
            let pieces = BufReader::with_capacity(PIECE_BYTES, decoder);
            user.with(Unpacked::new(pieces, allowance, codec, kept_max))
        }
    }
}

impl<'a, 'b, R: BufRead> Unpacked<'a, 'b, R> {
    fn new(
        from: R,
        allowance: &'a mut Allowance<'b>,
        codec: Codec,
        kept_max: Option<usize>,
    ) -> Self {
        let left = allowance.left(kept_max);
        Self {
            from,
            left,
            allowance,
            taken: 0,
            look_at: STEP_BYTES.min(left.saturating_add(1)),
            codec,
            kept: kept_max.map(|_| Vec::new()),
        }
    }

    /// The largest record there may be.
    pub(crate) fn record_bytes_max(&self) -> usize {
        match self.codec {
            Codec::None => usize::MAX,
            _ => self.allowance.record_bytes,
        }
    }

    /// How many bytes were taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Everything taken, if it was to be kept.
    pub(crate) fn into_kept(mut self) -> Option<Vec<u8>> {
        self.kept.take()
    }

    /// The next bytes; none at the end, and then nothing of what was packed is missing.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<&[u8], BatchError> {
        let codec = self.codec;
        self.from.fill_buf().map_err(|error| broken(codec, error))
    }

    /// Goes on behind so many of the bytes that [`Self::next`] gave.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), BatchError> {
        if let Some(kept) = &mut self.kept
            && let Ok(next) = self.from.fill_buf()
            && let Some(taken) = next.get(..bytes)
        {
            kept.extend_from_slice(taken);
        }
        self.from.consume(bytes);
        self.taken = self.taken.saturating_add(bytes);
        if self.taken >= self.look_at {
            return self.look();
        }
        Ok(())
    }

    #[cold]
    fn look(&mut self) -> Result<(), BatchError> {
        if self.taken > self.left {
            return Err(BatchError::TooMuch);
        }
        if !(self.allowance.wanted)() {
            return Err(BatchError::Unwanted);
        }
        let next = self.taken.saturating_add(STEP_BYTES);
        self.look_at = next.min(self.left.saturating_add(1));
        Ok(())
    }
}

impl<R> Drop for Unpacked<'_, '_, R> {
    fn drop(&mut self) {
        self.allowance.bytes = self.allowance.bytes.saturating_sub(self.taken);
    }
}

#[cold]
fn broken(codec: Codec, error: std::io::Error) -> BatchError {
    let said = error.to_string();
    match error
        .into_inner()
        .map(|inner| inner.downcast::<BatchError>())
    {
        Some(Ok(error)) => *error,
        _ => CompressionError::Invalid(codec.name(), said).into(),
    }
}

/// How many bytes the first frame says that its decoder must hold; 0 where it does not read.
fn zstd_window(packed: &[u8]) -> usize {
    const SINGLE_SEGMENT: u8 = 1 << 5;
    let Some((descriptor, rest)) = packed.get(4..).and_then(<[u8]>::split_first) else {
        return 0;
    };
    if descriptor & SINGLE_SEGMENT == 0 {
        let Some(window) = rest.first() else {
            return 0;
        };
        let base = 1_usize << (10_u32.saturating_add(u32::from(window >> 3)));
        return base.saturating_add((base >> 3).saturating_mul(usize::from(window & 7)));
    }
    let dictionary = match descriptor & 3 {
        3 => 4,
        bytes => usize::from(bytes),
    };
    let mut size = rest.get(dictionary..).unwrap_or_default();
    let size = match descriptor >> 6 {
        0 => size.try_get_u8().map(u64::from),
        1 => size
            .try_get_u16_le()
            .map(|size| u64::from(size).saturating_add(256)),
        2 => size.try_get_u32_le().map(u64::from),
        _ => size.try_get_u64_le(),
    };
    size.map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX))
}

const LZ4_MAGIC: u32 = 0x184d_2204;

/// The version, and that blocks are independent, is all that Kafka's own reader takes in these bits; a dictionary it does
/// not.
const LZ4_FLAGS_MASK: u8 = 0b1110_0011;
const LZ4_FLAGS: u8 = 0b0110_0000;

/// Sees that what is packed is one frame of LZ4 with its end: the decoder takes a missing end for the end. Readers differ
/// about what they do with anything behind it. Frames whose blocks need the ones before, Kafka's reader refuses.
fn check_lz4_frame(packed: &[u8]) -> Result<(), BatchError> {
    let ends = || {
        let mut rest = packed;
        if rest.try_get_u32_le().ok()? != LZ4_MAGIC {
            return None;
        }
        let flags = rest.try_get_u8().ok()?;
        if flags & LZ4_FLAGS_MASK != LZ4_FLAGS {
            return None;
        }
        // The block size, the content's size, the header's checksum.
        let described = if flags & 0x08 == 0 { 2 } else { 10 };
        rest = rest.get(described..)?;
        let checksum = if flags & 0x10 == 0 { 0 } else { 4 };
        loop {
            let size = rest.try_get_u32_le().ok()? & 0x7fff_ffff;
            if size == 0 {
                break;
            }
            let block = usize::try_from(size).ok()?.saturating_add(checksum);
            rest = rest.get(block..)?;
        }
        let content_checksum = if flags & 0x04 == 0 { 0 } else { 4 };
        (rest.len() == content_checksum).then_some(())
    };
    ends().ok_or_else(|| {
        let what = "not one whole frame of independent blocks".to_owned();
        CompressionError::Invalid(Codec::Lz4.name(), what).into()
    })
}

/// One member of gzip, which is all there may be: at a second one librdkafka aborts, or reads the first batch for ever.
struct GzipMember<'a>(flate2::bufread::GzDecoder<&'a [u8]>);

impl Read for GzipMember<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(to)?;
        if read == 0 && !to.is_empty() && !self.0.get_ref().is_empty() {
            return Err(std::io::Error::other("more than one member"));
        }
        Ok(read)
    }
}

/// Blocks of snappy-java's frames, one unpacked at a time; raw snappy is one block.
struct SnappyBlocks<'a> {
    rest: &'a [u8],
    framed: bool,
    /// Of a block, and what all that are still to come may be together.
    largest: usize,
    left: usize,
    block: Vec<u8>,
    at: usize,
}

impl<'a> SnappyBlocks<'a> {
    fn open(packed: &'a [u8], largest: usize, left: usize) -> Result<Self, BatchError> {
        let framed = crate::compression::after_xerial_header(packed);
        let mut blocks = Self {
            rest: framed.unwrap_or(packed),
            framed: framed.is_some(),
            largest,
            left,
            block: Vec::new(),
            at: 0,
        };
        if framed.is_none() {
            let whole = std::mem::take(&mut blocks.rest);
            blocks.unpack(whole)?;
        }
        Ok(blocks)
    }

    fn unpack(&mut self, block: &[u8]) -> Result<(), BatchError> {
        self.at = 0;
        self.block.clear();
        let largest = self.largest.min(self.left);
        // What a vector has is copied when it grows, wanted or not.
        if snap::raw::decompress_len(block).is_ok_and(|bytes| bytes > self.block.capacity()) {
            self.block = Vec::new();
        }
        let unpacked = crate::compression::unsnap_block(block, &mut self.block, largest);
        self.left = self.left.saturating_sub(self.block.len());
        unpacked.map_err(|error| match error {
            CompressionError::TooLarge(_) => BatchError::TooMuch,
            invalid @ CompressionError::Invalid(..) => invalid.into(),
        })
    }

    fn next_block(&mut self) -> std::io::Result<()> {
        let cut = || std::io::Error::other("a block is cut short");
        let length = self.rest.try_get_u32().map_err(|_| cut())?;
        let length = usize::try_from(length).map_err(|_| cut())?;
        let (block, rest) = self.rest.split_at_checked(length).ok_or_else(cut)?;
        self.rest = rest;
        self.unpack(block).map_err(std::io::Error::other)
    }
}

impl Read for SnappyBlocks<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let mut next = self.fill_buf()?;
        let read = next.read(to)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for SnappyBlocks<'_> {
    #[inline]
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        while self.at >= self.block.len() && self.framed && !self.rest.is_empty() {
            self.next_block()?;
        }
        Ok(self.block.get(self.at..).unwrap_or_default())
    }

    #[inline]
    fn consume(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::compress_at;

    #[test]
    fn blocks_of_snappy_are_held_one_at_a_time_and_count_together() {
        let block = |bytes: usize| {
            let block = snap::raw::Encoder::new()
                .compress_vec(&vec![0; bytes])
                .unwrap();
            let length = u32::try_from(block.len()).unwrap().to_be_bytes();
            [&length[..], &block].concat()
        };
        let header = [&b"\x82SNAPPY\0"[..], &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
        let packed = [header, block(5 << 20), block(6 << 20), block(6 << 20)].concat();
        let mut blocks = SnappyBlocks::open(&packed, 8 << 20, 12 << 20).unwrap();
        for bytes in [5 << 20, 6 << 20] {
            assert_eq!(blocks.fill_buf().unwrap().len(), bytes);
            assert!(blocks.block.capacity() < bytes + bytes / 8);
            blocks.consume(bytes);
        }
        assert!(blocks.fill_buf().is_err(), "5 and 6 of 12 are taken");
    }

    #[test]
    fn what_is_packed_at_any_level_needs_no_more_memory_than_its_contents() {
        for (bytes, window_max) in [(100, 1024), (100_000, 1 << 17), (20 << 20, 8 << 20)] {
            for level in [1, 12, 22] {
                let packed = compress_at(Codec::Zstd, level, &vec![7; bytes]).unwrap();
                let window = zstd_window(&packed);
                assert!(window <= window_max, "{bytes} at {level}: {window}");
            }
        }
    }
}
