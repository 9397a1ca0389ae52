//! Offsets by time: the metadata knows the extent, its batches know the record. Called by `list_offsets`. What unpacks into
//! much is searched behind others of that kind; whoever stops waiting has his search stopped.

use std::sync::LazyLock;

use bytes::Bytes;
use metadata::{Content, Extent, Located, Offset, Stored, Timestamp, TopicPartition};
use protocol::record_batch::{BatchError, BatchHeader};
use protocol::walk::{first_at_or_after, first_with_max_timestamp};
use protocol::{Allowance, ErrorCode};

use super::list_offsets::{Found, NOTHING};
use crate::context::Context;
use crate::damage::{Damage, GivenUp};
use crate::origin::Origin;
use crate::said::warn_seldom;
use crate::storage::{Place, RawBlock};
use crate::unpacking::{self, Unpacking};
use crate::{damage, refusal};

/// All searches of this process: they wait for each other and nobody else for them.
static SEARCHING: LazyLock<Unpacking> = LazyLock::new(Unpacking::new);
/// How much of the log is located at a time, should its first candidate be none.
const LOCATED_BYTES: u64 = 64 * 1024 * 1024;
/// Extents that may turn out not to hold what their headers said, before the search is given up.
const MISSES_MAX: u32 = 32;
/// Times that the log is located anew in one search.
const ROUNDS_MAX: u32 = 64;

/// Which record of an extent.
#[derive(Clone, Copy, Debug)]
enum TimeQuery {
    /// The first with this timestamp or a later one.
    AtOrAfter(i64),
    /// The first with the largest timestamp, which is this.
    Largest(i64),
}

/// Looks into batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search<'a> {
    pub(super) context: &'a Context,
    /// Whose searches take turns with those of others.
    pub(super) origin: Origin,
}

impl Search<'_> {
    /// The first record with `wanted` or a later timestamp.
    pub(super) async fn at_or_after(&self, at: TopicPartition, wanted: Timestamp) -> Found {
        let first = self.context.metadata.locate_timestamp(at, wanted).await;
        let first = first.map_err(|error| self.refused(at, Offset(0), &error));
        let Some(first) = first? else {
            return Ok(NOTHING);
        };
        let mut extents = vec![first];
        let (mut misses, mut rounds) = (0, 0);
        let given_up = GivenUp::now(&self.context.metadata);
        while let Some(last) = extents.last().copied() {
            let is_candidate =
                |extent: &&Extent| extent.max_timestamp >= wanted && !given_up.covers(at, extent);
            for extent in extents.iter().filter(is_candidate) {
                if let Some(found) = self
                    .look(at, extent, TimeQuery::AtOrAfter(wanted.0))
                    .await?
                {
                    return Ok(found);
                }
                misses += 1;
            }
            rounds += 1;
            if misses > MISSES_MAX || rounds > ROUNDS_MAX {
                // A producer wrote headers that promise too much. Nothing before this offset is late enough, so whoever
                // reads from here misses nothing.
                return Ok((last.end_offset().0, wanted.0));
            }
            extents = self.after(at, last.end_offset()).await?;
        }
        Ok(NOTHING)
    }

    /// The first of the records with the largest timestamp, of those that were not given up: the metadata passes over these.
    pub(super) async fn latest(&self, at: TopicPartition) -> Found {
        let extent = self.context.metadata.locate_max_timestamp(at).await;
        match extent.map_err(|error| self.refused(at, Offset(0), &error))? {
            // Records may be without a timestamp.
            Some(extent) if extent.max_timestamp.0 >= 0 => {
                let largest = TimeQuery::Largest(extent.max_timestamp.0);
                Ok(self.look(at, &extent, largest).await?.unwrap_or(NOTHING))
            }
            _ => Ok(NOTHING),
        }
    }

    async fn after(&self, at: TopicPartition, offset: Offset) -> Result<Vec<Extent>, ErrorCode> {
        let given_up = GivenUp::now(&self.context.metadata);
        let offset = given_up.step_over(at, offset);
        let located = self.context.metadata.locate(at, offset, LOCATED_BYTES);
        match located.await {
            Ok(Located::Extents { bounds, extents }) => {
                let readable = damage::readable(at, offset, &bounds, extents);
                let mut extents = readable.map_err(|damage| self.damaged(&damage))?;
                given_up.before_next(at, offset, &mut extents);
                Ok(extents)
            }
            Ok(Located::OutOfRange(_)) => Ok(Vec::new()),
            Ok(Located::UnknownPartition) => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            Err(error) => Err(self.refused(at, offset, &error)),
        }
    }

    fn refused(&self, at: TopicPartition, offset: Offset, error: &metadata::Error) -> ErrorCode {
        damage::or_refusal(&self.context.metadata, at, offset, error)
    }

    fn damaged(&self, damage: &Damage) -> ErrorCode {
        damage.say(&self.context.metadata)
    }

    async fn look(
        &self,
        at: TopicPartition,
        extent: &Extent,
        wanted: TimeQuery,
    ) -> Result<Option<(i64, i64)>, ErrorCode> {
        let stored = match extent.content {
            Content::Stored(stored) => stored,
            Content::Marker(_) | Content::Compacted | Content::Lost => return Ok(None),
        };
        let place = Place {
            object: stored.object,
            range: stored.block,
            owner: at,
        };
        let blocks = self.context.cache.blocks(&[place]).await;
        let blocks = blocks.map_err(|error| match Damage::of_block(at, extent, &error) {
            Some(damage) => self.damaged(&damage),
            None => {
                warn_seldom!(?extent, %error, "the bucket cannot be read");
                refusal::store_fetch(&error)
            }
        })?;
        let Some((block, _)) = blocks.into_iter().next() else {
            return Err(ErrorCode::KAFKA_STORAGE_ERROR);
        };
        let look = Look {
            block,
            extent: *extent,
            stored,
            wanted,
            at_last: false,
        };
        look.search(self.origin).await.map_err(|error| {
            // Headers were checked when the batches came; what does not read now is damage.
            self.damaged(&Damage::of_batches(at, extent, error.to_string()))
        })
    }
}

