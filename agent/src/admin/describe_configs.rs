//! DescribeConfigs: the settings of topics, and the few of this broker that tools look at.

use std::collections::HashSet;
use std::sync::Arc;

use metadata::Shown;
use protocol::acl::Operation;
use protocol::messages::describe_configs::DescribeConfigsResource;
use protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use protocol::{Elements, Encoded, ErrorCode};

use super::broker_config;
use super::configs_told::{Described, Detail, Size, is_this, refusal_bytes};
use super::refused::{Refused, allow, refuse};
use crate::call::{Call, Resource};
use crate::making::make;
use crate::named::Turns;
use crate::origin::Origin;
use crate::topic_name;

/// What has settings, by Kafka's numbers.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;

pub(crate) async fn handle(
    call: &Call,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse<Encoded> {
    let detail = Detail {
        version: call.version,
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let mut resources = request.resources;
    once_each(&mut resources).await;
    // A key is compared with every setting.
    let keys =
        |each: &DescribeConfigsResource| each.configuration_keys.as_ref().map_or(0, Vec::len);
    let things: usize = resources.iter().map(|each| 1 + keys(each)).sum();
    let checked = match call.check_named(things) {
        Ok(()) => {
            let bytes = answer_bytes(call, detail, &resources).await;
            Call::check_answer(bytes).map(|()| bytes)
        }
        Err(why) => Err(why),
    };
    let (bytes, too_much) = match checked {
        Ok(bytes) => (bytes, None),
        Err(why) => (resources.iter().map(refusal_bytes).sum(), Some(why)),
    };
    call.charge(bytes).await;
    let mut described = Vec::with_capacity(resources.len());
    let mut turns = Turns::default();
    for resource in resources {
        turns.pass(1).await;
        let told = match &too_much {
            None => describe(call, &resource),
            Some(message) => refuse(ErrorCode::POLICY_VIOLATION, message.clone()),
        };
        described.push((resource, told));
    }
    let results = make(Origin::of(call.arrival.address), bytes, move |wanted| {
        let mut results = Elements::new::<DescribeConfigsRequest>(detail.version);
        let described = described.into_iter();
        for (resource, described) in described.take_while(|_| wanted.is_wanted()) {
            results.push(&detail.result(resource, described));
        }
        results.finish()
    });
    DescribeConfigsResponse {
        results: results.await,
        ..DescribeConfigsResponse::default()
    }
}

/// An answer is a thousand times larger than a name, which costs the client next to nothing to repeat.
async fn once_each(resources: &mut Vec<DescribeConfigsResource>) {
    let mut seen = HashSet::with_capacity(resources.len());
    let mut first = Vec::with_capacity(resources.len());
    let mut turns = Turns::default();
    for each in resources.iter() {
        turns.pass(1).await;
        first.push(seen.insert((each.resource_type, each.resource_name.as_str())));
    }
    drop(seen);
    let mut first = first.into_iter();
    resources.retain(|_| first.next().unwrap_or(true));
}

async fn answer_bytes(call: &Call, detail: Detail, resources: &[DescribeConfigsResource]) -> usize {
    let size = Size::new(&call.context, detail);
    let mut turns = Turns::default();
    let mut bytes = 0;
    for resource in resources {
        turns.pass(1).await;
        bytes += size.of(resource);
    }
    bytes
}

fn describe(call: &Call, resource: &DescribeConfigsResource) -> Result<Described, Refused> {
    match resource.resource_type {
        TOPIC => describe_topic(call, &resource.resource_name),
        BROKER => describe_broker(call, &resource.resource_name),
        _ => refuse(
            ErrorCode::INVALID_REQUEST,
            "only topics (2) and brokers (4) have settings",
        ),
    }
}

fn describe_topic(call: &Call, name: &str) -> Result<Described, Refused> {
    allow(call, Resource::Topic(name), Operation::DescribeConfigs)?;
    topic_name::check(name).map_err(|why| (ErrorCode::INVALID_TOPIC_EXCEPTION, why.to_string()))?;
    match call.context.metadata.catalogue().topic(name) {
        Some(topic) => Ok(Described::Topic(Arc::clone(topic))),
        None => {
            let message = format!("there is no topic '{}'", Shown::name(name));
            refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
        }
    }
}

fn describe_broker(call: &Call, name: &str) -> Result<Described, Refused> {
    allow(call, Resource::Cluster, Operation::DescribeConfigs)?;
    let context = call.context.as_ref();
    if name.is_empty() {
        return Ok(Described::AllBrokers);
    }
    if !is_this(context, name) {
        let (own, name) = (context.node.node_id, Shown::name(name));
        let message = format!("this is broker {own}, not '{name}'");
        return refuse(ErrorCode::INVALID_REQUEST, message);
    }
    Ok(Described::Broker(broker_config::settings(context)))
}
