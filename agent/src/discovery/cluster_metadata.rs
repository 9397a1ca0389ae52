//! Kafka's Metadata: brokers, topics, and whom to ask for each partition. Every partition is served here. A topic that
//! does not exist is made, if client and broker both want that.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use metadata::{Command, CreateTopic, Outcome, Rejected, Topic, TopicId};
use protocol::acl::Operation;
use protocol::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use protocol::messages::{MetadataRequest, MetadataResponse};
use protocol::{ErrorCode, Uuid};

use super::operations;
use crate::brokers::Brokers;
use crate::call::{Call, Resource};
use crate::context::{AutoCreate, Context};
use crate::{refusal, topic_id, topic_name};

/// Before this version an empty list asks for all topics; from it on null does.
const NULL_IS_ALL: i16 = 1;
/// Before this version topics are made whatever the client says.
const SAYS_CREATE: i16 = 4;
/// Before this version a request carries ids, but may not ask by them.
const ASKS_BY_ID: i16 = 12;
/// Topics made side by side, so that they share a commit without filling the metadata's queue.
const CREATED_AT_ONCE: usize = 256;

pub(crate) async fn handle(call: &Call, request: MetadataRequest) -> MetadataResponse {
    let context = call.context.as_ref();
    let brokers = Brokers::of(call);
    let asked = request.include_topic_authorized_operations;
    let cluster_asked = request.include_cluster_authorized_operations;
    let mut topics = match wanted(request.topics, call.version) {
        None => {
            let catalogue = context.metadata.catalogue();
            let epoch = context.metadata.leader_epoch();
            // Asked for all, Kafka does not say that there are others.
            let known = catalogue
                .topics()
                .filter(|topic| may_describe(call, topic).is_ok());
            known.map(|topic| found(&brokers, epoch, topic)).collect()
        }
        Some(wanted) => {
            let create = call.version < SAYS_CREATE || request.allow_auto_topic_creation;
            let create = if create {
                context.topics.auto_create
            } else {
                AutoCreate::Disabled
            };
            describe_all(call, &brokers, &wanted, create).await
        }
    };
    for topic in topics.iter_mut().filter(|_| asked) {
        topic.topic_authorized_operations = operations::topic(call, topic);
    }
    let listed = brokers.all().map(|(agent, at)| MetadataResponseBroker {
        node_id: agent.node_id,
        host: at.host.clone(),
        port: at.port.into(),
        rack: agent.zone.clone(),
    });
    MetadataResponse {
        brokers: listed.collect(),
        cluster_id: Some(context.metadata.cluster_id().to_owned()),
        controller_id: brokers.controller(),
        topics,
        cluster_authorized_operations: operations::cluster(call, cluster_asked),
        ..MetadataResponse::default()
    }
}

/// The topics asked for, each once: an answer is much larger than a name, and a name costs the client next to nothing to
/// repeat. `None` for all topics.
fn wanted(
    topics: Option<Vec<MetadataRequestTopic>>,
    version: i16,
) -> Option<Vec<MetadataRequestTopic>> {
    let mut topics = topics.filter(|topics| version >= NULL_IS_ALL || !topics.is_empty())?;
    let mut seen = HashSet::new();
    topics.retain(|topic| seen.insert((topic.name.clone(), topic.topic_id)));
    Some(topics)
}

async fn describe_all(
    call: &Call,
    brokers: &Brokers<'_>,
    wanted: &[MetadataRequestTopic],
    create: AutoCreate,
) -> Vec<MetadataResponseTopic> {
    let context = call.context.as_ref();
    let catalogue = context.metadata.catalogue();
    let known = |wanted: &MetadataRequestTopic| match &wanted.name {
        Some(name) => catalogue.topic(name).is_some(),
        None => (catalogue.topic_by_id(TopicId(wanted.topic_id.0))).is_some(),
    };
    let mut create = create;
    if !wanted.iter().all(known) {
        // Unconfirmed, what is known here counts: clients ask again for a topic they are told does not exist. So they do
        // where there is no room among those who wait for the metadata.
        if call.step_aside() {
            let _ = context.news().await;
        } else {
            create = AutoCreate::Disabled;
        }
    }
    let mut topics = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(CREATED_AT_ONCE) {
        let described = some
            .iter()
            .map(|topic| describe(call, brokers, topic, create));
        topics.extend(join_all(described).await);
    }
    topics
}

