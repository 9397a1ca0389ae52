//! ListOffsets: the ends of partitions, confirmed by the metadata, and offsets by time, exact inside batches.

use std::time::Duration;

use futures::future::join_all;
use metadata::{Bounds, Offset, Timestamp, TopicPartition};
use protocol::ErrorCode;
use protocol::acl::Operation;
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic, ListOffsetsTopicResponse,
};
use protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use tokio::time::{Instant, timeout_at};

use super::bounds::{self, Confirmed};
use super::search::Search;
use crate::admission::Permit;
use crate::call::Call;
use crate::named::Turns;
use crate::refusal;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// A search by time takes no longer; from version 10 on the client may say less. What was not found until then is asked
/// for again by clients.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(10);
/// What a request by time holds for each partition while it searches, besides names. One for which there is no room is told to
/// ask again, for nobody should wait in line with a permit that others need.
const PARTITION_BYTES: usize = 256;
/// Partitions searched side by side for a request, so that their reads overlap.
const SEARCHED_AT_ONCE: usize = 16;

/// An offset and its timestamp, or neither.
pub(super) type Found = Result<(i64, i64), ErrorCode>;
pub(super) const NOTHING: (i64, i64) = (-1, -1);

pub(crate) async fn handle(call: &Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let context = call.context.as_ref();
    let deadline = Instant::now() + time_max(call.version, request.timeout_ms);
    let sizes = request.topics.iter();
    let sizes = sizes.map(|topic| (topic.name.len(), topic.partitions.len()));
    if let Err(code) = bounds::charge(call, sizes).await {
        let refused = request.topics.into_iter().map(|topic| refuse(topic, code));
        return ListOffsetsResponse {
            topics: refused.collect(),
            ..ListOffsetsResponse::default()
        };
    }
    let (wanted, denied) = call.part(request.topics, |topic| &topic.name, Operation::Describe);
    let place = place(call, &wanted);
    if place.is_some() {
        call.release();
    }
    let asked = Asked {
        place,
        deadline,
        repeated: repeated(&wanted),
        confirmed: Confirmed::read(call, places(&wanted)).await,
        isolation: match request.isolation_level {
            1 => Isolation::Committed,
            _ => Isolation::Uncommitted,
        },
        leader_epoch: context.metadata.leader_epoch(),
        search: Search {
            context,
            origin: call.arrival.origin(),
        },
        version: call.version,
    };
    let mut topics = Vec::with_capacity(wanted.len() + denied.len());
    let mut turns = Turns::default();
    for topic in &wanted {
        turns.pass(1).await;
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for some in topic.partitions.chunks(SEARCHED_AT_ONCE) {
            turns.pass(some.len()).await;
            let answers = some.iter().map(|wanted| asked.answer(&topic.name, wanted));
            partitions.extend(join_all(answers).await);
        }
        topics.push(ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions,
        });
    }
    // Nothing is waited for any longer.
    call.charge_again().await;
    let denial = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    topics.extend(denied.into_iter().map(|topic| refuse(topic, denial)));
    ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    }
}

fn time_max(version: i16, timeout_ms: i32) -> Duration {
    match u64::try_from(timeout_ms) {
        Ok(timeout_ms @ 1..) if version >= 10 => {
            SEARCH_TIME_MAX.min(Duration::from_millis(timeout_ms))
        }
        _ => SEARCH_TIME_MAX,
    }
}

/// Room for a request that searches, in place of the permit that it came with; none where it searches nothing, too.
fn place(call: &Call, topics: &[ListOffsetsTopic]) -> Option<Permit> {
    let searches =
        |wanted: &ListOffsetsPartition| wanted.timestamp >= 0 || wanted.timestamp == MAX_TIMESTAMP;
    let mut partitions = topics.iter().flat_map(|topic| &topic.partitions);
    if !partitions.any(searches) {
        return None;
    }
    let bytes = |topic: &ListOffsetsTopic| {
        topic.name.len() + (topic.partitions.len() + 1) * PARTITION_BYTES
    };
    let bytes = topics.iter().map(bytes).sum();
    let admission = &call.context.admission;
    admission.searches(call.arrival.origin(), bytes)
}

