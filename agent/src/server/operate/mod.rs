//! What an operator says once to a metadata store that nobody serves from, or to the processes that do: `penstock metadata
//! finalize`, `release-hold`, `mark-lost` and `--accept-older-store`. Called by `commands/metadata`.

mod answers;
mod look;
mod operation;
mod processes;
mod readable;
mod run;
mod store;

pub use self::operation::{IfReadable, Operated, Operation};
pub use self::run::operate;
