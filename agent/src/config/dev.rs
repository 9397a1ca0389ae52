//! Options of `penstock dev`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::address::{address, sole_address};
use super::words::word;
use super::{Common, StoreUrl};

#[derive(Args, Debug)]
pub struct Dev {
    /// Where Kafka clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9092", value_parser = sole_address)]
    pub listen: SocketAddr,
    /// Where metrics and health are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9644", value_parser = address)]
    pub http: SocketAddr,
    /// Folder for the metadata, and for the bucket unless --bucket says otherwise
    #[arg(long, value_name = "DIR", default_value = "./penstock-data")]
    pub data: PathBuf,
    /// Bucket: memory:, file:///path or s3://bucket/prefix [default: a folder under --data]
    #[arg(long, value_name = "URL", value_parser = word("s3://bucket/prefix"))]
    pub bucket: Option<String>,
    /// Metadata store: memory:, redb:///path, postgres://user:password@host/database or fdb:///path [default: a
    /// file under --data]
    #[arg(long, value_name = "URL", hide_default_value = true)]
    pub store: Option<StoreUrl>,
    /// Create topics that clients name in a Metadata request
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub auto_create_topics_enable: bool,
    #[command(flatten)]
    pub common: Common,
}