async fn describe(
    call: &Call,
    brokers: &Brokers<'_>,
    wanted: &MetadataRequestTopic,
    create: AutoCreate,
) -> MetadataResponseTopic {
    let context = call.context.as_ref();
    let topic = match &wanted.name {
        _ if call.version < ASKS_BY_ID && (wanted.name.is_none() || wanted.topic_id.0 != 0) => {
            Err(ErrorCode::INVALID_REQUEST)
        }
        Some(name) => by_name(call, name, create).await,
        None => {
            let catalogue = context.metadata.catalogue();
            let topic = catalogue.topic_by_id(TopicId(wanted.topic_id.0)).cloned();
            let topic = topic.ok_or(ErrorCode::UNKNOWN_TOPIC_ID);
            // The answer has no name then: ids are no secret, names are.
            topic.and_then(|topic| may_describe(call, &topic).map(|()| topic))
        }
    };
    match topic {
        Ok(topic) => found(brokers, context.metadata.leader_epoch(), &topic),
        Err(error_code) => MetadataResponseTopic {
            error_code,
            name: wanted.name.clone(),
            topic_id: wanted.topic_id,
            ..MetadataResponseTopic::default()
        },
    }
}

fn may_describe(call: &Call, topic: &Topic) -> Result<(), ErrorCode> {
    call.allow(Resource::Topic(&topic.name), Operation::Describe)
}

async fn by_name(call: &Call, name: &str, create: AutoCreate) -> Result<Arc<Topic>, ErrorCode> {
    let context = call.context.as_ref();
    call.allow(Resource::Topic(name), Operation::Describe)?;
    if let Some(topic) = context.metadata.catalogue().topic(name) {
        return Ok(Arc::clone(topic));
    }
    if create == AutoCreate::Enabled {
        call.allow_topic(name, Operation::Create, Operation::Create)?;
    }
    match (topic_name::check(name), create) {
        (Err(_), _) => Err(ErrorCode::INVALID_TOPIC_EXCEPTION),
        (Ok(()), AutoCreate::Disabled) => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (Ok(()), AutoCreate::Enabled) if topic_name::check_new(name).is_err() => {
            Err(ErrorCode::INVALID_TOPIC_EXCEPTION)
        }
        (Ok(()), AutoCreate::Enabled) => make(context, name).await,
    }
}

/// Makes a topic with the broker's defaults. The answer comes after the catalogue has it.
async fn make(context: &Context, name: &str) -> Result<Arc<Topic>, ErrorCode> {
    let create = CreateTopic {
        name: name.to_owned(),
        id: topic_id::fresh(&context.random),
        partitions: context.topics.partitions,
        replication_factor: 1,
        configs: BTreeMap::new(),
    };
    let answer = context.metadata.submit(Command::CreateTopic(create)).await;
    let answer = answer.map_err(|error| {
        tracing::warn!(topic = name, %error, "cannot create a topic");
        // What clients expect of a topic in the making; they ask again, made or not.
        ErrorCode::LEADER_NOT_AVAILABLE
    })?;
    match answer.outcome {
        // Somebody else may have been faster.
        Outcome::TopicCreated(_) | Outcome::Rejected(Rejected::TopicExists) => {}
        Outcome::Rejected(rejected) => return Err(refusal::rejected(rejected)),
        _ => return Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
    let catalogue = context.metadata.catalogue();
    // Missing only if it was deleted again meanwhile.
    let topic = catalogue.topic(name).cloned();
    topic.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

fn found(brokers: &Brokers<'_>, leader_epoch: i32, topic: &Topic) -> MetadataResponseTopic {
    let partition = |partition_index| {
        let leader_id = brokers.leader(topic.id, partition_index);
        let replicas = brokers.replicas(leader_id, topic.id, partition_index);
        MetadataResponsePartition {
            partition_index,
            leader_id,
            leader_epoch,
            isr_nodes: replicas.clone(),
            replica_nodes: replicas,
            ..MetadataResponsePartition::default()
        }
    };
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: Uuid(topic.id.0),
        is_internal: false,
        partitions: (0..topic.partitions).map(partition).collect(),
        ..MetadataResponseTopic::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> MetadataRequestTopic {
        MetadataRequestTopic {
            name: Some(name.to_owned()),
            ..MetadataRequestTopic::default()
        }
    }

    #[test]
    fn empty_asks_for_all_only_before_there_was_null() {
        assert_eq!(wanted(Some(Vec::new()), 0), None);
        assert_eq!(wanted(Some(Vec::new()), 1), Some(Vec::new()));
        assert_eq!(wanted(None, 1), None);
        let topics = vec![named("a")];
        assert_eq!(wanted(Some(topics.clone()), 0), Some(topics));
    }

    #[test]
    fn a_topic_is_answered_once_however_often_it_is_named() {
        let topics = vec![named("b"), named("a"), named("b")];
        let once = vec![named("b"), named("a")];
        assert_eq!(wanted(Some(topics), 13), Some(once));
    }
}
