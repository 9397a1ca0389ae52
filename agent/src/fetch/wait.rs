//! Finds the extents of every want, and sleeps on the partitions' views while there are too few bytes: the one loop of
//! the read path. A wake-up comes from a commit through any agent; the client's `max_wait` is only slept out when
//! nothing came. Called by `handler`.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{select, select_all};
use metadata::{Bounds, Extent, Located, Look, Metadata, Offset, View};
use protocol::ErrorCode;
use tokio::time::{Instant, timeout_at};

use super::{Found, Want};
use crate::tasks::Stop;
use crate::{damage, refusal};

/// Extents beyond the client's limit that are located as well, to be read ahead.
const READ_AHEAD_BYTES: u64 = 4 * 1024 * 1024;

/// How long a client waits for how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) bytes_min: u64,
    pub(super) wait_max: Duration,
}

impl Patience {
    pub(super) const NONE: Self = Self {
        bytes_min: 0,
        wait_max: Duration::ZERO,
    };
}

/// One answer per want, in their order: as soon as there are `bytes_min`, or something is refused, or time is up, or the
/// agent stops.
pub(super) async fn locate(
    metadata: &Metadata,
    wants: &[Want],
    patience: Patience,
    mut stop: Stop,
) -> Vec<Found> {
    let deadline = Instant::now() + patience.wait_max;
    let views = views(metadata, wants).await;
    loop {
        // Taken before looking, so that no change between the look and the sleep is missed.
        let changes: Vec<_> = views
            .iter()
            .flatten()
            .map(|view| Box::pin(view.changed()))
            .collect();
        let found = look_at_all(metadata, wants, &views).await;
        let refused = found
            .iter()
            .any(|found| matches!(found, Found::Refused { .. }));
        let out_of_time = Instant::now() >= deadline || stop.is_requested();
        if refused
            || out_of_time
            || available(wants, &found) >= patience.bytes_min
            || changes.is_empty()
        {
            return found;
        }
        // Woken or out of time: either way, look again.
        let stopped = pin!(stop.requested());
        let woken = select(select_all(changes), stopped).map(|_| ());
        let _ = timeout_at(deadline, woken).await;
    }
}

async fn views(metadata: &Metadata, wants: &[Want]) -> Vec<Result<Arc<View>, ErrorCode>> {
    let mut views = Vec::with_capacity(wants.len());
    for want in wants {
        views.push(match metadata.view(want.partition).await {
            Ok(Some(view)) => Ok(view),
            Ok(None) => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            Err(error) => Err(refusal::metadata_read(&error)),
        });
    }
    views
}

async fn look_at_all(
    metadata: &Metadata,
    wants: &[Want],
    views: &[Result<Arc<View>, ErrorCode>],
) -> Vec<Found> {
    let mut found = Vec::with_capacity(wants.len());
    for (want, view) in wants.iter().zip(views) {
        found.push(match view {
            Ok(view) => look(metadata, want, view).await,
            Err(code) => Found::Refused {
                code: *code,
                bounds: None,
            },
        });
    }
    found
}

async fn look(metadata: &Metadata, want: &Want, view: &View) -> Found {
    if view.deleted() {
        return Found::Refused {
            code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            bounds: None,
        };
    }
    let raw_bytes_max = want.bytes_max as u64 + READ_AHEAD_BYTES;
    match view.look(want.offset, raw_bytes_max) {
        Look::Extents { bounds, extents } => readable(want, bounds, extents),
        Look::Earlier(bounds) if want.offset < bounds.log_start => out_of_range(bounds),
        #[cfg(feature = "planted-bugs")]
        Look::Past(bounds) if metadata::planted::is("out-of-range-unconfirmed") => {
            out_of_range(bounds)
        }
        // Before what the view keeps, or past what it has heard of: the metadata knows.
        Look::Earlier(_) | Look::Past(_) => ask(metadata, want, raw_bytes_max).await,
    }
}

async fn ask(metadata: &Metadata, want: &Want, raw_bytes_max: u64) -> Found {
    match metadata
        .locate(want.partition, want.offset, raw_bytes_max)
        .await
    {
        Ok(Located::Extents { bounds, extents }) => readable(want, bounds, extents),
        Ok(Located::OutOfRange(bounds)) => out_of_range(bounds),
        Ok(Located::UnknownPartition) => Found::Refused {
            code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            bounds: None,
        },
        Err(error) => Found::Refused {
            code: damage::or_refusal(want.partition, want.offset, &error),
            bounds: None,
        },
    }
}

fn readable(want: &Want, bounds: Bounds, extents: Vec<Extent>) -> Found {
    match damage::readable(want.partition, want.offset, &bounds, extents) {
        Ok(extents) => Found::Extents { bounds, extents },
        Err(code) => Found::Refused {
            code,
            bounds: Some(bounds),
        },
    }
}

fn out_of_range(bounds: Bounds) -> Found {
    Found::Refused {
        code: ErrorCode::OFFSET_OUT_OF_RANGE,
        bounds: Some(bounds),
    }
}

/// Bytes that a reply could carry now, as far as extents tell.
fn available(wants: &[Want], found: &[Found]) -> u64 {
    wants
        .iter()
        .zip(found)
        .map(|(want, found)| match found {
            Found::Extents { extents, .. } => extents
                .iter()
                .map(|extent| bytes_after(extent, want.offset))
                .sum::<u64>(),
            Found::Refused { .. } => 0,
        })
        .sum()
}

/// The share of an extent's bytes that lies at or after `offset`, taking its records for equally large: at least 1, but
/// of nothing.
fn bytes_after(extent: &Extent, offset: Offset) -> u64 {
    if extent.raw_length() == 0 {
        return 0;
    }
    let skipped = offset
        .0
        .saturating_sub(extent.base_offset.0)
        .max(0)
        .unsigned_abs();
    let count = u64::from(extent.offset_span).max(1);
    let left = count.saturating_sub(skipped);
    (u64::from(extent.raw_length()) * left / count).max(1)
}
