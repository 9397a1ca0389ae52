//! A look-alike of `libfdb_c.so`, for tests alone: the C functions that the crate `foundationdb` needs, over clusters that
//! live in this process' memory and fail on demand. `.ci/test fdb` builds it and puts it where the linker looks for the
//! real one, so the tests run Penstock's own backend and the real crate.
//!
//! Imitated: choosing the API version, the network thread that completes futures and calls back, databases by cluster
//! file, versions, reads as of a read version, reading one's own writes, serializable and snapshot reads, conflict ranges
//! checked at commit, the order of mutations, `get_range` with limits, byte targets, streaming modes and reverse,
//! timeouts, the limits (5 s, 10 MB, 100 kB, 10 kB), errors deferred to the next operation, results that are unknown with
//! the transaction landed, lost, or landing later, and the abort that a client deserves that does not stop its network
//! before the process ends.
//!
//! Not imitated: real time behind versions (it passes only on command), selectors with offsets other than 1, atomic
//! operations, watches, versionstamps, tenants, the system keys, and everything about servers.
//!
//! Faults are steered by `faults`, through the exported `fdb_look_alike_control` or the variable
//! `FDB_LOOK_ALIKE_FAULTS`.

#![expect(
    unsafe_code,
    reason = "a C interface: pointers come in, pointers go out, and each function says why they are good"
)]

mod cluster;
mod database;
mod errors;
mod faults;
mod future;
mod network;
mod store;
mod transaction;
