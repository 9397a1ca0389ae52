//! Producer ids. Transactions come later.

pub(crate) mod init_producer_id;
mod producer_ids;

pub(crate) use producer_ids::ProducerIds;
