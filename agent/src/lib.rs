//! The agent: speaks Kafka, holds nothing that cannot be lost.
//!
//! `server` starts everything and stops it in order; `connection` reads frames and writes replies; `dispatch` finds the
//! room; a request then reads top to bottom through one folder: `produce`, `fetch`, `discovery`, `admin`, `offsets`,
//! `transactions`. All rooms take a `call`, and use `storage` (the bucket), `context` (metadata, clock, node) and `refusal`
//! (errors). What nobody asks for is done in turns of `jobs`.

pub mod clock;
pub mod commands;
pub mod config;
pub mod context;
pub mod execution;
pub mod metrics;
pub mod random;
mod reading;
pub mod server;
pub mod storage;
pub mod tasks;
pub mod zones;

mod access;
mod admin;
mod admission;
mod arriving;
mod brokers;
mod call;
mod connection;
mod damage;
mod discovery;
mod dispatch;
mod fetch;
mod http;
mod identity;
mod jobs;
mod making;
mod named;
mod offsets;
mod origin;
mod own_thread;
mod produce;
mod producer_ids;
mod refusal;
#[cfg(test)]
mod rights;
mod said;
mod topic_config;
mod topic_id;
mod topic_name;
mod transactions;
mod unpacking;
