//! Options of `penstock agent`.

use std::net::SocketAddr;

use clap::Args;

use super::address::address;
use super::words::word;
use super::{Common, HostPort, Named, PeerTlsFiles, Role, StoreUrl};

#[derive(Args, Debug)]
pub struct Agent {
    /// Bucket: memory:, file:///path or s3://bucket/prefix
    #[arg(long, value_name = "URL", value_parser = word("s3://bucket/prefix"))]
    pub bucket: String,
    /// Metadata store, carried inside this process: memory:, redb:///path, postgres://user:password@host/database
    /// or fdb:///path; or give --metadata
    #[arg(long, value_name = "URL", hide_default_value = true)]
    pub store: Option<StoreUrl>,
    /// Processes of `penstock metadata` that hold the order or know who does, with commas between them
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    pub metadata: Vec<HostPort>,
    /// Where other agents reach the metadata carried inside this process [default: nowhere; over a store that
    /// processes share, a free port of the same machine if clients connect from there alone]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub peer_listen: Option<SocketAddr>,
    /// Host and port that other agents are told for --peer-listen [default: the address listened on]
    #[arg(long, value_name = "HOST:PORT")]
    pub peer_advertise: Option<HostPort>,
    #[command(flatten)]
    pub peer_tls: PeerTlsFiles,
    /// Where Kafka clients connect; of several, each has a name, as in internal://ADDR,external://ADDR
    #[arg(
        long,
        value_name = "ADDR,...",
        value_delimiter = ',',
        required = true,
        value_parser = Named::address
    )]
    pub listen: Vec<Named<SocketAddr>>,
    /// What clients may do here; those that this agent refuses are sent to others
    #[arg(
        long,
        value_name = "ROLE,...",
        value_delimiter = ',',
        value_enum,
        default_value = "produce,fetch"
    )]
    pub roles: Vec<Role>,
    /// Where metrics and health are served
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub http: Option<SocketAddr>,
    /// Create topics that clients name in a Metadata request
    #[arg(long, value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set)]
    pub auto_create_topics_enable: bool,
    #[command(flatten)]
    pub common: Common,
}
