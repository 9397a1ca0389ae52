//! The store over buckets that fail, and the cache over one that counts. Time stands still.

mod availability;
mod cache;
mod damage;
pub(crate) mod faulty;
mod open;
mod store;
