//! Questions about offsets.

mod bounds;
pub(crate) mod list_offsets;
pub(crate) mod offset_for_leader_epoch;
mod search;

#[cfg(test)]
mod tests;
