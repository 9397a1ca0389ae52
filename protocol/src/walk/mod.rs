//! Records passed over in one go, none of them taken apart: whether they are what their batch says, and what they say of
//! themselves. Packed ones are unpacked a piece at a time.

mod by_time;
mod numbers;
mod pass;
mod record;

#[cfg(test)]
mod tests;

pub use by_time::{first_at_or_after, first_with_max_timestamp};
pub use pass::{walk, walk_and_unpack};
pub use record::Seen;
