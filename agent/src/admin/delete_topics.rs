//! DeleteTopics, by name or by id.

use std::collections::HashMap;

use metadata::{Catalogue, Command, Outcome, Rejected, Shown, TOPIC_NAME_BYTES_MAX, TopicId};
use protocol::acl::Operation;
use protocol::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use protocol::{ErrorCode, Uuid};

use super::changes;
use super::refused::{Refused, allow_topic, refuse, rejected, topic_bytes, unexpected};
use crate::call::Call;
use crate::named::Turns;

/// From this version on clients know that they may be told to ask again for some topics (KIP-599).
const QUOTA_SINCE: i16 = 5;

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
    if let Err(why) = call.check_named(wanted.len()) {
        let responses = wanted.into_iter().map(|each| refusal(each, &why));
        return DeleteTopicsResponse {
            responses: responses.collect(),
            ..DeleteTopicsResponse::default()
        };
    }
    let meant = resolve(call, &context.metadata.catalogue(), wanted).await;
    let command = |topic: &TopicId| Command::DeleteTopic(*topic);
    let done = changes::submit(call, (request.timeout_ms, QUOTA_SINCE), meant, command).await;
    DeleteTopicsResponse {
        responses: done.into_iter().map(result).collect(),
        ..DeleteTopicsResponse::default()
    }
}

/// What an entry takes at the most; one without a name is answered with it.
fn bytes(wanted: &DeleteTopicState) -> usize {
    topic_bytes(
        wanted
            .name
            .as_ref()
            .map_or(TOPIC_NAME_BYTES_MAX, String::len),
    )
}

/// What an entry of the request is answered with, and the topic it means.
type Meant = (Named, Result<TopicId, Refused>);

#[derive(Debug)]
struct Named {
    name: Option<String>,
    topic_id: Uuid,
}

/// A topic meant more than once, by whatever names and ids, is not deleted, as in Kafka.
async fn resolve(call: &Call, catalogue: &Catalogue, wanted: Vec<DeleteTopicState>) -> Vec<Meant> {
    let mut all: Vec<Meant> = Vec::with_capacity(wanted.len());
    let mut times: HashMap<TopicId, usize> = HashMap::new();
    let mut turns = Turns::default();
    for each in wanted {
        turns.pass(1).await;
        let meant = find(call, catalogue, each);
        if let Ok(topic) = meant.1 {
            *times.entry(topic).or_default() += 1;
        }
        all.push(meant);
    }
    for (_, meant) in &mut all {
        if let Ok(topic) = meant
            && times.get(topic).is_some_and(|times| *times > 1)
        {
            let message = "the topic is to be deleted more than once";
            *meant = refuse(ErrorCode::INVALID_REQUEST, message);
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
    let refused = |name, refused| (Named { name, topic_id }, Err(refused));
    let topic = match found {
        Ok(topic) => topic,
        Err(why) => return refused(name, why),
    };
    match allow_topic(call, &topic.name, Operation::Delete, Operation::Delete) {
        Ok(()) => {
            let named = Named {
                name: Some(topic.name.clone()),
                topic_id: Uuid(topic.id.0),
            };
            (named, Ok(topic.id))
        }
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

/// Where too many are named.
fn refusal(wanted: DeleteTopicState, why: &str) -> DeletableTopicResult {
    DeletableTopicResult {
        name: wanted.name,
        topic_id: wanted.topic_id,
        error_code: ErrorCode::POLICY_VIOLATION,
        error_message: Some(why.to_owned()),
    }
}

fn result((named, done): (Named, Result<(TopicId, Outcome), Refused>)) -> DeletableTopicResult {
    let deleted = done.and_then(|(_, outcome)| match outcome {
        Outcome::TopicDeleted => Ok(()),
        // Somebody else was faster.
        Outcome::Rejected(Rejected::UnknownTopic) => refuse(
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "the topic is gone already",
        ),
        Outcome::Rejected(why) => Err(rejected(why)),
        _ => Err(unexpected()),
    });
    let (error_code, error_message) = match deleted {
        Ok(()) => (ErrorCode::NONE, None),
        Err((code, message)) => (code, Some(message)),
    };
    DeletableTopicResult {
        name: named.name,
        topic_id: named.topic_id,
        error_code,
        error_message,
    }
}
