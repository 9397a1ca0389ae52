//! Two versions of the product side by side, as real processes over one store: the binary of this tree and one of the next
//! level, in both roles, through upgrades, the way back, and `penstock metadata finalize`. `run` beside this file builds
//! both and says where they are.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what goes wrong in a helper of tests fails the test"
)]

#[path = "../support/mod.rs"]
pub mod support;

mod cluster;
mod file;
/// A PostgreSQL of the tests' own.
#[cfg(feature = "postgres")]
#[path = "../../../metadata/src/kv/postgres/tests/server.rs"]
pub mod server;
#[cfg(feature = "postgres")]
mod shared;
mod versions;