/// One look into an extent's block.
#[derive(Clone)]
struct Look {
    block: RawBlock,
    extent: Extent,
    stored: Stored,
    wanted: TimeQuery,
    /// What takes more than is allowed is not looked into: nobody allows more.
    at_last: bool,
}

impl Look {
    async fn search(self, origin: Origin) -> Result<Option<(i64, i64)>, BatchError> {
        let bytes = self.stored.raw_length as usize;
        let again = Self {
            at_last: true,
            ..self.clone()
        };
        let found = SEARCHING.usual.compute(origin, move |wanted| {
            let wanted = || wanted.is_wanted();
            self.look(&mut unpacking::usual(bytes, &wanted))
        });
        match found.await {
            Err(BatchError::TooMuch) => {}
            found => return found,
        }
        let found = SEARCHING.dense.compute(origin, move |wanted| {
            let wanted = || wanted.is_wanted();
            again.look(&mut unpacking::dense(bytes, &wanted))
        });
        found.await
    }

    fn look(&self, allowance: &mut Allowance<'_>) -> Result<Option<(i64, i64)>, BatchError> {
        look_into(
            &self.block,
            &self.extent,
            &self.stored,
            (self.wanted, self.at_last),
            allowance,
        )
    }
}

/// The offset and timestamp of the first record wanted. An extent's offsets are dense, so a batch's base offset follows
/// from the batches before it, unless the batches say where they lie.
fn look_into(
    block: &RawBlock,
    extent: &Extent,
    stored: &Stored,
    (wanted, at_last): (TimeQuery, bool),
    allowance: &mut Allowance<'_>,
) -> Result<Option<(i64, i64)>, BatchError> {
    let start = stored.raw_start as usize;
    let end = start + stored.raw_length as usize;
    let mut base_offset = extent.base_offset.0;
    let mut position = 0;
    for slice in block.iter() {
        let mut rest = slice.clone();
        while !rest.is_empty() && position < end {
            let header = BatchHeader::read(&rest)?;
            if header.size > rest.len() {
                return Err(BatchError::Truncated);
            }
            let batch = rest.split_to(header.size);
            if position >= start {
                if extent.flags.offsets_in_bytes {
                    base_offset = base_offset.max(header.base_offset);
                }
                if let Some((delta, timestamp)) =
                    pick(&batch, &header, (wanted, at_last), allowance)?
                {
                    return Ok(Some((base_offset + i64::from(delta), timestamp)));
                }
                base_offset += i64::from(header.last_offset_delta) + 1;
            }
            position += batch.len();
        }
    }
    Ok(None)
}

/// Most batches are passed over by their header. What cannot be unpacked, or into more than is allowed at last, was so when
/// it came, from a producer that the topic trusted or before contents were looked at. Its first offset is answered then, as it is the last before which
/// nothing is missed.
fn pick(
    batch: &Bytes,
    header: &BatchHeader,
    (wanted, at_last): (TimeQuery, bool),
    allowance: &mut Allowance<'_>,
) -> Result<Option<(i32, i64)>, BatchError> {
    let (TimeQuery::AtOrAfter(timestamp) | TimeQuery::Largest(timestamp)) = wanted;
    if header.max_timestamp < timestamp {
        return Ok(None);
    }
    let picked = match wanted {
        TimeQuery::AtOrAfter(_) => first_at_or_after(batch, timestamp, allowance),
        TimeQuery::Largest(_) => first_with_max_timestamp(batch, allowance).map(Some),
    };
    match picked {
        Err(BatchError::TooMuch) if !at_last => Err(BatchError::TooMuch),
        Err(BatchError::Unwanted) => Err(BatchError::Unwanted),
        Err(error) => {
            warn_seldom!(%error, "a batch cannot be searched by time");
            Ok(Some((0, header.max_timestamp)))
        }
        picked => picked,
    }
}
