//! Penstock as those see it who operate it: the real binary as a child process, on real sockets, over real folders and
//! file systems. One file per concern.
//!
//! Tests that lack something say `SKIPPED` on standard error, past the harness' capture; with `CI=true` they fail
//! instead. `PENSTOCK_KIT` names the folder whose `bin/` holds servers of S3, `target/kit` unless told otherwise.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what goes wrong in a helper of tests fails the test"
)]

#[path = "../support/mod.rs"]
pub mod support;
use support::{processes, tools};

mod bucket;
mod bucket_away;
mod bucket_identity;
mod configuration;
mod damage;
mod damage_given_up;
mod damage_told;
mod damaged_index;
/// As a module that others could use, for these tests need only a part of it.
#[cfg(feature = "postgres")]
#[path = "../../../metadata/src/kv/postgres/tests/server.rs"]
pub mod database;
mod disk_full;
mod displaced;
mod doctor;
mod failed_put;
mod footprint;
#[cfg(feature = "fdb")]
mod foundationdb;
mod hostile;
mod in_flight;
mod lifecycle;
mod network;
mod older_store;
mod operators;
mod panics;
mod peer_tls;
mod placement;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod shared_order;
mod slow_clients;
mod state_memory;
mod tail;
