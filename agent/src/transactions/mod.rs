//! Producer ids. Transactions come later.

pub(crate) mod init_producer_id;
