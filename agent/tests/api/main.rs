//! One file per Kafka API: a real socket to the real binary, with everything in memory.

#[path = "../support/mod.rs"]
pub mod support;

mod shapes;

mod api_versions;
mod connection;
mod create_partitions;
mod create_topics;
mod crowd;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod fetch;
mod find_coordinator;
mod idempotence;
mod list_offsets;
mod many_batches;
mod metadata;
mod offset_for_leader_epoch;
mod produce;
mod rounds;
mod smoke;
mod truth;
