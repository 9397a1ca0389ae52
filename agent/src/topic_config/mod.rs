//! The settings of topics: Kafka's names, defaults and bounds, and what those mean that anything here looks at. Used by
//! `admin` and `produce`. Settings that concern disks and replicas are accepted and echoed, and mean nothing here.

mod check;
mod kind;
mod settings;
pub(crate) mod source;
mod table;

#[cfg(test)]
mod tests;

pub(crate) use check::check;
pub(crate) use kind::Kind;
pub(crate) use settings::{TimestampType, TopicSettings};
pub(crate) use table::{SETTINGS, Setting, find};
