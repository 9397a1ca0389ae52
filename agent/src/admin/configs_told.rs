//! What is told of topics' and brokers' settings, and how many bytes that takes. Called by `describe_configs`.

use std::sync::Arc;

use metadata::{Catalogue, Topic};
use protocol::messages::DescribeConfigsRequest;
use protocol::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use protocol::{Elements, ErrorCode};

use super::broker_config::{self, BrokerSetting};
use super::describe_configs::{BROKER, TOPIC};
use super::refused::{self, Refused};
use crate::context::Context;
use crate::topic_config::{SETTINGS, Setting, source};

/// What a setting that is set takes besides its name and value.
const SET_BYTES: usize = 16;

/// Something that has settings, and that the client may know of.
pub(super) enum Described {
    Topic(Arc<Topic>),
    /// Kafka's defaults for all brokers, set at run time: there are none.
    AllBrokers,
    Broker(Vec<BrokerSetting>),
}

/// How much is told of each setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detail {
    pub(super) version: i16,
    pub(super) synonyms: bool,
    pub(super) documentation: bool,
}

impl Detail {
    pub(super) fn result(
        self,
        resource: DescribeConfigsResource,
        described: Result<Described, Refused>,
    ) -> DescribeConfigsResult {
        let (error_code, error_message, described) = match described {
            Ok(described) => (ErrorCode::NONE, None, described),
            Err((code, message)) => (code, Some(message), Described::AllBrokers),
        };
        let keys = resource.configuration_keys.unwrap_or_default();
        // An empty list asks for all, as null does.
        let wanted = |name: &str| keys.is_empty() || keys.iter().any(|key| key == name);
        let configs: Vec<_> = match described {
            Described::Topic(topic) => {
                let settings = SETTINGS.iter().filter(|setting| wanted(setting.name));
                let settings = settings.map(|setting| topic_setting(&topic, setting));
                settings.map(|setting| self.cut(setting)).collect()
            }
            Described::Broker(settings) => {
                let settings = settings.into_iter();
                let settings = settings.filter(|setting| wanted(setting.name));
                let settings = settings.map(broker_setting);
                settings.map(|setting| self.cut(setting)).collect()
            }
            Described::AllBrokers => Vec::new(),
        };
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs,
        }
    }

    /// Without what the client did not ask for.
    fn cut(self, mut setting: DescribeConfigsResourceResult) -> DescribeConfigsResourceResult {
        if !self.synonyms {
            setting.synonyms.clear();
        }
        if !self.documentation {
            setting.documentation = None;
        }
        setting
    }
}

pub(super) fn is_this(context: &Context, broker: &str) -> bool {
    broker.parse() == Ok(context.node.node_id)
}

/// Bytes of an answer, counted before it is made; never too few.
pub(super) struct Size<'a> {
    context: &'a Context,
    /// Of each of `SETTINGS` with its default.
    settings: Vec<usize>,
    catalogue: Arc<Catalogue>,
    /// Of all settings of a broker, with the structs that are made at once.
    broker: usize,
}

impl<'a> Size<'a> {
    pub(super) fn new(context: &'a Context, detail: Detail) -> Self {
        let encoded = |setting: DescribeConfigsResourceResult| {
            let cut = detail.cut(setting);
            Elements::size_of::<DescribeConfigsRequest>(detail.version, &cut)
        };
        let of_broker = |setting: BrokerSetting| {
            let held = size_of::<BrokerSetting>() + setting.value.len();
            held + encoded(broker_setting(setting))
        };
        let brokers = broker_config::settings(context).into_iter();
        Self {
            context,
            settings: SETTINGS.iter().map(default_setting).map(encoded).collect(),
            catalogue: context.metadata.catalogue(),
            broker: brokers.map(of_broker).sum(),
        }
    }

    /// Of what is told of it at the most, and of what is held until that is encoded.
    pub(super) fn of(&self, resource: &DescribeConfigsResource) -> usize {
        let told = match resource.resource_type {
            TOPIC => {
                let topic = self.catalogue.topic(&resource.resource_name);
                topic.map_or(0, |topic| self.topic(resource, topic))
            }
            BROKER if is_this(self.context, &resource.resource_name) => self.broker,
            _ => 0,
        };
        told + refusal_bytes(resource)
    }

    fn topic(&self, resource: &DescribeConfigsResource, topic: &Topic) -> usize {
        let keys = resource.configuration_keys.as_deref().unwrap_or_default();
        // Who names more than there are is not helped to name few.
        let all = keys.is_empty() || keys.len() > SETTINGS.len();
        let wanted = |setting: &Setting| all || keys.iter().any(|key| key == setting.name);
        let settings = SETTINGS.iter().zip(&self.settings);
        let wanted = settings.filter(|(setting, _)| wanted(setting));
        let sizes = wanted.map(|(setting, default)| {
            // One that is set has a synonym more.
            let set = topic.configs.get(setting.name);
            let more = set.map_or(0, |value| setting.name.len() + 2 * value.len() + SET_BYTES);
            default + more
        });
        sizes.sum()
    }
}

/// What refusing it takes, and what it takes besides what is told of it.
pub(super) fn refusal_bytes(resource: &DescribeConfigsResource) -> usize {
    let held = size_of::<(DescribeConfigsResource, Result<Described, Refused>)>();
    let name = resource.resource_name.len();
    held + name + refused::refusal_bytes(name)
}

fn default_setting(setting: &Setting) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: setting.name.to_owned(),
        value: Some(setting.default.to_owned()),
        read_only: false,
        config_source: source::DEFAULT,
        is_sensitive: false,
        synonyms: vec![synonym(setting.name, setting.default, source::DEFAULT)],
        config_type: setting.kind.code(),
        documentation: Some(setting.documentation.to_owned()),
    }
}

fn topic_setting(topic: &Topic, setting: &Setting) -> DescribeConfigsResourceResult {
    let mut result = default_setting(setting);
    if let Some(value) = topic.configs.get(setting.name) {
        let set = synonym(setting.name, value, source::TOPIC);
        result.value = Some(value.clone());
        result.config_source = source::TOPIC;
        result.synonyms.insert(0, set);
    }
    result
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
