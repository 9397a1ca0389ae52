//! What became of an object's batches. Extents, verdicts and reference counts are not written, for they follow from it.
//! `wire` has its form in the log, with `block` and `batch`.

mod batch;
mod block;
#[cfg(test)]
mod tests;
mod wire;

use crate::command::{BatchProducer, Outcome, Placed, Rejected, Verdict};
use crate::types::{
    BatchFlags, BlockRange, Content, Extent, ObjectKey, Offset, Stored, Timestamp, TopicPartition,
};

/// A run is closed past so many records, so that their number fits; with one batch of `i32::MAX` more it still does.
const RUN_RECORDS_MAX: u32 = i32::MAX.unsigned_abs();

/// An object with its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) object: ObjectKey,
    /// Bytes stored.
    pub(crate) size: u64,
    /// Whose command it was; `None` if nobody can ask again.
    pub(crate) asked: Option<Asked>,
    pub(crate) blocks: Vec<Block>,
    /// Those of the first block, then those of the second, and so on.
    pub(crate) batches: Vec<Judged>,
}

wire_struct! {
    /// A command's place in its session, which has seen all outcomes up to `seen`, exclusive.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Asked {
        pub(crate) session: u64,
        pub(crate) sequence: u64,
        pub(crate) seen: u64,
    }
}

/// A block of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) partition: TopicPartition,
    pub(crate) range: BlockRange,
    /// How many of the record's batches are the block's.
    pub(crate) batches: usize,
    /// The partition's high watermark before the block, from which accepted batches are numbered.
    pub(crate) base_offset: Offset,
    /// The partition's log start then.
    pub(crate) log_start: Offset,
}

/// A batch and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Bytes of the batch.
    pub(crate) raw_length: u32,
    pub(crate) judgement: Judgement,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It has the offsets after those accepted before it.
    Accepted {
        record_count: u32,
        max_timestamp: Timestamp,
        flags: BatchFlags,
        producer: Option<BatchProducer>,
        /// The partition did not know the producer, whose state counts towards its share from now on.
        is_new: bool,
    },
    /// It repeats the one at that offset.
    Duplicate(Offset),
    Refused(Rejected),
}

impl Judged {
    /// Offsets it takes.
    pub(crate) fn record_count(&self) -> u32 {
        match self.judgement {
            Judgement::Accepted { record_count, .. } => record_count,
            Judgement::Duplicate(_) | Judgement::Refused(_) => 0,
        }
    }

    /// What readers must know of it, if they read it.
    fn flags(&self) -> Option<BatchFlags> {
        match self.judgement {
            Judgement::Accepted { flags, .. } => Some(flags),
            Judgement::Duplicate(_) | Judgement::Refused(_) => None,
        }
    }
}

impl Committed {
    /// Blocks with their batches.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (&Block, &[Judged])> {
        let mut rest = self.batches.as_slice();
        self.blocks.iter().map(move |block| {
            let (batches, after) = rest.split_at(block.batches.min(rest.len()));
            rest = after;
            (block, batches)
        })
    }

    /// What joined partitions.
    pub(crate) fn extents(&self) -> impl Iterator<Item = (TopicPartition, Extent)> {
        self.blocks().flat_map(|(block, batches)| {
            let extents = extents(self.object, block, batches);
            extents.map(|extent| (block.partition, extent))
        })
    }

    /// What the agent is told: a verdict for each batch.
    pub(crate) fn outcome(&self) -> Outcome {
        let mut verdicts = Vec::with_capacity(self.batches.len());
        for (block, batches) in self.blocks() {
            let mut next = block.base_offset;
            for batch in batches {
                verdicts.push(verdict(block, next, batch));
                next.0 += i64::from(batch.record_count());
            }
        }
        Outcome::Committed(verdicts)
    }
}

fn verdict(block: &Block, next: Offset, batch: &Judged) -> Verdict {
    let (base_offset, duplicate) = match batch.judgement {
        Judgement::Accepted { .. } => (next, false),
        Judgement::Duplicate(original) => (original, true),
        Judgement::Refused(rejected) => return Err(rejected),
    };
    Ok(Placed {
        base_offset,
        log_start_offset: block.log_start,
        duplicate,
    })
}

/// The extents of one block: accepted neighbours join in one, if readers must know the same of them.
pub(crate) fn extents<'a>(
    object: ObjectKey,
    block: &'a Block,
    batches: &'a [Judged],
) -> impl Iterator<Item = Extent> + 'a {
    let (mut next, mut raw_start) = (block.base_offset, 0_u32);
    let mut batches = batches.iter().peekable();
    std::iter::from_fn(move || {
        // Dead bytes between two runs.
        while let Some(dead) = batches.next_if(|batch| batch.record_count() == 0) {
            raw_start = raw_start.saturating_add(dead.raw_length);
        }
        let flags = batches.peek()?.flags();
        let (mut span, mut raw_length, mut latest) = (0_u32, 0_u32, Timestamp(i64::MIN));
        while span <= RUN_RECORDS_MAX
            && let Some(batch) =
                batches.next_if(|batch| batch.record_count() > 0 && batch.flags() == flags)
        {
            span = span.saturating_add(batch.record_count());
            raw_length = raw_length.saturating_add(batch.raw_length);
            if let Judgement::Accepted { max_timestamp, .. } = batch.judgement {
                latest = latest.max(max_timestamp);
            }
        }
        let extent = Extent {
            base_offset: next,
            offset_span: span,
            record_count: span,
            max_timestamp: latest,
            flags: flags.unwrap_or_default().into(),
            content: Content::Stored(Stored {
                object,
                block: block.range,
                raw_start,
                raw_length,
            }),
        };
        next.0 += i64::from(span);
        raw_start = raw_start.saturating_add(raw_length);
        Some(extent)
    })
}
