//! What was logged lately, of what peers may make happen at any rate; the metadata's lines are held back in the same way.

pub(crate) use metadata::Said;