/// The answer for a topic of which nothing is told.
fn refuse(topic: ListOffsetsTopic, error_code: ErrorCode) -> ListOffsetsTopicResponse {
    let refused = |wanted: ListOffsetsPartition| ListOffsetsPartitionResponse {
        partition_index: wanted.partition_index,
        error_code,
        ..ListOffsetsPartitionResponse::default()
    };
    ListOffsetsTopicResponse {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(refused).collect(),
    }
}

fn places(topics: &[ListOffsetsTopic]) -> impl Iterator<Item = (&str, i32)> {
    topics.iter().flat_map(|topic| {
        let indexes = topic.partitions.iter().map(|each| each.partition_index);
        indexes.map(|index| (topic.name.as_str(), index))
    })
}

/// Partitions named more than once, in order: Kafka refuses each of them.
fn repeated(topics: &[ListOffsetsTopic]) -> Vec<(&str, i32)> {
    let mut places: Vec<_> = places(topics).collect();
    places.sort_unstable();
    let pairs = places.windows(2).filter(|pair| pair[0] == pair[1]);
    let mut repeated: Vec<_> = pairs.map(|pair| pair[0]).collect();
    repeated.dedup();
    repeated
}

/// Up to where a consumer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isolation {
    Uncommitted,
    Committed,
}

impl Isolation {
    fn end(self, bounds: &Bounds) -> Offset {
        match self {
            Self::Uncommitted => bounds.high_watermark,
            Self::Committed => bounds.last_stable,
        }
    }
}

/// What bounds alone say of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Known(i64),
    Nowhere,
    /// The record with the largest timestamp is to be found.
    Latest,
    /// The first record of a time is to be found.
    ByTime(Timestamp),
}

/// A request, with what all its partitions share.
struct Asked<'a> {
    /// Without one nothing is searched.
    place: Option<Permit>,
    deadline: Instant,
    repeated: Vec<(&'a str, i32)>,
    confirmed: Confirmed<'a>,
    isolation: Isolation,
    leader_epoch: i32,
    search: Search<'a>,
    version: i16,
}

impl Asked<'_> {
    async fn answer(
        &self,
        topic: &str,
        wanted: &ListOffsetsPartition,
    ) -> ListOffsetsPartitionResponse {
        let partition_index = wanted.partition_index;
        match self.find(topic, wanted).await {
            Ok((offset, timestamp)) => ListOffsetsPartitionResponse {
                partition_index,
                timestamp,
                offset,
                leader_epoch: if offset < 0 { -1 } else { self.leader_epoch },
                ..ListOffsetsPartitionResponse::default()
            },
            Err(error_code) => ListOffsetsPartitionResponse {
                partition_index,
                error_code,
                ..ListOffsetsPartitionResponse::default()
            },
        }
    }

    async fn find(&self, topic: &str, wanted: &ListOffsetsPartition) -> Found {
        let place = (topic, wanted.partition_index);
        if self.repeated.binary_search(&place).is_ok() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        check_version(wanted.timestamp, self.version)?;
        let (at, bounds) = self.confirmed.at(topic, wanted.partition_index)?;
        let end = self.isolation.end(&bounds);
        refusal::leader_epoch(wanted.current_leader_epoch, self.leader_epoch)?;
        match step(wanted, &bounds, end) {
            Step::Known(offset) => Ok((offset, -1)),
            Step::Nowhere => Ok(NOTHING),
            Step::Latest => visible(self.in_time(self.search.latest(at)).await, end),
            Step::ByTime(timestamp) => self.by_time(at, timestamp, end).await,
        }
    }

    async fn by_time(&self, at: TopicPartition, timestamp: Timestamp, end: Offset) -> Found {
        let search = self.search.at_or_after(at, timestamp);
        visible(self.in_time(search).await, end)
    }

    async fn in_time(&self, search: impl Future<Output = Found>) -> Found {
        if self.place.is_none() || Instant::now() >= self.deadline {
            return Err(ErrorCode::REQUEST_TIMED_OUT);
        }
        let Search { context, origin } = self.search;
        let in_turn = async {
            let _turn = context.admission.searching(origin).await;
            search.await
        };
        let found = timeout_at(self.deadline, in_turn).await;
        found.unwrap_or(Err(ErrorCode::REQUEST_TIMED_OUT))
    }
}

