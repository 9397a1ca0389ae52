//! Translates a Fetch request into wants, and what was read into its response. Called by `dispatch.rs`.
//!
//! Fetch sessions (KIP-227) are answered with id 0: any agent serves any partition, and a session would tie a client to
//! one. Clients then send full requests.

use std::collections::HashMap;

use metadata::TopicPartition;
use protocol::messages::fetch::{FetchableTopicResponse, PartitionData};
use protocol::messages::{FetchRequest, FetchResponse};
use protocol::{ErrorCode, Records};

use super::assemble::{Served, assemble};
use super::read::Reader;
use super::translate::{Slot, Topic, translate};
use super::{Want, plan, wait};
use crate::admission::Admission;
use crate::brokers::Brokers;
use crate::call::Call;
use crate::storage::Cache;
use crate::tasks::Stop;

/// What one reply may carry, whatever the client asks for; Kafka's default `fetch.max.bytes`.
const REPLY_BYTES_MAX: usize = 55 * 1024 * 1024;
/// What a full request says of its session; any other epoch goes on with one, and there are none.
const WITHOUT_SESSION: i32 = -1;
const NEW_SESSION: i32 = 0;
/// From this version on a consumer can be told where else to read.
const SENDS_ON: i16 = 11;

/// The room's front: what `dispatch` holds.
#[derive(Debug)]
pub(crate) struct Fetch {
    admission: Admission,
    reader: Reader,
    /// While draining, nobody waits for records that may never come.
    draining: Stop,
}

impl Fetch {
    pub(crate) fn new(admission: Admission, cache: Cache, draining: Stop) -> Self {
        Self {
            admission,
            reader: Reader::new(cache),
            draining,
        }
    }

    pub(crate) async fn handle(&self, call: &Call, request: FetchRequest) -> FetchResponse {
        // It may wait for long.
        call.release();
        if call.context.node.roles.fetch {
            self.answer(call, request).await
        } else {
            send_on(call, request)
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
        let metadata = &call.context.metadata;
        let limits = limits(&request, self.admission.reply_share());
        let patience = patience(&request);
        let topics = translate(call, request.topics);
        let slots = || topics.iter().flat_map(|topic| &topic.slots);
        let wants: Vec<Want> = slots().filter_map(|slot| slot.want.ok()).collect();
        let refused = wants.len() < slots().count();
        let patience = if refused {
            wait::Patience::NONE
        } else {
            patience
        };
        let found = wait::locate(
            metadata,
            &wants,
            limits.bytes_max,
            patience,
            self.draining.clone(),
        )
        .await;
        let plan = plan::plan(&wants, &found, limits);
        match plan.raw_bytes() {
            0 => {}
            bytes => call.hold(self.admission.reply(bytes).await),
        }
        let read = self.reader.read(&plan).await;
        let epoch = metadata.leader_epoch();
        let served = assemble(&wants, found, read, limits, epoch);
        for damage in served.iter().filter_map(|served| served.damage.as_ref()) {
            damage.say(metadata);
        }
        let places = wants.iter().map(|want| want.partition);
        respond(topics, places.zip(served).collect())
    }
}

/// Consumers are served elsewhere: newer ones go where they are told (KIP-392), older ones look who leads now.
fn send_on(call: &Call, request: FetchRequest) -> FetchResponse {
    let brokers = Brokers::of(call);
    let elsewhere = |slot: Slot| {
        let reader = slot.want.map(|Want { partition, .. }| {
            let reader = brokers.reader(partition.topic, partition.partition.0);
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
    let topics = translate(call, request.topics).into_iter();
    let responses = topics.map(|topic| FetchableTopicResponse {
        topic: topic.name,
        partitions: topic.slots.into_iter().map(elsewhere).collect(),
    });
    FetchResponse {
        responses: responses.collect(),
        ..Default::default()
    }
}

fn limits(request: &FetchRequest, share: usize) -> plan::Limits {
    plan::Limits {
        bytes_max: usize::try_from(request.max_bytes)
            .unwrap_or(0)
            .min(REPLY_BYTES_MAX)
            .min(share),
    }
}

fn patience(request: &FetchRequest) -> wait::Patience {
    wait::Patience {
        bytes_min: u64::try_from(request.min_bytes).unwrap_or(0),
        wait_max: std::time::Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
    }
}

/// Puts what was served beside what was refused, in the request's order.
fn respond(topics: Vec<Topic>, mut served: HashMap<TopicPartition, Served>) -> FetchResponse {
    let mut answer = |slot: Slot| match slot.want.map(|want| served.remove(&want.partition)) {
        Ok(Some(served)) => partition(slot.index, served),
        // Every want is served somehow.
        Ok(None) => refusal(slot.index, ErrorCode::UNKNOWN_SERVER_ERROR),
        Err(error_code) => refusal(slot.index, error_code),
    };
    let answered = topics.into_iter().map(|topic| FetchableTopicResponse {
        topic: topic.name,
        partitions: topic.slots.into_iter().map(&mut answer).collect(),
    });
    FetchResponse {
        responses: answered.collect(),
        ..Default::default()
    }
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
