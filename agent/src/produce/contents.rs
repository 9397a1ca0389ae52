//! What is inside a batch, in one pass over its records that takes none of them apart: whether they are what the header
//! says, as Kafka's LogValidator asks, and when the oldest and the newest were made. Pure. Called by `validate`.

use std::ops::ControlFlow;

use metadata::Timestamp;
use protocol::record_batch::{BatchError, BatchHeader};
use protocol::walk::{Seen, walk, walk_and_unpack};
use protocol::{Allowance, ErrorCode};

use super::validate::{InvalidBatch, RecordFault, Unfit};
use crate::topic_config::{TimestampType, TopicSettings};
use crate::unpacking::KEPT_BYTES_MAX;

/// A record without a timestamp says so.
const NO_TIMESTAMP: i64 = -1;
/// More records at fault are not named of one batch.
pub(super) const FAULTS_MAX: usize = 16;

/// What a batch's records say of it.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) min_timestamp: i64,
    pub(super) max_timestamp: i64,
    /// The records' bytes, if they were asked for.
    pub(super) unpacked: Option<Vec<u8>>,
}

/// Looks at all records of a batch; at their bytes, too, if these are to be packed anew.
pub(super) fn look_inside(
    bytes: &[u8],
    header: &BatchHeader,
    (topic, now): (&TopicSettings, Timestamp),
    unpack: bool,
    allowance: &mut Allowance<'_>,
) -> Result<Contents, Unfit> {
    let (mut oldest, mut newest) = (i64::MAX, NO_TIMESTAMP);
    let mut faults = Faults::default();
    let see = |seen: Seen| {
        let timestamp = seen.timestamp(header);
        oldest = oldest.min(timestamp);
        newest = newest.max(timestamp);
        match fault(seen, timestamp, topic, now) {
            None => ControlFlow::Continue(()),
            Some((code, message)) => faults.add(seen.index, code, message),
        }
    };
    allowance.record_bytes = topic.record_unpacked_bytes_max;
    let walked = match unpack {
        true => walk_and_unpack(bytes, header, KEPT_BYTES_MAX, allowance, see).map(Some),
        false => walk(bytes, header, allowance, see).map(|()| None),
    };
    let unpacked = walked.map_err(|error| match error {
        BatchError::TooMuch => Unfit::TooMuch,
        BatchError::Unwanted => Unfit::Unwanted,
        error => InvalidBatch::new(ErrorCode::INVALID_RECORD, error.to_string()).into(),
    })?;
    match faults.verdict() {
        Some(invalid) => Err(invalid.into()),
        None => Ok(Contents {
            min_timestamp: oldest,
            max_timestamp: newest,
            unpacked,
        }),
    }
}

/// What is wrong with one record.
fn fault(
    seen: Seen,
    timestamp: i64,
    topic: &TopicSettings,
    now: Timestamp,
) -> Option<(ErrorCode, String)> {
    if seen.offset_delta != seen.index {
        let delta = seen.offset_delta;
        let message = format!("its offset is {delta}; those of a batch are dense from 0");
        return Some((ErrorCode::INVALID_RECORD, message));
    }
    if topic.compacted && !seen.has_key {
        let message = "a compacted topic takes only records with a key".to_owned();
        return Some((ErrorCode::INVALID_RECORD, message));
    }
    if topic.timestamp_type == TimestampType::LogAppendTime || timestamp == NO_TIMESTAMP {
        return None;
    }
    let why = topic.refuses(timestamp, now)?;
    Some((ErrorCode::INVALID_TIMESTAMP, format!("its {why}")))
}

/// Records at fault. One with a wrong timestamp decides the code, as in Kafka.
#[derive(Default)]
struct Faults {
    named: Vec<RecordFault>,
    timestamp: bool,
}

impl Faults {
    fn add(&mut self, index: i32, code: ErrorCode, message: String) -> ControlFlow<()> {
        self.timestamp |= code == ErrorCode::INVALID_TIMESTAMP;
        self.named.push(RecordFault { index, message });
        match self.named.len() < FAULTS_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    fn verdict(self) -> Option<InvalidBatch> {
        let first = self.named.first()?;
        let code = match self.timestamp {
            true => ErrorCode::INVALID_TIMESTAMP,
            false => ErrorCode::INVALID_RECORD,
        };
        let message = format!("record {} of the batch: {}", first.index, first.message);
        Some(InvalidBatch {
            code,
            message: message.into(),
            records: self.named,
        })
    }
}
