//! What produce must know of a topic, read from its settings once per request.

use metadata::Topic;

use super::number_of;

/// `max.message.bytes` where nothing is set.
const MAX_MESSAGE_BYTES: i64 = 1_048_588;
/// `message.timestamp.after.max.ms` where nothing is set: an hour.
const AFTER_MAX_MS: i64 = 3_600_000;

/// Whose time a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// What produce must know of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ingest {
    /// The largest record batch taken, in bytes.
    pub(crate) max_message_bytes: usize,
    pub(crate) timestamp_type: TimestampType,
    /// How far timestamps may lie in the past and in the future.
    pub(crate) before_max_ms: i64,
    pub(crate) after_max_ms: i64,
    /// Every record needs a key.
    pub(crate) compacted: bool,
}

impl Ingest {
    /// Cheap enough for every topic of every Produce request: five look-ups among what was set.
    pub(crate) fn of(topic: &Topic) -> Self {
        let configs = &topic.configs;
        let number = |name, default| number_of(configs, name).unwrap_or(default);
        let text = |name: &str| configs.get(name).map_or("", String::as_str);
        Self {
            max_message_bytes: usize::try_from(number("max.message.bytes", MAX_MESSAGE_BYTES))
                .unwrap_or(0),
            timestamp_type: match text("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            before_max_ms: number("message.timestamp.before.max.ms", i64::MAX),
            after_max_ms: number("message.timestamp.after.max.ms", AFTER_MAX_MS),
            compacted: text("cleanup.policy")
                .split(',')
                .any(|word| word == "compact"),
        }
    }
}
