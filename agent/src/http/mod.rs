//! Metrics and health over HTTP, for Prometheus and whatever watches containers. Started by `server.rs`.

mod figures;
mod moving;
mod pages;
mod serve;

pub(crate) use self::pages::{AgentPages, Pages};
pub(crate) use self::serve::serve;
