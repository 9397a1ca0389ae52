//! DeleteTopics, by name or by id.

use std::collections::HashMap;

use futures::future::join_all;
use metadata::{Catalogue, Command, Outcome, Rejected, Shown, TopicId};
use protocol::acl::Operation;
use protocol::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use protocol::{ErrorCode, Uuid};

use super::{AT_ONCE, Refused, allow_topic, refuse, rejected, topic_bytes, unanswered, unexpected};
use crate::call::Call;
use crate::context::Context;

/// Of a topic's name.
const NAME_BYTES_MAX: usize = 249;

pub(crate) async fn handle(call: &Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let context = call.context.as_ref();
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| DeleteTopicState {
            name: Some(name),
            topic_id: Uuid::default(),
        });
    let wanted: Vec<_> = by_name.chain(request.topics).collect();
    call.charge(wanted.iter().map(bytes).sum()).await;
    let meant = resolve(call, &context.metadata.catalogue(), wanted);
    let mut responses = Vec::with_capacity(meant.len());
    for some in meant.chunks(AT_ONCE) {
        responses.extend(join_all(some.iter().map(|meant| answer(context, meant))).await);
    }
    DeleteTopicsResponse {
        responses,
        ..DeleteTopicsResponse::default()
    }
}

/// What an entry takes at the most; one without a name is answered with it.
fn bytes(wanted: &DeleteTopicState) -> usize {
    topic_bytes(wanted.name.as_ref().map_or(NAME_BYTES_MAX, String::len))
}

/// An entry of the request, and the topic it means.
#[derive(Debug)]
struct Meant {
    name: Option<String>,
    topic_id: Uuid,
    topic: Result<TopicId, Refused>,
}

/// A topic meant more than once, by whatever names and ids, is not deleted, as in Kafka.
fn resolve(call: &Call, catalogue: &Catalogue, wanted: Vec<DeleteTopicState>) -> Vec<Meant> {
    let mut all: Vec<Meant> = Vec::with_capacity(wanted.len());
    let mut times: HashMap<TopicId, usize> = HashMap::new();
    for each in wanted {
        let meant = find(call, catalogue, each);
        if let Ok(topic) = meant.topic {
            *times.entry(topic).or_default() += 1;
        }
        all.push(meant);
    }
    for meant in &mut all {
        if let Ok(topic) = meant.topic
            && times.get(&topic).is_some_and(|times| *times > 1)
        {
            let message = "the topic is to be deleted more than once";
            meant.topic = refuse(ErrorCode::INVALID_REQUEST, message);
        }
    }
    all
}

fn find(call: &Call, catalogue: &Catalogue, wanted: DeleteTopicState) -> Meant {
    let DeleteTopicState { name, topic_id } = wanted;
    let by_id = || catalogue.topic_by_id(TopicId(topic_id.0));
    let found = match (&name, topic_id.0) {
        (Some(_), 1..) | (None, 0) => refuse(
            ErrorCode::INVALID_REQUEST,
            "name a topic or give its id, one of the two",
        ),
        (Some(name), 0) => may_know(call, name).and_then(|()| {
            catalogue.topic(name).ok_or_else(|| {
                let message = format!("there is no topic '{}'", Shown::name(name));
                (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
            })
        }),
        (None, 1..) => by_id().ok_or_else(unknown_id),
    };
    let refused = |name, refused| Meant {
        name,
        topic_id,
        topic: Err(refused),
    };
    let topic = match found {
        Ok(topic) => topic,
        Err(why) => return refused(name, why),
    };
    match allow_topic(call, &topic.name, Operation::Delete, Operation::Delete) {
        Ok(()) => Meant {
            name: Some(topic.name.clone()),
            topic_id: Uuid(topic.id.0),
            topic: Ok(topic.id),
        },
        // Ids are no secret. The name of a topic given by its id is one to those who may not know of it.
        Err(why) => {
            let known = may_know(call, &topic.name).map(|()| topic.name.clone());
            refused(known.ok(), why)
        }
    }
}

/// Whether a topic may be deleted, or whether there is one of that name may be said.
fn may_know(call: &Call, name: &str) -> Result<(), Refused> {
    allow_topic(call, name, Operation::Delete, Operation::Describe)
}

fn unknown_id() -> Refused {
    let message = "there is no topic with that id";
    (ErrorCode::UNKNOWN_TOPIC_ID, message.to_owned())
}

async fn answer(context: &Context, meant: &Meant) -> DeletableTopicResult {
    let deleted = match &meant.topic {
        Ok(topic) => delete(context, *topic).await,
        Err(refused) => Err(refused.clone()),
    };
    let (error_code, error_message) = match deleted {
        Ok(()) => (ErrorCode::NONE, None),
        Err((code, message)) => (code, Some(message)),
    };
    DeletableTopicResult {
        name: meant.name.clone(),
        topic_id: meant.topic_id,
        error_code,
        error_message,
    }
}

async fn delete(context: &Context, topic: TopicId) -> Result<(), Refused> {
    let answer = context.metadata.submit(Command::DeleteTopic(topic)).await;
    match answer.map_err(|error| unanswered(&error))?.outcome {
        Outcome::TopicDeleted => Ok(()),
        // Somebody else was faster.
        Outcome::Rejected(Rejected::UnknownTopic) => refuse(
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "the topic is gone already",
        ),
        Outcome::Rejected(why) => Err(rejected(why)),
        _ => Err(unexpected()),
    }
}
