//! A topic's settings as they are looked at: of their texts all is read once, when somebody looks at the topic for the first
//! time, and then again only where it has changed.

use std::collections::BTreeMap;

use metadata::{Timestamp, Topic};
use protocol::compression::Codec;

use super::check::number_of;

/// `max.message.bytes` where nothing is set.
const MAX_MESSAGE_BYTES: i64 = 1_048_588;
/// `message.timestamp.after.max.ms` where nothing is set: an hour.
const AFTER_MAX_MS: i64 = 3_600_000;

/// `max.decompressed.message.bytes` where nothing is set: as good as none.
const RECORD_UNPACKED_BYTES_MAX: i64 = 2_147_483_639;

/// Whose time a record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// What a topic's settings mean. Each of its batches has a copy while it is judged, so it is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    /// The largest record batch taken, in bytes.
    pub(crate) max_message_bytes: usize,
    pub(crate) timestamp_type: TimestampType,
    /// How far timestamps may lie in the past and in the future.
    pub(crate) before_max_ms: i64,
    pub(crate) after_max_ms: i64,
    /// Every record needs a key.
    pub(crate) compacted: bool,
    /// How batches are packed, if not as their producer packed them.
    pub(crate) packing: Option<Packing>,
    /// The largest record that a packed batch may hold, in bytes.
    pub(crate) record_unpacked_bytes_max: usize,
    /// Packed batches are taken for what their header says, unless something else needs to see inside.
    pub(crate) trusts_producers: bool,
}

/// A codec, and how hard it tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packing {
    pub(crate) codec: Codec,
    pub(crate) level: i32,
}

/// Packing at higher levels takes longer than looking at what comes.
const ZSTD_FAST_MAX: i32 = 6;
const GZIP_FAST_MAX: i32 = 6;

impl TopicSettings {
    /// Those of a topic, read when they were asked for first.
    pub(crate) fn of(topic: &Topic) -> &Self {
        topic.derived.get_or_make(|| Self::read(&topic.configs))
    }

    fn read(configs: &BTreeMap<String, String>) -> Self {
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
            packing: packing(configs),
            record_unpacked_bytes_max: usize::try_from(number(
                "max.decompressed.message.bytes",
                RECORD_UNPACKED_BYTES_MAX,
            ))
            .unwrap_or(0),
            trusts_producers: text("penstock.trust.producers") == "true",
        }
    }

    /// Whether batches are packed anew so slowly that those who want it wait for each other, and nobody else for them.
    pub(crate) fn packs_slowly(&self) -> bool {
        self.packing.is_some_and(|packing| match packing.codec {
            Codec::Zstd => packing.level > ZSTD_FAST_MAX,
            Codec::Gzip => packing.level > GZIP_FAST_MAX,
            Codec::None | Codec::Snappy | Codec::Lz4 => false,
        })
    }

    /// Why a record may not have that timestamp, if it may not: for its producer, with the setting that decides.
    pub(crate) fn refuses(&self, timestamp: i64, now: Timestamp) -> Option<String> {
        let (later, earlier) = (
            timestamp.saturating_sub(now.0),
            now.0.saturating_sub(timestamp),
        );
        let (by, side, most) = if later > self.after_max_ms {
            (later, "after", self.after_max_ms)
        } else if earlier > self.before_max_ms {
            (earlier, "before", self.before_max_ms)
        } else {
            return None;
        };
        let now = now.0;
        Some(format!(
            "timestamp {timestamp} lies {by} ms {side} the broker's time, {now}; the topic takes \
             message.timestamp.{side}.max.ms={most}"
        ))
    }
}

/// What `compression.type` and the levels say.
fn packing(configs: &BTreeMap<String, String>) -> Option<Packing> {
    let level = |name, default| {
        let level = number_of(configs, name).and_then(|level| i32::try_from(level).ok());
        level.unwrap_or(default)
    };
    let (codec, level) = match configs.get("compression.type")?.as_str() {
        "uncompressed" => (Codec::None, 0),
        "gzip" => (Codec::Gzip, level("compression.gzip.level", -1)),
        "snappy" => (Codec::Snappy, 0),
        "lz4" => (Codec::Lz4, 0),
        "zstd" => (Codec::Zstd, level("compression.zstd.level", 3)),
        _ => return None,
    };
    Some(Packing { codec, level })
}
