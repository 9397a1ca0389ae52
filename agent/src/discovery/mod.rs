//! What clients ask first: what is spoken here, which brokers there are, and where partitions are served.

pub(crate) mod api_versions;
mod auto_create;
mod cluster_metadata;
pub(crate) mod describe_cluster;
pub(crate) mod find_coordinator;
mod operations;
mod shared;
mod topics;

pub(crate) use cluster_metadata::ClusterMetadata;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod many;
#[cfg(test)]
mod raced;
#[cfg(test)]
mod tests;
