//! Topics that are made because somebody asks for them by name. Called by `cluster_metadata`.

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata::{Command, CreateTopic, Outcome, Rejected, Topic};
use protocol::ErrorCode;
use protocol::acl::Operation;

use crate::call::{Call, Resource};
use crate::context::{AutoCreate, Context};
use crate::said::warn_seldom;
use crate::{refusal, topic_id, topic_name};

/// The topic with that name, made where `create` says so.
pub(super) async fn by_name(
    call: &Call,
    name: &str,
    create: AutoCreate,
) -> Result<Arc<Topic>, ErrorCode> {
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
        warn_seldom!(topic = name, %error, "cannot create a topic");
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
