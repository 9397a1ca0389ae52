//! One record batch from a client: Kafka's checks of its header in Kafka's order, what is inside it (`contents`), and what
//! is written differently of it than it came. Pure. Called by `judging`.

use std::borrow::Cow;

use bytes::Bytes;
use metadata::{BatchFlags, BatchProducer, ProducerEpoch, ProducerId, Sequence, Share, Timestamp};
use protocol::compression::Codec;
use protocol::record_batch::{self, BatchError, BatchHeader};
use protocol::{Allowance, ErrorCode};

use super::contents::{Contents, look_inside};
use crate::storage::segment::RAW_BYTES_MAX;
use crate::topic_config::{TimestampType, TopicSettings};

/// zstd needs a client that can read it back (KIP-110).
const ZSTD_VERSION_MIN: i16 = 7;

/// A batch fit to be stored.
#[derive(Clone, Debug)]
pub(super) struct ValidBatch {
    pub(super) bytes: Bytes,
    /// Offsets it takes.
    pub(super) record_count: u32,
    pub(super) min_timestamp: Timestamp,
    pub(super) max_timestamp: Timestamp,
    pub(super) producer: Option<BatchProducer>,
    pub(super) flags: BatchFlags,
    /// Set where the topic stamps records with the time of their arrival.
    pub(super) log_append_time: Option<Timestamp>,
    /// Packed, so that packing it again would not pay.
    pub(super) compressed: bool,
}

/// Why a batch is refused: the client's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InvalidBatch {
    pub(super) code: ErrorCode,
    pub(super) message: Cow<'static, str>,
    /// The records at fault inside the batch, where they can be named.
    pub(super) records: Vec<RecordFault>,
}

/// What is wrong with one record (KIP-467).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordFault {
    /// Its place in the batch.
    pub(super) index: i32,
    pub(super) message: String,
}

/// Why there is no valid batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    Invalid(InvalidBatch),
    /// Nothing is known of it: it takes more to look at than was allowed.
    TooMuch,
    /// The same, because nobody waits for it any more.
    Unwanted,
}

impl ValidBatch {
    /// Where the batch is less than half of the frame that it lies in, it is copied. Whoever holds it is charged for its
    /// bytes, and would hold all of the frame.
    pub(super) fn hold_on_to_none_of(&mut self, frame_bytes: usize) {
        if self.bytes.len() < frame_bytes / 2 {
            self.bytes = Bytes::copy_from_slice(&self.bytes);
        }
    }
}

impl InvalidBatch {
    pub(super) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            records: Vec::new(),
        }
    }
}

impl From<InvalidBatch> for Unfit {
    fn from(invalid: InvalidBatch) -> Self {
        Self::Invalid(invalid)
    }
}

/// Judges what a Produce request of `version` carries for one partition.
pub(super) fn validate(
    bytes: &Bytes,
    version: i16,
    topic: &TopicSettings,
    now: Timestamp,
    allowance: &mut Allowance<'_>,
) -> Result<ValidBatch, Unfit> {
    let header = read_header(bytes)?;
    let codec = check_header(bytes, &header, version, topic)?;
    check_timestamp_type(&header)?;
    let kept_as = topic.packing.map_or(codec, |packing| packing.codec);
    let trusted = topic.trusts_producers && !topic.compacted && codec != Codec::None;
    let contents = match trusted && kept_as == codec {
        true => as_the_header_says(&header, topic, now)?,
        false => look_inside(bytes, &header, (topic, now), kept_as != codec, allowance)?,
    };
    let log_append_time = (topic.timestamp_type == TimestampType::LogAppendTime).then_some(now);
    let bytes = anew(bytes, &contents, topic, allowance.wanted)?;
    let bytes = restamped(bytes, &header, &contents, log_append_time);
    Ok(ValidBatch {
        bytes,
        record_count: header.record_count.unsigned_abs(),
        min_timestamp: log_append_time.unwrap_or(Timestamp(contents.min_timestamp)),
        max_timestamp: log_append_time.unwrap_or(Timestamp(contents.max_timestamp)),
        producer: producer(&header),
        flags: BatchFlags {
            transactional: header.is_transactional(),
            control: header.is_control(),
        },
        log_append_time,
        compressed: kept_as != Codec::None,
    })
}

/// The batch packed anew, where its topic wants it packed otherwise than it came, and for as long as somebody waits for it.
fn anew(
    bytes: &Bytes,
    contents: &Contents,
    topic: &TopicSettings,
    wanted: &dyn Fn() -> bool,
) -> Result<Bytes, Unfit> {
    let (Some(unpacked), Some(packing)) = (&contents.unpacked, topic.packing) else {
        return Ok(bytes.clone());
    };
    let packing = (packing.codec, packing.level);
    let packed = record_batch::repack(bytes, unpacked, packing, wanted);
    let packed = packed.map_err(|error| match error {
        BatchError::Unwanted => Unfit::Unwanted,
        error => InvalidBatch::new(ErrorCode::INVALID_RECORD, error.to_string()).into(),
    })?;
    check_size(packed.len(), topic)?;
    Ok(packed)
}

