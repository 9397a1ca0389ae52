//! The table against Kafka's bounds, and what produce makes of it.

use metadata::{Derived, Lost, Timestamp, Topic, TopicId};
use protocol::compression::Codec;

use super::settings::Packing;
use super::*;

fn one(name: &str, value: &str) -> Result<String, String> {
    let checked = check([(name, Some(value))].into_iter())?;
    Ok(checked[name].clone())
}

fn topic(configs: &[(&str, &str)]) -> Topic {
    let given = configs.iter().map(|(name, value)| (*name, Some(*value)));
    Topic {
        id: TopicId(1),
        name: "t".to_owned(),
        partitions: 1,
        replication_factor: 1,
        configs: check(given).unwrap(),
        created: Timestamp(0),
        lost: Lost::default(),
        derived: Derived::default(),
    }
}

#[test]
fn the_table_is_sorted_and_its_defaults_are_lawful() {
    assert!(SETTINGS.is_sorted_by(|a, b| a.name < b.name));
    for setting in SETTINGS {
        let plain = setting.kind.read(setting.default);
        assert_eq!(plain.as_deref(), Ok(setting.default), "{}", setting.name);
        assert!(setting.documentation.ends_with('.'), "{}", setting.name);
    }
}

#[test]
fn bounds_are_kafkas() {
    for (name, good, bad) in [
        ("compression.gzip.level", "-1", "0"),
        ("compression.gzip.level", "9", "10"),
        ("compression.lz4.level", "17", "18"),
        ("compression.type", "zstd", "none"),
        ("compression.zstd.level", "22", "23"),
        ("flush.messages", "1", "0"),
        ("local.retention.bytes", "-2", "-3"),
        ("max.compaction.lag.ms", "1", "0"),
        ("max.message.bytes", "2147483647", "2147483648"),
        ("max.message.bytes", "0", "-1"),
        ("message.timestamp.after.max.ms", "0", "-1"),
        ("message.timestamp.type", "CreateTime", "createtime"),
        ("min.cleanable.dirty.ratio", "0.25", "1.1"),
        ("min.cleanable.dirty.ratio", "1", "NaN"),
        ("min.insync.replicas", "1", "0"),
        ("preallocate", "true", "yes"),
        ("retention.bytes", "-1", "-2"),
        ("retention.ms", "-1", "-2"),
        ("retention.ms", "9223372036854775807", "9223372036854775808"),
        ("segment.bytes", "1048576", "1048575"),
        ("segment.index.bytes", "4", "3"),
        ("segment.ms", "1", "0"),
        ("cleanup.policy", "compact,delete", "burn"),
    ] {
        assert_eq!(one(name, good).as_deref(), Ok(good), "{name}");
        let sentence = one(name, bad).unwrap_err();
        assert!(
            sentence.contains(name) && sentence.contains(bad),
            "{sentence}"
        );
    }
}

#[test]
fn values_are_kept_in_their_plain_form() {
    for (name, given, plain) in [
        ("cleanup.policy", " delete , compact ", "delete,compact"),
        ("preallocate", "TRUE", "true"),
        ("retention.ms", " 007 ", "7"),
        ("min.cleanable.dirty.ratio", " 0.5", "0.5"),
    ] {
        assert_eq!(one(name, given).as_deref(), Ok(plain), "{name}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    assert!(one("no.such.setting", "1").is_err());
    assert!(check([("retention.ms", None)].into_iter()).is_err());
    assert!(check([("flush.ms", Some("1")), ("flush.ms", Some("1"))].into_iter()).is_err());
    let lags = [
        ("max.compaction.lag.ms", Some("5")),
        ("min.compaction.lag.ms", Some("6")),
    ];
    assert!(check(lags.into_iter()).is_err());
}

#[test]
fn what_is_not_set_has_the_defaults_of_the_table() {
    let default = |name: &str| find(name).unwrap().default.parse::<i64>().unwrap();
    let defaults = TopicSettings {
        max_message_bytes: usize::try_from(default("max.message.bytes")).unwrap(),
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: default("message.timestamp.before.max.ms"),
        after_max_ms: default("message.timestamp.after.max.ms"),
        compacted: false,
        packing: None,
        record_unpacked_bytes_max: usize::try_from(default("max.decompressed.message.bytes"))
            .unwrap(),
        trusts_producers: false,
    };
    assert_eq!(*TopicSettings::of(&topic(&[])), defaults);
}

#[test]
fn what_is_set_is_read() {
    let topic = topic(&[
        ("cleanup.policy", "delete, compact"),
        ("compression.gzip.level", "7"),
        ("compression.type", "gzip"),
        ("max.decompressed.message.bytes", "13"),
        ("max.message.bytes", "10"),
        ("message.timestamp.after.max.ms", "11"),
        ("message.timestamp.before.max.ms", "12"),
        ("message.timestamp.type", "LogAppendTime"),
        ("penstock.trust.producers", "true"),
    ]);
    let set = TopicSettings {
        max_message_bytes: 10,
        timestamp_type: TimestampType::LogAppendTime,
        before_max_ms: 12,
        after_max_ms: 11,
        compacted: true,
        packing: Some(Packing {
            codec: Codec::Gzip,
            level: 7,
        }),
        record_unpacked_bytes_max: 13,
        trusts_producers: true,
    };
    assert_eq!(*TopicSettings::of(&topic), set);
}

#[test]
fn levels_of_packing_are_the_codecs_own() {
    for (word, codec, level) in [
        ("uncompressed", Codec::None, 0),
        ("gzip", Codec::Gzip, -1),
        ("snappy", Codec::Snappy, 0),
        ("lz4", Codec::Lz4, 0),
        ("zstd", Codec::Zstd, 3),
    ] {
        let topic = topic(&[("compression.type", word)]);
        let packing = TopicSettings::of(&topic).packing;
        assert_eq!(packing, Some(Packing { codec, level }));
    }
    let as_it_came = topic(&[
        ("compression.type", "producer"),
        ("compression.zstd.level", "9"),
    ]);
    assert_eq!(TopicSettings::of(&as_it_came).packing, None);
}

#[test]
fn settings_are_read_once_and_again_where_the_topic_has_changed() {
    let known = topic(&[("max.message.bytes", "10")]);
    let read = TopicSettings::of(&known);
    assert!(std::ptr::eq(read, TopicSettings::of(&known)));
    let mut changed = known.clone();
    changed.configs = topic(&[("max.message.bytes", "11")]).configs;
    assert_eq!(TopicSettings::of(&changed).max_message_bytes, 11);
    assert_eq!(TopicSettings::of(&known).max_message_bytes, 10);
}

#[test]
fn a_timestamp_that_is_refused_is_so_by_a_setting_that_is_named() {
    let topic = topic(&[
        ("message.timestamp.after.max.ms", "11"),
        ("message.timestamp.before.max.ms", "12"),
    ]);
    let refused = |timestamp| TopicSettings::of(&topic).refuses(timestamp, Timestamp(1000));
    for taken in [988, 1000, 1011] {
        assert_eq!(refused(taken), None);
    }
    for (timestamp, parts) in [
        (
            1012,
            ["12 ms after", "1000", "message.timestamp.after.max.ms=11"],
        ),
        (
            987,
            ["13 ms before", "1000", "message.timestamp.before.max.ms=12"],
        ),
        (
            i64::MAX,
            ["ms after", "1000", "message.timestamp.after.max.ms=11"],
        ),
    ] {
        let said = refused(timestamp).unwrap();
        assert!(said.contains(&timestamp.to_string()), "{said}");
        for part in parts {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
    }
}
