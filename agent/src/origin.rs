//! Whom a connection is counted for where room is shared; peers are counted in the same way.

pub(crate) use metadata::Origin;