/// What is stored: that batch, but for its time where the topic says what it is, and for a largest timestamp that is not that
/// of its records. Old Sarama says -1, and whoever looks for a time would not find them.
fn restamped(
    bytes: Bytes,
    header: &BatchHeader,
    contents: &Contents,
    log_append_time: Option<Timestamp>,
) -> Bytes {
    match log_append_time {
        Some(now) => record_batch::stamp_log_append_time(&bytes, now.0),
        None if header.max_timestamp != contents.max_timestamp => {
            record_batch::correct_max_timestamp(&bytes, contents.max_timestamp)
        }
        None => bytes,
    }
}

/// For topics that trust their producers: nothing is unpacked.
fn as_the_header_says(
    header: &BatchHeader,
    topic: &TopicSettings,
    now: Timestamp,
) -> Result<Contents, InvalidBatch> {
    let (first, largest) = (header.base_timestamp, header.max_timestamp);
    let any = topic.timestamp_type == TimestampType::LogAppendTime || largest < 0;
    let refused = || {
        topic
            .refuses(first, now)
            .or_else(|| topic.refuses(largest, now))
    };
    if !any && let Some(why) = refused() {
        let message = format!("the batch's {why}");
        return Err(InvalidBatch::new(ErrorCode::INVALID_TIMESTAMP, message));
    }
    Ok(Contents {
        min_timestamp: first,
        max_timestamp: largest,
        unpacked: None,
    })
}

fn read_header(bytes: &[u8]) -> Result<BatchHeader, InvalidBatch> {
    // The magic byte lies at the same place in every format; older formats have no such header (gone since Kafka 4.0).
    if matches!(bytes.get(16), Some(0 | 1)) {
        return Err(InvalidBatch::new(
            ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
            "message formats before 2 are not taken any more",
        ));
    }
    let header = BatchHeader::read(bytes)
        .map_err(|error| InvalidBatch::new(ErrorCode::CORRUPT_MESSAGE, error.to_string()))?;
    if header.magic != 2 {
        return Err(InvalidBatch::new(
            ErrorCode::INVALID_RECORD,
            format!("unknown magic {}", header.magic),
        ));
    }
    Ok(header)
}

/// Everything the 61 bytes of the header say, and the checksum over the rest.
fn check_header(
    bytes: &[u8],
    header: &BatchHeader,
    version: i16,
    topic: &TopicSettings,
) -> Result<Codec, InvalidBatch> {
    let no = |code, message: &'static str| Err(InvalidBatch::new(code, message));
    if header.size < bytes.len() {
        return no(
            ErrorCode::INVALID_RECORD,
            "more than one record batch for a partition",
        );
    }
    if header.size > bytes.len() {
        return no(ErrorCode::CORRUPT_MESSAGE, "the record batch is cut short");
    }
    if header.base_offset != 0 {
        return no(
            ErrorCode::INVALID_RECORD,
            "the record batch's base offset is not 0",
        );
    }
    let Some(codec) = header.codec() else {
        return no(
            ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            "an unknown compression codec",
        );
    };
    if codec == Codec::Zstd && version < ZSTD_VERSION_MIN {
        return no(
            ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            "zstd needs version 7 of Produce",
        );
    }
    check_size(header.size, topic)?;
    if !record_batch::crc_matches(bytes, header) {
        return no(
            ErrorCode::CORRUPT_MESSAGE,
            "the record batch does not match its checksum",
        );
    }
    if header.record_count <= 0
        || header.last_offset_delta.checked_add(1) != Some(header.record_count)
    {
        return no(
            ErrorCode::INVALID_RECORD,
            "the record batch's count and offsets contradict each other",
        );
    }
    if header.is_control() {
        return no(
            ErrorCode::INVALID_RECORD,
            "only the broker writes control batches",
        );
    }
    if header.is_transactional() {
        return no(
            ErrorCode::INVALID_TXN_STATE,
            "transactions are not offered yet",
        );
    }
    if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return no(
            ErrorCode::INVALID_RECORD,
            "a producer id without a sequence",
        );
    }
    Ok(codec)
}

pub(super) fn check_size(bytes: usize, topic: &TopicSettings) -> Result<(), InvalidBatch> {
    // A frame holds less; but packed anew, a batch may grow past it.
    if bytes > RAW_BYTES_MAX as usize {
        let message =
            format!("a record batch of {bytes} bytes; no topic takes more than {RAW_BYTES_MAX}");
        return Err(InvalidBatch::new(ErrorCode::MESSAGE_TOO_LARGE, message));
    }
    if bytes > topic.max_message_bytes {
        let message = format!(
            "a record batch of {bytes} bytes; the topic takes max.message.bytes={}",
            topic.max_message_bytes
        );
        return Err(InvalidBatch::new(ErrorCode::MESSAGE_TOO_LARGE, message));
    }
    Ok(())
}

fn check_timestamp_type(header: &BatchHeader) -> Result<(), InvalidBatch> {
    if header.has_log_append_time() {
        return Err(InvalidBatch::new(
            ErrorCode::INVALID_TIMESTAMP,
            "only the broker stamps batches with the time of their arrival",
        ));
    }
    Ok(())
}

fn producer(header: &BatchHeader) -> Option<BatchProducer> {
    (header.producer_id >= 0).then_some(BatchProducer {
        id: ProducerId(header.producer_id),
        epoch: ProducerEpoch(header.producer_epoch),
        // The handler knows where it came from.
        share: Share::default(),
        base_sequence: Sequence(header.base_sequence),
    })
}
