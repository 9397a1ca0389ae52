//! One record batch from a client, judged by its header alone: Kafka's checks in Kafka's order (LogValidator).
//! Pure. Called by `handler`. Contents are read only where they lie open (uncompressed) or the topic is compacted.

use bytes::Bytes;
use metadata::{BatchFlags, BatchProducer, ProducerEpoch, ProducerId, Sequence, Share, Timestamp};
use protocol::compression::Codec;
use protocol::record_batch::{self, BatchHeader};
use protocol::{ErrorCode, Records, records};

use crate::topic_config::{Ingest, TimestampType};

/// zstd needs a client that can read it back (KIP-110).
const ZSTD_VERSION_MIN: i16 = 7;
/// What a batch of a compacted topic may unpack to while its keys are looked at.
const UNPACKED_BYTES_MAX: usize = 128 * 1024 * 1024;

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
    /// Packed by the client, so that packing it again would not pay.
    pub(super) compressed: bool,
}

/// Why a batch is refused: the client's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InvalidBatch {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    /// The record at fault inside the batch, where one can be named.
    pub(super) record: Option<i32>,
}

impl InvalidBatch {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            record: None,
        }
    }
}

/// Judges what a Produce request of `version` carries for one partition.
pub(super) fn validate(
    records: Option<Records>,
    version: i16,
    topic: &Ingest,
    now: Timestamp,
) -> Result<ValidBatch, InvalidBatch> {
    let bytes = one_slice(records)?;
    let header = read_header(&bytes)?;
    let codec = check_header(&bytes, &header, version, topic)?;
    check_timestamps(&header, topic, now)?;
    check_contents(&bytes, &header, codec, topic)?;
    let log_append_time = (topic.timestamp_type == TimestampType::LogAppendTime).then_some(now);
    let bytes = match log_append_time {
        Some(now) => record_batch::stamp_log_append_time(&bytes, now.0),
        None => bytes,
    };
    Ok(ValidBatch {
        bytes,
        record_count: header.record_count.unsigned_abs(),
        min_timestamp: log_append_time.unwrap_or(Timestamp(header.base_timestamp)),
        max_timestamp: log_append_time.unwrap_or(Timestamp(header.max_timestamp)),
        producer: producer(&header),
        flags: BatchFlags {
            transactional: header.is_transactional(),
            control: header.is_control(),
        },
        log_append_time,
        compressed: codec != Codec::None,
    })
}

fn one_slice(records: Option<Records>) -> Result<Bytes, InvalidBatch> {
    records
        .and_then(|records| records.0.into_iter().next())
        .filter(|bytes| !bytes.is_empty())
        .ok_or_else(|| {
            InvalidBatch::new(
                ErrorCode::INVALID_RECORD,
                "a partition without a record batch",
            )
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
    topic: &Ingest,
) -> Result<Codec, InvalidBatch> {
    let no = |code, message: &str| Err(InvalidBatch::new(code, message));
    if header.size < bytes.len() {
        return no(
            ErrorCode::INVALID_RECORD,
            "more than one record batch for a partition",
        );
    }
    if header.size > bytes.len() {
        return no(ErrorCode::CORRUPT_MESSAGE, "the record batch is cut short");
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
    if header.size > topic.max_message_bytes {
        let message = format!(
            "a record batch of {} bytes; the topic takes max.message.bytes={}",
            header.size, topic.max_message_bytes
        );
        return Err(InvalidBatch::new(ErrorCode::MESSAGE_TOO_LARGE, message));
    }
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

fn check_timestamps(
    header: &BatchHeader,
    topic: &Ingest,
    now: Timestamp,
) -> Result<(), InvalidBatch> {
    if header.has_log_append_time() {
        return Err(InvalidBatch::new(
            ErrorCode::INVALID_TIMESTAMP,
            "only the broker stamps batches with the time of their arrival",
        ));
    }
    if topic.timestamp_type == TimestampType::LogAppendTime || header.max_timestamp < 0 {
        return Ok(());
    }
    let ahead = header.max_timestamp.saturating_sub(now.0);
    let behind = now.0.saturating_sub(header.base_timestamp);
    if ahead > topic.after_max_ms || behind > topic.before_max_ms {
        return Err(InvalidBatch::new(
            ErrorCode::INVALID_TIMESTAMP,
            format!(
                "timestamps {}..={} are outside what the topic takes",
                header.base_timestamp, header.max_timestamp
            ),
        ));
    }
    Ok(())
}

/// Open contents are walked; packed ones only where every record must have a key.
fn check_contents(
    bytes: &Bytes,
    header: &BatchHeader,
    codec: Codec,
    topic: &Ingest,
) -> Result<(), InvalidBatch> {
    let invalid = |error: record_batch::BatchError| {
        InvalidBatch::new(ErrorCode::INVALID_RECORD, error.to_string())
    };
    if codec == Codec::None {
        records::check_inner(bytes, header).map_err(invalid)?;
    }
    if !topic.compacted {
        return Ok(());
    }
    for (index, record) in records::records(bytes, UNPACKED_BYTES_MAX)
        .map_err(invalid)?
        .enumerate()
    {
        if record.map_err(invalid)?.key.is_none() {
            return Err(InvalidBatch {
                code: ErrorCode::INVALID_RECORD,
                message: "a compacted topic takes only records with a key".into(),
                record: i32::try_from(index).ok(),
            });
        }
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
