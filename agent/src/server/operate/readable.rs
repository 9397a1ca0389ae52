//! Whether records that an operator gives up as lost can be read after all: then they are not, and nobody would bring them
//! back. Called by `look`.

use std::time::Duration;

use anyhow::Context as _;
use metadata::{
    Bounds, Error, Extent, Located, LostRange, Metadata, Offset, Stored, TopicPartition,
};
use protocol::record_batch::BatchHeader;

use crate::config::Records;
use crate::identity::{Found, Known, Names, judge, unreadable};
use crate::storage::{Cache, ErrorKind, Place, RawBlock, Store, WitnessError};

/// Extents are located a few at a time: most often the first one says it.
const LOCATED_BYTES: u64 = 16 * 1024 * 1024;
/// Blocks that are read twice are few.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
const CACHE_IDLE: Duration = Duration::from_secs(1);

/// Finds out of a bucket, which must be that of the metadata: in another one everything would be missing.
///
/// # Errors
/// When some of the records can be read, or it cannot be told; with a sentence for the operator.
pub(super) async fn refuse_readable(
    records: &Records,
    metadata: &Metadata,
    bucket: &Store,
    names: &Names,
) -> anyhow::Result<()> {
    check_bucket(metadata, bucket, names).await?;
    match first_readable(records, metadata, bucket).await? {
        None => Ok(()),
        Some(range) => {
            let topic = records.topic.clone();
            let readable = Records { topic, range };
            anyhow::bail!(
                "{records} is not given up, and nothing was changed: {readable} can be read. Name records as the log names \
                 damage, or add --force, and these are lost, too"
            )
        }
    }
}

async fn check_bucket(metadata: &Metadata, bucket: &Store, names: &Names) -> anyhow::Result<()> {
    let known = Known {
        cluster: metadata.cluster_id(),
        bucket: metadata.bucket().await?,
    };
    let joined = match Found::look(bucket).await {
        Ok(found) => judge(names, known, &found).map(|_| ()),
        Err(WitnessError::Unreadable(said)) => Err(unreadable(names, known, &said)),
        Err(WitnessError::Store(error)) => Err(untold(&error)),
    };
    joined.map_err(anyhow::Error::msg)
}

fn untold(error: &impl std::fmt::Display) -> String {
    format!(
        "whether these records can be read is not known ({error}), and nothing was changed: ask again once the bucket answers, \
         or add --force"
    )
}

/// The first of them that can be, as far as one extent goes. What is not in the log is for whoever marks it to say.
async fn first_readable(
    records: &Records,
    metadata: &Metadata,
    bucket: &Store,
) -> anyhow::Result<Option<LostRange>> {
    let range = records.range;
    let catalogue = metadata.confirmed_catalogue().await?;
    let Some(topic) = catalogue.topic(&records.topic) else {
        return Ok(None);
    };
    let at = TopicPartition {
        topic: topic.id,
        partition: range.partition,
    };
    let bounds = metadata.bounds(vec![at]).await?;
    let has_all =
        |bounds: &Bounds| range.from >= bounds.log_start && range.until <= bounds.high_watermark;
    if !bounds.first().and_then(Option::as_ref).is_some_and(has_all) {
        return Ok(None);
    }
    let cache = Cache::new(bucket.clone(), CACHE_BYTES, CACHE_IDLE);
    let mut next = range.from;
    while next < range.until {
        let extents = match metadata.locate(at, next, LOCATED_BYTES).await {
            Ok(Located::Extents { extents, .. }) => extents,
            Ok(_) => return Ok(None),
            // What leads to them is lost, and with that how far the damage goes.
            Err(Error::Damaged(_)) => return Ok(None),
            Err(error) => return Err(error).context("these records are not found"),
        };
        let ahead = extents.into_iter().filter(|each| each.end_offset() > next);
        let mut reached = None;
        for extent in ahead {
            if extent.base_offset >= range.until {
                break;
            }
            if can_be_read(at, &extent, &cache).await? {
                return Ok(Some(LostRange {
                    from: extent.base_offset.max(range.from),
                    until: extent.end_offset().min(range.until),
                    ..range
                }));
            }
            reached = Some(extent.end_offset());
        }
        match reached {
            Some(reached) => next = reached,
            None => break,
        }
    }
    Ok(None)
}

/// As a reader finds it.
async fn can_be_read(at: TopicPartition, extent: &Extent, cache: &Cache) -> anyhow::Result<bool> {
    let Some(stored) = extent.stored() else {
        return Ok(false);
    };
    let place = Place {
        object: stored.object,
        range: stored.block,
        owner: at,
    };
    match cache.blocks(&[place]).await {
        Ok(blocks) => Ok(blocks
            .iter()
            .all(|(block, _)| are_batches(extent, stored, block))),
        Err(error) => match error.kind {
            ErrorKind::NotFound | ErrorKind::Corrupt => Ok(false),
            ErrorKind::AlreadyExists | ErrorKind::Unavailable | ErrorKind::Refused => {
                Err(anyhow::anyhow!(untold(&error)))
            }
        },
    }
}

/// Whether the bytes of an extent are batches that take the offsets which were committed for them.
fn are_batches(extent: &Extent, stored: &Stored, block: &RawBlock) -> bool {
    let start = stored.raw_start as usize;
    let end = start + stored.raw_length as usize;
    let (mut position, mut next) = (0, extent.base_offset);
    for slice in block.iter() {
        let mut rest = slice.clone();
        while !rest.is_empty() && position < end {
            let Ok(header) = BatchHeader::read(&rest) else {
                return false;
            };
            if header.size > rest.len() {
                return false;
            }
            if position >= start {
                if extent.flags.offsets_in_bytes {
                    next = next.max(Offset(header.base_offset));
                }
                next = Offset(next.0 + i64::from(header.last_offset_delta) + 1);
            }
            position += header.size;
            let _ = rest.split_to(header.size);
        }
    }
    next == extent.end_offset() || (extent.flags.offsets_in_bytes && next < extent.end_offset())
}
