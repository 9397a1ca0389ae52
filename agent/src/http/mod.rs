//! Metrics and health over HTTP, for Prometheus and whatever watches containers. Started by `server.rs`.

mod figures;
mod moving;
mod pages;
mod serve;
mod store_calls;

pub(crate) use self::pages::{AgentPages, Pages};
pub(crate) use self::serve::serve;
pub(crate) use self::store_calls::{Failure, StoreCalls};
