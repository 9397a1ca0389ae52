//! The attacks, one module for each kind. Each function makes ready what an attack needs at the broker, and says who then
//! does what.

pub(super) mod batches;
pub(super) mod bombs;
pub(super) mod fetches;
pub(super) mod frames;
pub(super) mod paces;
pub(super) mod packing;
pub(super) mod replies;
pub(super) mod topics;
