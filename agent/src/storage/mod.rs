//! The bucket: segments and their format, keys, requests with their retries, and a cache of blocks. Every room may use
//! it; it knows no room.

mod availability;
mod bounded;
mod cache;
mod coming;
mod download;
mod error;
mod file_reads;
mod hedge;
mod kept;
mod open;
pub mod paths;
mod remembered;
mod room;
pub(crate) mod s3;
pub mod segment;
mod store;
mod sweep;
mod trial;
mod witness;

#[cfg(test)]
pub(crate) mod tests;

pub use cache::Cache;
pub use coming::{Awaited, Coming, InLine};
pub use download::{Place, RawBlock};
pub use error::{ErrorKind, StoreError};
pub use kept::Source;
pub use open::{OpenError, StoreOptions};
pub use store::{Cause, Store};
pub(crate) use sweep::Sweep;
pub use trial::Trial;
pub use witness::{Witness, WitnessError, WitnessVersion};
