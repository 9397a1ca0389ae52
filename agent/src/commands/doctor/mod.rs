//! `penstock doctor`: looks at a bucket and a metadata store as an agent would, and says in sentences what is wrong and
//! what to do. Called by `commands`.

#[cfg(feature = "fdb")]
mod fdb;
mod identity;
mod metadata_file;
mod objects;
#[cfg(feature = "postgres")]
mod postgres;
mod report;
mod run;
mod s3;
mod space;
mod still_open;
mod writes;

pub(super) use self::run::run;
