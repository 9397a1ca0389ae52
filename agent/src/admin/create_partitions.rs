//! CreatePartitions: topics only grow.

use std::collections::HashMap;

use metadata::{Catalogue, Command, CreatePartitions, Outcome, Shown, Topic};
use protocol::ErrorCode;
use protocol::acl::Operation;
use protocol::messages::create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult};
use protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::changes;
use super::mode::Mode;
use super::refused::{PartitionsRefused, Refused, allow, refuse, topic_bytes, unexpected};
use crate::call::{Call, Resource};
use crate::context::PARTITIONS_MAX;
use crate::named::Turns;

/// From this version on clients know that they may be told to ask again for some topics (KIP-599).
const QUOTA_SINCE: i16 = 3;

pub(crate) async fn handle(
    call: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mode = Mode::of(request.validate_only);
    let bytes = request
        .topics
        .iter()
        .map(|topic| topic_bytes(topic.name.len()));
    call.charge(bytes.sum()).await;
    if let Err(why) = call.check_named(request.topics.len()) {
        let topics = request.topics.into_iter();
        let refused = |name| result(name, refuse(ErrorCode::POLICY_VIOLATION, why.clone()));
        return CreatePartitionsResponse {
            results: topics.map(|topic| refused(topic.name)).collect(),
            ..CreatePartitionsResponse::default()
        };
    }
    let mut turns = Turns::default();
    let mut wanted: Vec<(String, Result<CreatePartitions, Refused>)> = Vec::new();
    for named in once_each(request.topics).await {
        turns.pass(1).await;
        let judged = judge(call, &named);
        wanted.push((named.topic.name, judged));
    }
    let results = match mode {
        Mode::Judge => {
            let judged = wanted.into_iter();
            judged
                .map(|(name, judged)| result(name, judged.map(|_| ())))
                .collect()
        }
        Mode::Do => {
            let command = |create: &CreatePartitions| Command::CreatePartitions(*create);
            let terms = (request.timeout_ms, QUOTA_SINCE);
            let done = changes::submit(call, terms, wanted, command).await;
            let refused = PartitionsRefused::new(&call.context);
            let catalogue = call.context.metadata.catalogue();
            let results = done.into_iter();
            results
                .map(|(name, done)| result(name, grown(done, &catalogue, &refused)))
                .collect()
        }
    };
    CreatePartitionsResponse {
        results,
        ..CreatePartitionsResponse::default()
    }
}

/// A topic of the request, and how often it was named.
struct Named {
    topic: CreatePartitionsTopic,
    times: usize,
}

/// Once in the response, however often in the request.
async fn once_each(topics: Vec<CreatePartitionsTopic>) -> Vec<Named> {
    let mut all: Vec<Named> = Vec::with_capacity(topics.len());
    let mut places = HashMap::new();
    let mut turns = Turns::default();
    for topic in topics {
        turns.pass(1).await;
        let place = *places.entry(topic.name.clone()).or_insert(all.len());
        match all.get_mut(place) {
            Some(named) => named.times += 1,
            None => all.push(Named { topic, times: 1 }),
        }
    }
    all
}

fn judge(call: &Call, wanted: &Named) -> Result<CreatePartitions, Refused> {
    if wanted.times > 1 {
        let message = format!("the topic is named {} times", wanted.times);
        return refuse(ErrorCode::INVALID_REQUEST, message);
    }
    let wanted = &wanted.topic;
    allow(call, Resource::Topic(&wanted.name), Operation::Alter)?;
    let catalogue = call.context.metadata.catalogue();
    let Some(topic) = catalogue.topic(&wanted.name) else {
        let message = format!("there is no topic '{}'", Shown::name(&wanted.name));
        return refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message);
    };
    check(topic, wanted)
}

fn grown(
    done: Result<(CreatePartitions, Outcome), Refused>,
    catalogue: &Catalogue,
    refused: &PartitionsRefused<'_>,
) -> Result<(), Refused> {
    let (wanted, outcome) = done?;
    match outcome {
        Outcome::PartitionsCreated => Ok(()),
        Outcome::Rejected(why) => {
            let topic = catalogue.topic_by_id(wanted.topic);
            let now = topic.map_or(0, |topic| topic.partitions);
            Err(refused.rejected(why, wanted.total.saturating_sub(now)))
        }
        _ => Err(unexpected()),
    }
}

fn result(name: String, grown: Result<(), Refused>) -> CreatePartitionsTopicResult {
    let (error_code, error_message) = match grown {
        Ok(()) => (ErrorCode::NONE, None),
        Err((code, message)) => (code, Some(message)),
    };
    CreatePartitionsTopicResult {
        name,
        error_code,
        error_message,
    }
}

/// Everything that can be said without asking the sequencer, whose word is the last.
fn check(topic: &Topic, wanted: &CreatePartitionsTopic) -> Result<CreatePartitions, Refused> {
    let (now, total) = (topic.partitions, wanted.count);
    if total <= now {
        let message = format!("the topic has {now} partitions already, and {total} were asked for");
        return refuse(ErrorCode::INVALID_PARTITIONS, message);
    }
    if total > PARTITIONS_MAX {
        let message = format!("a topic has at most {PARTITIONS_MAX} partitions");
        return refuse(ErrorCode::INVALID_PARTITIONS, message);
    }
    if let Some(assignments) = &wanted.assignments {
        let fits = i32::try_from(assignments.len()) == Ok(total - now);
        if !fits || assignments.iter().any(|each| each.broker_ids.is_empty()) {
            let message = format!(
                "{} new partitions need as many assignments, none of them empty",
                total - now
            );
            return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
        }
    }
    Ok(CreatePartitions {
        topic: topic.id,
        total,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use metadata::{Derived, Lost, Timestamp, TopicId};
    use protocol::messages::create_partitions::CreatePartitionsAssignment;

    use super::*;

    fn checked(count: i32, assignments: Option<&[&[i32]]>) -> Result<i32, ErrorCode> {
        let topic = Topic {
            id: TopicId(9),
            name: "t".to_owned(),
            partitions: 3,
            replication_factor: 1,
            configs: BTreeMap::new(),
            created: Timestamp(0),
            lost: Lost::default(),
            derived: Derived::default(),
        };
        let assignment = |ids: &&[i32]| CreatePartitionsAssignment {
            broker_ids: ids.to_vec(),
        };
        let wanted = CreatePartitionsTopic {
            name: "t".to_owned(),
            count,
            assignments: assignments.map(|all| all.iter().map(assignment).collect()),
        };
        let checked = check(&topic, &wanted).map_err(|(code, _)| code)?;
        assert_eq!(checked.topic, topic.id);
        Ok(checked.total)
    }

    #[test]
    fn topics_only_grow() {
        assert_eq!(checked(4, None), Ok(4));
        assert_eq!(checked(PARTITIONS_MAX, None), Ok(PARTITIONS_MAX));
        for count in [3, 2, 0, -1, i32::MIN, PARTITIONS_MAX + 1, i32::MAX] {
            assert_eq!(
                checked(count, None),
                Err(ErrorCode::INVALID_PARTITIONS),
                "{count}"
            );
        }
    }

    #[test]
    fn assignments_are_for_the_new_partitions() {
        assert_eq!(checked(5, Some(&[&[1], &[2]])), Ok(5));
        for bad in [&[&[1][..]][..], &[&[1], &[]], &[&[1], &[1], &[1]], &[]] {
            let code = checked(5, Some(bad));
            assert_eq!(code, Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT), "{bad:?}");
        }
    }
}
