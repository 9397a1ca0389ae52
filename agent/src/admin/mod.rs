//! Topics made, changed, removed and described.

mod broker_config;
mod changes;
mod configs_told;
pub(crate) mod create_partitions;
pub(crate) mod create_topics;
pub(crate) mod delete_topics;
pub(crate) mod describe_configs;
mod mode;
mod new_topic;
mod refused;

#[cfg(test)]
mod tests;
