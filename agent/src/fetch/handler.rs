//! Translates a Fetch request into wants, and what was read into its response. Called by `dispatch.rs`.
//!
//! Fetch sessions (KIP-227) are answered with id 0: any agent serves any partition, and a session would tie a client to
//! one. Clients then send full requests.

use std::time::Duration;

use metadata::{Extent, TopicPartition};
use protocol::messages::fetch::{FetchableTopicResponse, PartitionData};
use protocol::messages::{FetchRequest, FetchResponse};
use protocol::{ErrorCode, Records};

use super::assemble::{Served, assemble};
use super::held::HeldViews;
use super::read::Reader;
use super::translate::{Asked, Slot, Topic, translate};
use super::want::Found;
use super::{look, plan, wait};
use crate::admission::{Admission, Permit, REQUEST_BYTES, ReplyBytes};
use crate::brokers::Brokers;
use crate::call::{Call, Close};
use crate::refusal::NOT_ASKED;
use crate::storage::Cache;
use crate::tasks::Stop;

/// Who could not keep what was found while it stood in line looks for it once more when its turn has come, and for no longer
/// than this, for it has the permit by then.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(500);
/// What one reply may carry, whatever the client asks for; Kafka's default `fetch.max.bytes`.
const REPLY_BYTES_MAX: usize = 55 * 1024 * 1024;
/// Nobody waits for longer, whatever the client asks for: the most that librdkafka lets one ask for. Kafka has no bound.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// A poll that may not wait is answered with what there is. Where that is nothing, its client is asked to be silent for so
/// long, or for as long as it would have waited: Kafka's default `fetch.max.wait.ms`.
const SILENCE_MAX: Duration = Duration::from_millis(500);
/// Partitions that one request may name: a quarter of the views that an agent keeps, so that no client holds all of them.
/// Those of all a cluster's partitions would be looked up one after another, in minutes.
const PARTITIONS_MAX: usize = 16 * 1024;
/// What the answer for a partition takes besides its batches: what was found, what is served of it, and its bytes.
const ANSWER_BYTES: usize = size_of::<Found>()
    + size_of::<Extent>()
    + size_of::<Served>()
    + size_of::<PartitionData>()
    + ENCODED_BYTES;
const ENCODED_BYTES: usize = 64;
/// What a full request says of its session; any other epoch goes on with one, and there are none.
const WITHOUT_SESSION: i32 = -1;
const NEW_SESSION: i32 = 0;
/// From this version on a consumer can be told where else to read.
const SENDS_ON: i16 = 11;

/// Refuses what names partitions beyond all measure.
///
/// # Errors
/// [`Close::Refused`].
pub(crate) fn check(request: &FetchRequest) -> Result<(), Close> {
    // A topic of which nothing is wanted has to be looked at, too.
    let topics = request.topics.iter();
    let partitions: usize = topics.map(|topic| topic.partitions.len().max(1)).sum();
    match partitions <= PARTITIONS_MAX {
        true => Ok(()),
        false => Err(Close::Refused(format!(
            "a Fetch request of {partitions} partitions, of which at most {PARTITIONS_MAX} are taken"
        ))),
    }
}

/// The room's front: what `dispatch` holds.
#[derive(Debug)]
pub(crate) struct Fetch {
    admission: Admission,
    reader: Reader,
    /// What polls that wait for records hold of the views.
    pub(super) held: HeldViews,
    /// While draining, nobody waits for records that may never come.
    draining: Stop,
}

impl Fetch {
    pub(crate) fn new(admission: Admission, cache: Cache, draining: Stop) -> Self {
        Self {
            admission,
            reader: Reader::new(cache),
            held: HeldViews::default(),
            draining,
        }
    }

    pub(crate) async fn handle(&self, call: &Call, request: FetchRequest) -> FetchResponse {
        if call.context.node.roles.fetch {
            self.answer(call, request).await
        } else {
            send_on(call, request).await
        }
    }

