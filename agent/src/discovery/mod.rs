//! What clients ask first: what is spoken here, which brokers there are, and where partitions are served.

pub(crate) mod api_versions;
pub(crate) mod cluster_metadata;
pub(crate) mod describe_cluster;
pub(crate) mod find_coordinator;
mod operations;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
