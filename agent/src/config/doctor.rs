//! Options of `penstock doctor`.

use std::path::PathBuf;

use clap::Args;

use super::StoreUrl;
use super::words::word;

#[derive(Args, Debug)]
pub struct Doctor {
    /// Bucket: memory:, file:///path or s3://bucket/prefix
    #[arg(long, value_name = "URL", value_parser = word("s3://bucket/prefix"))]
    pub bucket: String,
    /// Metadata store: memory:, redb:///path, postgres://user:password@host/database or fdb:///path
    #[arg(long, value_name = "URL", hide_default_value = true)]
    pub store: Option<StoreUrl>,
    /// S3 endpoint, for everything that is not AWS [default: from the AWS configuration]
    #[arg(long, value_name = "URL", value_parser = word("http://127.0.0.1:9000"))]
    pub s3_endpoint: Option<String>,
    /// TOML file whose keys are the long flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Log filter, as in `info` or `penstock=debug`
    #[arg(long, value_name = "FILTER", default_value = "warn", value_parser = word("info"))]
    pub log: String,
}
