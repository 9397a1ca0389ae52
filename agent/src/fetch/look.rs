//! Finds the extents of every want: in the partitions' views, or by asking the metadata for what those do not have. Called by
//! `wait`, and by `handler` for who does not wait for records.

use std::sync::Arc;
use std::time::Duration;

use metadata::{Bounds, Extent, Located, Look, Metadata, View};
use protocol::ErrorCode;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

use super::want::{Found, Want};
use crate::damage::{self, GivenUp};
use crate::refusal;

/// Extents beyond the client's limit that are located as well, to be read ahead.
const READ_AHEAD_BYTES: u64 = 4 * 1024 * 1024;
/// Extents that one request has located, besides the first of each want. One of tiny batches gets the rest when it asks
/// again.
pub(super) const EXTENTS_MAX: usize = 4096;
/// Views that are asked for with one question: half of what all questions together may have wait for the sequencer.
const VIEWS_AT_ONCE: usize = 16;
/// The metadata's answers to one look are waited for no longer, however many there are; longer than it takes to be told that
/// it does not answer. What was not answered until then is refused, and clients ask again.
pub(super) const LOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// One answer per want, in their order, without waiting for records, and for the metadata no longer than that. Of the views it
/// holds few at a time: no more than those who wait for records may be held for long, and these may be asked for by anybody.
pub(super) async fn look(
    metadata: &Metadata,
    wants: &[Want],
    reply_bytes_max: usize,
    time_max: Duration,
) -> Vec<Found> {
    let asker = Asker::of(metadata, time_max);
    let mut looked = Looked::new(metadata, wants.len(), reply_bytes_max);
    for some in wants.chunks(VIEWS_AT_ONCE) {
        let views = views(metadata, some, asker.deadline).await;
        looked.look(asker, some, &views).await;
    }
    looked.found
}

/// The wants' views, as far as the metadata tells of them before the deadline.
pub(super) async fn views(
    metadata: &Metadata,
    wants: &[Want],
    deadline: Instant,
) -> Vec<Result<Arc<View>, ErrorCode>> {
    let mut views = Vec::with_capacity(wants.len());
    for some in wants.chunks(VIEWS_AT_ONCE) {
        consume_budget().await;
        let partitions: Vec<_> = some.iter().map(|want| want.partition).collect();
        // Those that are here are found after the deadline, too.
        match timeout_at(deadline, metadata.views(&partitions)).await {
            Ok(found) => views.extend(found.into_iter().map(|found| match found {
                Ok(Some(view)) => Ok(view),
                Ok(None) => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                Err(error) => Err(refusal::metadata_read(&error)),
            })),
            Err(_) => views.extend(some.iter().map(|_| Err(refusal::NOT_ASKED))),
        }
    }
    views
}

/// Who asks the metadata for what views do not have.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    metadata: &'a Metadata,
    deadline: Instant,
}

impl<'a> Asker<'a> {
    /// For a look that begins now.
    pub(super) fn of(metadata: &'a Metadata, time_max: Duration) -> Self {
        let deadline = Instant::now() + time_max;
        Self { metadata, deadline }
    }
}

/// What wants find. Those behind as much as a reply takes find an extent each: a reader of thousands of partitions far behind
/// would have them located by megabytes, all for replies to come.
pub(super) struct Looked {
    pub(super) found: Vec<Found>,
    /// Bytes that may be found still.
    left: u64,
    extents_left: usize,
    given_up: GivenUp,
}

impl Looked {
    pub(super) fn new(metadata: &Metadata, wants: usize, reply_bytes_max: usize) -> Self {
        Self {
            found: Vec::with_capacity(wants),
            left: reply_bytes_max as u64 + READ_AHEAD_BYTES,
            extents_left: EXTENTS_MAX,
            given_up: GivenUp::now(metadata),
        }
    }

    /// Whether it has found as much as a reply takes, or as many extents as one request has located.
    pub(super) fn is_full(&self) -> bool {
        self.left == 0 || self.extents_left == 0
    }

    pub(super) async fn look(
        &mut self,
        asker: Asker<'_>,
        wants: &[Want],
        views: &[Result<Arc<View>, ErrorCode>],
    ) {
        for (want, view) in wants.iter().zip(views) {
            // There may be very many, and others have their turn meanwhile.
            consume_budget().await;
            let mut found = match view {
                Ok(view) => look_at(asker, want, self.left, view, &self.given_up).await,
                Err(code) => Found::Refused {
                    code: *code,
                    bounds: None,
                },
            };
            if let Found::Extents { extents, .. } = &mut found {
                extents.truncate(self.extents_left + 1);
                extents.shrink_to_fit();
                self.extents_left -= extents.len().saturating_sub(1);
                let bytes = extents.iter().map(|extent| u64::from(extent.raw_length()));
                self.left = self.left.saturating_sub(bytes.sum());
            }
            self.found.push(found);
        }
    }
}

async fn look_at(
    asker: Asker<'_>,
    want: &Want,
    left: u64,
    view: &View,
    given_up: &GivenUp,
) -> Found {
    if view.deleted() {
        return Found::Refused {
            code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            bounds: None,
        };
    }
    let raw_bytes_max = left.clamp(1, want.bytes_max as u64 + READ_AHEAD_BYTES);
    // Before the log's start a reader is out of range, whatever was given up there.
    let offset = match want.offset < view.bounds().log_start {
        true => want.offset,
        false => given_up.step_over(want.partition, want.offset),
    };
    let mut found = look_from(asker, &Want { offset, ..*want }, raw_bytes_max, view).await;
    if let Found::Extents { extents, .. } = &mut found {
        given_up.before_next(want.partition, offset, extents);
        if extents.is_empty() && offset > want.offset {
            extents.push(damage::stepped_over(want.offset, offset));
        }
    }
    found
}

async fn look_from(asker: Asker<'_>, want: &Want, raw_bytes_max: u64, view: &View) -> Found {
    match view.look(want.offset, raw_bytes_max) {
        Look::Extents { bounds, extents } => readable(asker.metadata, want, bounds, extents),
        Look::Earlier(bounds) if want.offset < bounds.log_start => out_of_range(bounds),
        #[cfg(feature = "planted-bugs")]
        Look::Past(bounds) if metadata::planted::is("out-of-range-unconfirmed") => {
            out_of_range(bounds)
        }
        // Before what the view keeps, or past what it has heard of: the metadata knows.
        Look::Earlier(_) | Look::Past(_) => ask(asker, want, raw_bytes_max).await,
    }
}

async fn ask(asker: Asker<'_>, want: &Want, raw_bytes_max: u64) -> Found {
    let Asker { metadata, deadline } = asker;
    let located = metadata.locate(want.partition, want.offset, raw_bytes_max);
    let Ok(located) = timeout_at(deadline, located).await else {
        return Found::Refused {
            code: refusal::NOT_ASKED,
            bounds: None,
        };
    };
    match located {
        Ok(Located::Extents { bounds, extents }) => readable(metadata, want, bounds, extents),
        Ok(Located::OutOfRange(bounds)) => out_of_range(bounds),
        Ok(Located::UnknownPartition) => Found::Refused {
            code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            bounds: None,
        },
        Err(error) => Found::Refused {
            code: damage::or_refusal(metadata, want.partition, want.offset, &error),
            bounds: None,
        },
    }
}

fn readable(metadata: &Metadata, want: &Want, bounds: Bounds, extents: Vec<Extent>) -> Found {
    match damage::readable(want.partition, want.offset, &bounds, extents) {
        Ok(extents) => Found::Extents { bounds, extents },
        Err(damage) => Found::Refused {
            code: damage.say(metadata),
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
