//! DescribeConfigs: the settings of topics, and the few of this broker that tools look at.

use std::collections::HashSet;

use metadata::{Shown, Topic};
use protocol::ErrorCode;
use protocol::acl::Operation;
use protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::broker_config::{self, BrokerSetting};
use super::{Refused, allow, refuse};
use crate::call::{Call, Resource};
use crate::topic_config::{self, SETTINGS, Setting, source};
use crate::topic_name;

/// What has settings, by Kafka's numbers.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

pub(crate) async fn handle(
    call: &Call,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    // Once each: an answer is a thousand times larger than a name, which costs the client next to nothing to repeat.
    let mut seen = HashSet::new();
    let resources = request
        .resources
        .into_iter()
        .filter(|each| seen.insert((each.resource_type, each.resource_name.clone())));
    let results = resources.map(|resource| {
        let described = match resource.resource_type {
            TOPIC => describe_topic(call, &resource.resource_name),
            BROKER => describe_broker(call, &resource.resource_name),
            _ => refuse(
                ErrorCode::INVALID_REQUEST,
                "only topics (2) and brokers (4) have settings",
            ),
        };
        let mut result = result(resource, described);
        for config in &mut result.configs {
            if !request.include_synonyms {
                config.synonyms.clear();
            }
            if !request.include_documentation {
                config.documentation = None;
            }
        }
        result
    });
    DescribeConfigsResponse {
        results: results.collect(),
        ..DescribeConfigsResponse::default()
    }
}

fn result(
    resource: DescribeConfigsResource,
    described: Result<Vec<DescribeConfigsResourceResult>, Refused>,
) -> DescribeConfigsResult {
    let (error_code, error_message, mut configs) = match described {
        Ok(configs) => (ErrorCode::NONE, None, configs),
        Err((code, message)) => (code, Some(message), Vec::new()),
    };
    // An empty list asks for all, as null does.
    if let Some(keys) = resource.configuration_keys.filter(|keys| !keys.is_empty()) {
        configs.retain(|config| keys.contains(&config.name));
    }
    DescribeConfigsResult {
        error_code,
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        configs,
    }
}

fn describe_topic(call: &Call, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
    allow(call, Resource::Topic(name), Operation::DescribeConfigs)?;
    topic_name::check(name).map_err(|why| (ErrorCode::INVALID_TOPIC_EXCEPTION, why))?;
    match call.context.metadata.catalogue().topic(name) {
        Some(topic) => Ok(SETTINGS
            .iter()
            .map(|setting| topic_setting(topic, setting))
            .collect()),
        None => {
            let message = format!("there is no topic '{}'", Shown::name(name));
            refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
        }
    }
}

fn topic_setting(topic: &Topic, setting: &Setting) -> DescribeConfigsResourceResult {
    let value = topic_config::value(topic, setting);
    let default = synonym(setting.name, setting.default, source::DEFAULT);
    let (config_source, synonyms) = if topic.configs.contains_key(setting.name) {
        let set = synonym(setting.name, value, source::TOPIC);
        (source::TOPIC, vec![set, default])
    } else {
        (source::DEFAULT, vec![default])
    };
    DescribeConfigsResourceResult {
        name: setting.name.to_owned(),
        value: Some(value.to_owned()),
        read_only: false,
        config_source,
        is_sensitive: false,
        synonyms,
        config_type: setting.kind.code(),
        documentation: Some(setting.documentation.to_owned()),
    }
}

fn describe_broker(call: &Call, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
    allow(call, Resource::Cluster, Operation::DescribeConfigs)?;
    let context = call.context.as_ref();
    if name.is_empty() {
        // Kafka's defaults for all brokers, set at run time: there are none.
        return Ok(Vec::new());
    }
    if name.parse() != Ok(context.node.node_id) {
        let (own, name) = (context.node.node_id, Shown::name(name));
        let message = format!("this is broker {own}, not '{name}'");
        return refuse(ErrorCode::INVALID_REQUEST, message);
    }
    let settings = broker_config::settings(context).into_iter();
    Ok(settings.map(broker_setting).collect())
}

fn broker_setting(setting: BrokerSetting) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: setting.name.to_owned(),
        synonyms: vec![synonym(setting.name, &setting.value, setting.source)],
        value: Some(setting.value),
        // They come from flags; none can be changed over the protocol.
        read_only: true,
        config_source: setting.source,
        is_sensitive: false,
        config_type: setting.kind.code(),
        documentation: Some(setting.documentation.to_owned()),
    }
}

fn synonym(name: &str, value: &str, source: i8) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        source,
    }
}
