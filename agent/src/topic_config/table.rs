//! Kafka's topic settings in one table: names, defaults, bounds. Read by the rest of this folder, and by `admin` to
//! describe them.

use super::kind::Kind;

/// One setting.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) kind: Kind,
    pub(crate) documentation: &'static str,
}

/// The setting of that name.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    let place = SETTINGS.binary_search_by_key(&name, |setting| setting.name);
    place.ok().and_then(|place| SETTINGS.get(place))
}

const fn setting(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    documentation: &'static str,
) -> Setting {
    Setting {
        name,
        default,
        kind,
        documentation,
    }
}

const NO_DISKS: &str = "Accepted for compatibility; there are no disks to which it could apply.";
const NO_REPLICAS: &str = "Accepted for compatibility; object storage replicates.";
const NO_TIERS: &str = "Accepted for compatibility; everything lies in object storage.";
const FOREVER: &str = "9223372036854775807";
const PACKED_ANEW: &str =
    "How hard batches are packed where compression.type has them packed anew.";

/// Kafka 4's topic settings, by name.
pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "cleanup.policy",
        "delete",
        Kind::List(&["delete", "compact"]),
        "What becomes of old records: deleted, or compacted to the newest one per key.",
    ),
    setting(
        "compression.gzip.level",
        "-1",
        Kind::Int(-1..=9),
        PACKED_ANEW,
    ),
    setting(
        "compression.lz4.level",
        "9",
        Kind::Int(1..=17),
        "Accepted for compatibility; there is one level of lz4 here.",
    ),
    setting(
        "compression.type",
        "producer",
        Kind::Text(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        "How batches are packed: as their producers did, or so, whatever they did.",
    ),
    setting(
        "compression.zstd.level",
        "3",
        Kind::Int(-131_072..=22),
        PACKED_ANEW,
    ),
    setting(
        "delete.retention.ms",
        "86400000",
        Kind::Long(0..=i64::MAX),
        "How long compaction keeps tombstones, in milliseconds.",
    ),
    setting(
        "file.delete.delay.ms",
        "60000",
        Kind::Long(0..=i64::MAX),
        NO_DISKS,
    ),
    setting(
        "flush.messages",
        FOREVER,
        Kind::Long(1..=i64::MAX),
        NO_DISKS,
    ),
    setting("flush.ms", FOREVER, Kind::Long(0..=i64::MAX), NO_DISKS),
    setting(
        "follower.replication.throttled.replicas",
        "",
        Kind::List(&[]),
        NO_REPLICAS,
    ),
    setting(
        "index.interval.bytes",
        "4096",
        Kind::Int(0..=i32::MAX),
        NO_DISKS,
    ),
    setting(
        "leader.replication.throttled.replicas",
        "",
        Kind::List(&[]),
        NO_REPLICAS,
    ),
    setting(
        "local.retention.bytes",
        "-2",
        Kind::Long(-2..=i64::MAX),
        NO_TIERS,
    ),
    setting(
        "local.retention.ms",
        "-2",
        Kind::Long(-2..=i64::MAX),
        NO_TIERS,
    ),
    setting(
        "max.compaction.lag.ms",
        FOREVER,
        Kind::Long(1..=i64::MAX),
        "The longest a record stays uncompacted, in milliseconds.",
    ),
    setting(
        "max.decompressed.message.bytes",
        "2147483639",
        Kind::Int(0..=i32::MAX),
        "The largest record taken from a packed batch, in bytes as it unpacks.",
    ),
    setting(
        "max.message.bytes",
        "1048588",
        Kind::Int(0..=i32::MAX),
        "The largest record batch taken, in bytes, as it was packed.",
    ),
    setting(
        "message.timestamp.after.max.ms",
        "3600000",
        Kind::Long(0..=i64::MAX),
        "How far a record's timestamp may lie in the future, in milliseconds.",
    ),
    setting(
        "message.timestamp.before.max.ms",
        FOREVER,
        Kind::Long(0..=i64::MAX),
        "How far a record's timestamp may lie in the past, in milliseconds.",
    ),
    setting(
        "message.timestamp.type",
        "CreateTime",
        Kind::Text(&["CreateTime", "LogAppendTime"]),
        "Whether records keep their producer's timestamp or get that of their arrival.",
    ),
    setting(
        "min.cleanable.dirty.ratio",
        "0.5",
        Kind::Ratio,
        "How much must be uncompacted before compaction begins.",
    ),
    setting(
        "min.compaction.lag.ms",
        "0",
        Kind::Long(0..=i64::MAX),
        "How long a record stays uncompacted at least, in milliseconds.",
    ),
    setting(
        "min.insync.replicas",
        "1",
        Kind::Int(1..=i32::MAX),
        NO_REPLICAS,
    ),
    setting(
        "penstock.trust.producers",
        "false",
        Kind::Boolean,
        "Whether packed batches are taken for what their producers say of them, without a look inside.",
    ),
    setting("preallocate", "false", Kind::Boolean, NO_DISKS),
    setting("remote.log.copy.disable", "false", Kind::Boolean, NO_TIERS),
    setting(
        "remote.log.delete.on.disable",
        "false",
        Kind::Boolean,
        NO_TIERS,
    ),
    setting("remote.storage.enable", "false", Kind::Boolean, NO_TIERS),
    setting(
        "retention.bytes",
        "-1",
        Kind::Long(-1..=i64::MAX),
        "Bytes of a partition kept; -1 for no limit.",
    ),
    setting(
        "retention.ms",
        "604800000",
        Kind::Long(-1..=i64::MAX),
        "How long records are kept, in milliseconds; -1 for ever.",
    ),
    setting(
        "segment.bytes",
        "1073741824",
        Kind::Int(1_048_576..=i32::MAX),
        NO_DISKS,
    ),
    setting(
        "segment.index.bytes",
        "10485760",
        Kind::Int(4..=i32::MAX),
        NO_DISKS,
    ),
    setting("segment.jitter.ms", "0", Kind::Long(0..=i64::MAX), NO_DISKS),
    setting(
        "segment.ms",
        "604800000",
        Kind::Long(1..=i64::MAX),
        NO_DISKS,
    ),
    setting(
        "unclean.leader.election.enable",
        "false",
        Kind::Boolean,
        NO_REPLICAS,
    ),
];