    async fn answer(&self, call: &Call, request: FetchRequest) -> FetchResponse {
        if !matches!(request.session_epoch, WITHOUT_SESSION | NEW_SESSION) {
            let error_code = ErrorCode::FETCH_SESSION_ID_NOT_FOUND;
            return FetchResponse {
                error_code,
                ..Default::default()
            };
        }
        let patience = patience(&request);
        let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0);
        let bytes_max = bytes_max.min(REPLY_BYTES_MAX);
        let asked = translate(call, request.topics);
        // Who waits for records holds this alone.
        let origin = call.arrival.origin();
        let place = self.admission.poll(origin, asked.bytes() + REQUEST_BYTES);
        let waits = place.is_some() && !asked.is_refused() && !patience.wait_max.is_zero();
        match place {
            Some(place) => call.hold(place),
            None if !call.step_aside(asked.bytes()) => {
                call.ask_for_silence(SILENCE_MAX);
                return refuse_all(asked.topics);
            }
            None => {}
        }
        let hold = match waits {
            true => self.held.hold(origin, &asked.wants),
            false => None,
        };
        let waits = hold.is_some();
        let (draining, metadata) = (self.draining.clone(), &call.context.metadata);
        let found = match waits {
            true => wait::locate(metadata, &asked.wants, bytes_max, patience, draining).await,
            false => look::look(metadata, &asked.wants, bytes_max, look::LOOK_TIME_MAX).await,
        };
        drop(hold);
        let (found, plan) = self.admit(call, &asked, found, bytes_max).await;
        let read = self.reader.read(&plan, &call.arrival.in_line).await;
        let served = assemble(
            &asked.wants,
            found,
            read,
            bytes_max,
            metadata.leader_epoch(),
        );
        for damage in served.iter().filter_map(|served| served.damage.as_ref()) {
            damage.say(metadata);
        }
        let nothing = served.iter().all(Served::is_nothing);
        if nothing && !waits && !asked.is_refused() {
            call.ask_for_silence(patience.wait_max.min(SILENCE_MAX));
        }
        let places = asked.wants.iter().map(|want| want.partition);
        respond(asked.topics, places.zip(served))
    }

    /// Has the call hold what its reply takes, and plans no more than that.
    async fn admit(
        &self,
        call: &Call,
        asked: &Asked,
        found: Vec<Found>,
        bytes_max: usize,
    ) -> (Vec<Found>, plan::Plan) {
        let answers = REQUEST_BYTES + 2 * asked.names() + asked.slots() * ANSWER_BYTES;
        let whole = |found: &[Found]| {
            let held_max = usize::MAX;
            let limits = plan::Limits {
                bytes_max,
                held_max,
            };
            plan::plan(&asked.wants, found, limits)
        };
        let plan = whole(&found);
        let bytes = ReplyBytes {
            least: answers + plan.held_least,
            wanted: answers + plan.held,
            taken: call.arrival.taken(),
        };
        let (mut permit, found, plan) = match self.admission.reply_now(bytes) {
            Some(permit) => (permit, found, plan),
            None => {
                drop(plan);
                let in_line = self.stand_in_line(call, asked, found, bytes_max, bytes);
                let (permit, found) = in_line.await;
                let plan = whole(&found);
                (permit, found, plan)
            }
        };
        let plan = match answers + plan.held <= permit.bytes() {
            true => plan,
            false => {
                let held_max = permit.bytes().saturating_sub(answers);
                let limits = plan::Limits {
                    bytes_max,
                    held_max,
                };
                plan::plan(&asked.wants, &found, limits)
            }
        };
        permit.shrink(answers + plan.held);
        call.hold(permit);
        (found, plan)
    }

    /// A permit for a reply once it is its turn, and what is found then. That is what was found before, where there is room
    /// for it: a long line would hold what nobody paid for, and who has his permit and asks the metadata keeps others from
    /// theirs for as long as that does not answer.
    async fn stand_in_line(
        &self,
        call: &Call,
        asked: &Asked,
        found: Vec<Found>,
        bytes_max: usize,
        reply: ReplyBytes,
    ) -> (Permit, Vec<Found>) {
        let bytes = found.iter().map(Found::bytes).sum();
        let place = self.admission.located(call.arrival.origin(), bytes);
        let kept = place.is_some().then_some(found);
        let permit = self.admission.reply(reply).await;
        let found = match kept {
            Some(found) => found,
            None => {
                let metadata = &call.context.metadata;
                look::look(metadata, &asked.wants, bytes_max, LOOK_AGAIN_MAX).await
            }
        };
        drop(place);
        (permit, found)
    }
}

