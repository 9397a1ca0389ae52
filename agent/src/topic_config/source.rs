//! Where Kafka's replies say that a setting's value comes from.

pub(crate) const TOPIC: i8 = 1;
pub(crate) const BROKER: i8 = 4;
pub(crate) const DEFAULT: i8 = 5;
