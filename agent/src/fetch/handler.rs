//! Translates a Fetch request into wants, and what was read into its response. Called by `dispatch.rs`.
//!
//! Fetch sessions (KIP-227) are answered with id 0: any agent serves any partition, and a session would tie a client to
//! one. Clients then send full requests.

use std::sync::Arc;

use metadata::{Offset, PartitionIndex, TopicPartition};
use protocol::acl::Operation;
use protocol::messages::fetch::{FetchPartition, FetchableTopicResponse, PartitionData};
use protocol::messages::{FetchRequest, FetchResponse};
use protocol::{ErrorCode, Records};

use super::read::Reader;
use super::{Want, assemble, plan, wait};
use crate::admission::Admission;
use crate::brokers::Brokers;
use crate::call::{Call, Resource};
use crate::refusal;
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

/// A partition of the request: wanted, or refused before anything was looked up.
struct Slot {
    index: i32,
    want: Result<Want, ErrorCode>,
}

struct Topic {
    name: String,
    slots: Vec<Slot>,
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
            send_on(call, &request)
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
        let topics = translate(call, &request);
        let wants: Vec<Want> = wants(&topics).copied().collect();
        let refused = wants.len() < topics.iter().map(|topic| topic.slots.len()).sum();
        let patience = if refused {
            wait::Patience::NONE
        } else {
            patience(&request)
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
        let served = assemble::assemble(&wants, found, read, limits, epoch);
        for damage in served.iter().filter_map(|served| served.damage.as_ref()) {
            damage.say(metadata);
        }
        respond(topics, served)
    }
}

/// Consumers are served elsewhere: newer ones go where they are told (KIP-392), older ones look who leads now.
fn send_on(call: &Call, request: &FetchRequest) -> FetchResponse {
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
    let topics = translate(call, request).into_iter();
    let responses = topics.map(|topic| FetchableTopicResponse {
        topic: topic.name,
        partitions: topic.slots.into_iter().map(elsewhere).collect(),
    });
    FetchResponse {
        responses: responses.collect(),
        ..Default::default()
    }
}

fn translate(call: &Call, request: &FetchRequest) -> Vec<Topic> {
    let catalogue = call.context.metadata.catalogue();
    let epoch = call.context.metadata.leader_epoch();
    let slot = |topic: Result<&Arc<metadata::Topic>, ErrorCode>, partition: &FetchPartition| {
        let known = topic.and_then(
            |topic| match topic.has(PartitionIndex(partition.partition)) {
                true => Ok(topic),
                false => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            },
        );
        let want = match known {
            Err(code) => Err(code),
            Ok(topic) => {
                refusal::leader_epoch(partition.current_leader_epoch, epoch).map(|()| Want {
                    partition: TopicPartition {
                        topic: topic.id,
                        partition: PartitionIndex(partition.partition),
                    },
                    offset: Offset(partition.fetch_offset),
                    bytes_max: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
                })
            }
        };
        Slot {
            index: partition.partition,
            want,
        }
    };
    request
        .topics
        .iter()
        .map(|asked| {
            let allowed = call.allow(Resource::Topic(&asked.topic), Operation::Read);
            let topic = allowed.and_then(|()| {
                let topic = catalogue.topic(&asked.topic);
                topic.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            });
            let slots = asked
                .partitions
                .iter()
                .map(|partition| slot(topic, partition))
                .collect();
            Topic {
                name: asked.topic.clone(),
                slots,
            }
        })
        .collect()
}

fn wants(topics: &[Topic]) -> impl Iterator<Item = &Want> {
    topics
        .iter()
        .flat_map(|topic| &topic.slots)
        .filter_map(|slot| slot.want.as_ref().ok())
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
fn respond(topics: Vec<Topic>, served: Vec<assemble::Served>) -> FetchResponse {
    let mut served = served.into_iter();
    let responses = topics
        .into_iter()
        .map(|topic| FetchableTopicResponse {
            topic: topic.name,
            partitions: topic
                .slots
                .into_iter()
                .map(|slot| match slot.want {
                    Ok(_) => {
                        partition(slot.index, served.next().expect("one answer for each want"))
                    }
                    Err(error_code) => refusal(slot.index, error_code),
                })
                .collect(),
        })
        .collect();
    FetchResponse {
        responses,
        ..Default::default()
    }
}

fn partition(partition_index: i32, served: assemble::Served) -> PartitionData {
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
