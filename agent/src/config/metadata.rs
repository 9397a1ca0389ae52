//! Options of `penstock metadata`, and the words that are said to a cluster with it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::address::address;
use super::words::word;
use super::{HostPort, PeerTlsFiles, Records, StateMemory, StoreUrl};

#[derive(Args, Debug)]
pub struct Metadata {
    /// Said once, to a store that nobody serves from or, with --metadata, to the processes that do
    #[arg(value_enum)]
    pub say: Option<Say>,
    /// Metadata store: memory:, redb:///path, postgres://user:password@host/database or fdb:///path
    #[arg(long, value_name = "URL", hide_default_value = true)]
    pub store: Option<StoreUrl>,
    /// What mark-lost gives up, as the log names what cannot be read; on the command line alone
    #[arg(
        long,
        value_name = "TOPIC:PARTITION:FIRST-LAST",
        requires = "say",
        required_if_eq("say", "mark-lost")
    )]
    pub records: Option<Records>,
    /// Have mark-lost give up records that can be read, too, without a look into --bucket; on the command line alone
    #[arg(long, requires = "say")]
    pub force: bool,
    /// Processes of `penstock metadata` to say it to instead, with commas between them; on the command line alone
    #[arg(
        long,
        value_name = "HOST:PORT,...",
        value_delimiter = ',',
        requires = "say"
    )]
    pub metadata: Vec<HostPort>,
    /// Go on from a store that went back in time, say what that loses, and end; give --bucket, too; on the command line
    /// alone
    #[arg(long, conflicts_with_all = ["say", "metadata"])]
    pub accept_older_store: bool,
    /// The agents' bucket, where is remembered how far the metadata had come: with it a store that is an older copy of
    /// itself is noticed [default: none, and it may go unnoticed]
    #[arg(long, value_name = "URL", value_parser = word("s3://bucket/prefix"))]
    pub bucket: Option<String>,
    /// S3 endpoint, for everything that is not AWS [default: from the AWS configuration]
    #[arg(long, value_name = "URL", value_parser = word("http://127.0.0.1:9000"))]
    pub s3_endpoint: Option<String>,
    /// Where agents connect
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// Host and port that agents and other candidates are told [default: the address listened on]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<HostPort>,
    /// Where metrics and health are served
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub http: Option<SocketAddr>,
    #[command(flatten)]
    pub state: StateMemory,
    #[command(flatten)]
    pub peer_tls: PeerTlsFiles,
    /// TOML file whose keys are the long flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Log filter, as in `info` or `penstock=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = word("info"))]
    pub log: String,
}

/// What an operator says to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Say {
    /// All processes are of this version: the cluster may write what older ones cannot read
    Finalize,
    /// After --accept-older-store: what was lost is given up, and its objects may be deleted
    ReleaseHold,
    /// Give --records up, which cannot be read and never will be, as a look into --bucket shows: readers step over them
    MarkLost,
}
