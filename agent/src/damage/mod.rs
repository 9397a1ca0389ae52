//! Committed records that cannot be read: never silence (law 12). Each reader that meets them is answered with
//! KAFKA_STORAGE_ERROR and counted, and the log names each place once in a while (`found`); what an operator gave up is
//! stepped over (`given_up`).

mod found;
mod given_up;

pub(crate) use found::{Damage, or_refusal, readable};
pub(crate) use given_up::{GivenUp, stepped_over};
