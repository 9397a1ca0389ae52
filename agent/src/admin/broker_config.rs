//! What this broker says of its own settings, under Kafka's names. Called by `describe_configs`.

use crate::context::{AutoCreate, Context};
use crate::topic_config::{self, Kind, source};

/// A setting of the broker, with its value now.
pub(super) struct BrokerSetting {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// One of `topic_config::source`.
    pub(super) source: i8,
    pub(super) kind: Kind,
    pub(super) documentation: &'static str,
}

/// Topics' defaults that Kafka's brokers have under other names.
const TOPIC_DEFAULTS: [(&str, &str); 8] = [
    ("compression.type", "compression.type"),
    ("log.cleanup.policy", "cleanup.policy"),
    ("log.message.timestamp.type", "message.timestamp.type"),
    ("log.retention.bytes", "retention.bytes"),
    ("log.retention.ms", "retention.ms"),
    ("log.segment.bytes", "segment.bytes"),
    ("message.max.bytes", "max.message.bytes"),
    ("min.insync.replicas", "min.insync.replicas"),
];

/// All of them.
pub(super) fn settings(context: &Context) -> Vec<BrokerSetting> {
    let mut settings = from_flags(context);
    settings.push(BrokerSetting {
        name: "default.replication.factor",
        value: "1".to_owned(),
        source: source::DEFAULT,
        kind: Kind::Int(1..=i32::from(i16::MAX)),
        documentation: "Replicas of topics that do not say; object storage replicates.",
    });
    settings.push(BrokerSetting {
        name: "delete.topic.enable",
        value: "true".to_owned(),
        source: source::DEFAULT,
        kind: Kind::Boolean,
        documentation: "Topics can be deleted.",
    });
    for (name, of_topics) in TOPIC_DEFAULTS {
        if let Some(setting) = topic_config::find(of_topics) {
            settings.push(BrokerSetting {
                name,
                value: setting.default.to_owned(),
                source: source::DEFAULT,
                kind: setting.kind.clone(),
                documentation: setting.documentation,
            });
        }
    }
    settings.sort_by_key(|setting| setting.name);
    settings
}

fn from_flags(context: &Context) -> Vec<BrokerSetting> {
    let node = &context.node;
    let id = || node.node_id.to_string();
    let listeners = node
        .listeners
        .iter()
        .map(|at| format!("{}://{}:{}", at.name, at.host, at.port));
    let listeners: Vec<_> = listeners.collect();
    let ids = || Kind::Int(0..=i32::MAX);
    let auto_create = context.topics.auto_create == AutoCreate::Enabled;
    let set = |name, value, kind, documentation| BrokerSetting {
        name,
        value,
        source: source::BROKER,
        kind,
        documentation,
    };
    vec![
        set(
            "advertised.listeners",
            listeners.join(","),
            Kind::List(&[]),
            "Where clients are told to connect to.",
        ),
        set(
            "auto.create.topics.enable",
            auto_create.to_string(),
            Kind::Boolean,
            "Whether asking for a topic's metadata may create it.",
        ),
        set("broker.id", id(), ids(), "This broker's number."),
        set(
            "broker.rack",
            node.zone.clone().unwrap_or_default(),
            Kind::Text(&[]),
            "The zone this broker is in.",
        ),
        set("node.id", id(), ids(), "This broker's number."),
        set(
            "num.partitions",
            context.topics.partitions.to_string(),
            Kind::Int(1..=i32::MAX),
            "Partitions of topics that do not say.",
        ),
    ]
}
