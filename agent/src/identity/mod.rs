//! Whether bucket and metadata belong together. Records lie in the bucket and their order in the metadata: an agent that
//! joins one to a stranger would acknowledge what nobody can read. Checked before anybody is served (`settle`), and looked at
//! again for as long as the agent runs (`look_again`). What each side says is compared in one place (`judge`), and sentences
//! for the operator call the two by their `names`. Used by `server`, `http` and `penstock doctor`.

mod check;
mod judge;
mod look_again;
mod names;
mod settle;

#[cfg(test)]
mod tests;

pub(crate) use self::check::check_bucket;
pub(crate) use self::judge::{Found, Join, Known, emptied, judge, other_cluster, unreadable};
pub(crate) use self::look_again::LookAgain;
pub(crate) use self::names::{Names, went_back};
pub(crate) use self::settle::Identity;