/// The answer for who may neither wait for records nor for the metadata, which would be asked for the partitions' views.
fn refuse_all(topics: Vec<Topic>) -> FetchResponse {
    let refuse = |topic: &Topic, slot: Slot| {
        let refused = topic.partition(slot).err();
        refusal(slot.index, refused.unwrap_or(NOT_ASKED))
    };
    answer_each(topics, refuse)
}

/// Consumers are served elsewhere: newer ones go where they are told (KIP-392), older ones look who leads now.
async fn send_on(call: &Call, request: FetchRequest) -> FetchResponse {
    let asked = translate(call, request.topics);
    call.charge(asked.bytes() + asked.names() + asked.slots() * ANSWER_BYTES)
        .await;
    let brokers = Brokers::of(call);
    let elsewhere = |topic: &Topic, slot: Slot| {
        let reader = topic.partition(slot).map(|partition| {
            let reader = (brokers.placement()).reader(partition.topic, partition.partition.0);
            reader.filter(|_| call.version >= SENDS_ON)
        });
        match reader {
            Ok(Some(node_id)) => PartitionData {
                preferred_read_replica: node_id,
                ..refusal(slot.index, ErrorCode::NONE)
            },
            Ok(None) => refusal(slot.index, ErrorCode::NOT_LEADER_OR_FOLLOWER),
            Err(code) => refusal(slot.index, code),
        }
    };
    answer_each(asked.topics, elsewhere)
}

fn answer_each(
    topics: Vec<Topic>,
    mut answer: impl FnMut(&Topic, Slot) -> PartitionData,
) -> FetchResponse {
    let responses = topics.into_iter().map(|topic| {
        let slots = topic.slots.iter();
        let partitions = slots.map(|slot| answer(&topic, *slot)).collect();
        FetchableTopicResponse {
            topic: topic.name,
            partitions,
        }
    });
    FetchResponse {
        responses: responses.collect(),
        ..Default::default()
    }
}

fn patience(request: &FetchRequest) -> wait::Patience {
    // Nobody waits for more than he takes (KIP-541).
    let bytes_min = request.min_bytes.min(request.max_bytes);
    let wait_max = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    wait::Patience {
        bytes_min: u64::try_from(bytes_min).unwrap_or(0),
        wait_max: wait_max.min(WAIT_MAX),
    }
}

/// Puts what was served beside what was refused. Both are in the request's order.
fn respond(
    topics: Vec<Topic>,
    served: impl Iterator<Item = (TopicPartition, Served)>,
) -> FetchResponse {
    let mut served = served.peekable();
    let answer = |topic: &Topic, slot: Slot| {
        let wanted = topic.partition(slot);
        match wanted.map(|wanted| served.next_if(|(partition, _)| *partition == wanted)) {
            Ok(Some((_, served))) => partition(slot.index, served),
            // Every want is served somehow.
            Ok(None) => refusal(slot.index, ErrorCode::UNKNOWN_SERVER_ERROR),
            Err(error_code) => refusal(slot.index, error_code),
        }
    };
    answer_each(topics, answer)
}

fn partition(partition_index: i32, served: Served) -> PartitionData {
    let bounds = served.bounds;
    PartitionData {
        partition_index,
        error_code: served.code,
        high_watermark: bounds.map_or(-1, |bounds| bounds.high_watermark.0),
        last_stable_offset: bounds.map_or(-1, |bounds| bounds.last_stable.0),
        log_start_offset: bounds.map_or(-1, |bounds| bounds.log_start.0),
        aborted_transactions: None,
        preferred_read_replica: -1,
        records: Some(Records(served.slices)),
        ..Default::default()
    }
}

fn refusal(partition_index: i32, error_code: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index,
        error_code,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        aborted_transactions: None,
        preferred_read_replica: -1,
        records: Some(Records(Vec::new())),
        ..Default::default()
    }
}