/// Negative timestamps have meanings, each known from some version on.
fn check_version(timestamp: i64, version: i16) -> Result<(), ErrorCode> {
    let since = match timestamp {
        0.. | LATEST | EARLIEST => 1,
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        _ => return Err(ErrorCode::UNSUPPORTED_VERSION),
    };
    if version < since {
        return Err(ErrorCode::UNSUPPORTED_VERSION);
    }
    Ok(())
}

fn step(wanted: &ListOffsetsPartition, bounds: &Bounds, end: Offset) -> Step {
    match wanted.timestamp {
        LATEST => Step::Known(end.0),
        EARLIEST | EARLIEST_LOCAL => Step::Known(bounds.log_start.0),
        MAX_TIMESTAMP => Step::Latest,
        // Nothing is tiered: it is all in one place.
        LATEST_TIERED => Step::Nowhere,
        timestamp => Step::ByTime(Timestamp(timestamp)),
    }
}

/// What lies past the end is as if it were not there.
fn visible(found: Found, end: Offset) -> Found {
    match found {
        Ok((offset, _)) if offset >= end.0 => Ok(NOTHING),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds {
            log_start: Offset(5),
            last_stable: Offset(8),
            high_watermark: Offset(9),
            ..Bounds::default()
        }
    }

    fn ask(timestamp: i64, isolation: Isolation) -> Step {
        let wanted = ListOffsetsPartition {
            timestamp,
            ..ListOffsetsPartition::default()
        };
        step(&wanted, &bounds(), isolation.end(&bounds()))
    }

    #[test]
    fn the_ends_follow_from_the_bounds() {
        use Isolation::{Committed, Uncommitted};
        assert_eq!(ask(LATEST, Uncommitted), Step::Known(9));
        assert_eq!(ask(LATEST, Committed), Step::Known(8));
        assert_eq!(ask(EARLIEST, Committed), Step::Known(5));
        assert_eq!(ask(EARLIEST_LOCAL, Uncommitted), Step::Known(5));
        assert_eq!(ask(LATEST_TIERED, Uncommitted), Step::Nowhere);
        assert_eq!(ask(7, Uncommitted), Step::ByTime(Timestamp(7)));
    }

    #[test]
    fn special_timestamps_came_one_by_one() {
        for (timestamp, since) in [
            (0, 1),
            (i64::MAX, 1),
            (LATEST, 1),
            (EARLIEST, 1),
            (MAX_TIMESTAMP, 7),
            (EARLIEST_LOCAL, 8),
            (LATEST_TIERED, 9),
        ] {
            assert!(check_version(timestamp, since).is_ok(), "{timestamp}");
            assert!(check_version(timestamp, since - 1).is_err(), "{timestamp}");
        }
        for unknown in [-6, -7, i64::MIN] {
            assert!(check_version(unknown, 10).is_err(), "{unknown}");
        }
    }

    #[test]
    fn what_lies_past_the_end_is_not_found() {
        assert_eq!(visible(Ok((8, 100)), Offset(9)), Ok((8, 100)));
        assert_eq!(visible(Ok((8, 100)), Offset(8)), Ok(NOTHING));
        assert_eq!(visible(Ok(NOTHING), Offset(0)), Ok(NOTHING));
    }
}
