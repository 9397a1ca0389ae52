//! What a person typed, as typed values with units and limits. The only reader of flags, environment and config file:
//! a flag beats its variable `PENSTOCK_<FLAG>`, the variable beats the key in `--config FILE`.

mod addressee;
mod file;
mod listeners;
mod records;
mod values;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use self::listeners::{Listen, Named, can_be_told, listeners};
pub use self::records::Records;
pub use self::values::{Bytes, CompressionLevel, HostPort, Preset, Role, StoreUrl};
use crate::zones::ClientZones;

/// What was typed cannot be meant: a sentence for whoever typed it. Ends with the exit code that wrong flags have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

impl Misuse {
    /// As an error of a command.
    pub(crate) fn say(sentence: impl Into<String>) -> anyhow::Error {
        Self(sentence.into()).into()
    }
}

/// A Kafka-protocol broker without disks.
///
/// Speaks to standard Kafka clients, keeps records in object storage and their order in a metadata store.
#[derive(Debug, Parser)]
#[command(
    name = "penstock",
    version = version(),
    propagate_version = true,
    max_term_width = 110
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Of which version this is, and which versions' stores and logs it can read.
fn version() -> String {
    let (version, newest) = (env!("CARGO_PKG_VERSION"), metadata::WRITER_LEVEL);
    match newest {
        1 => format!("{version} (metadata of feature level 1)"),
        _ => format!("{version} (metadata of feature levels 1 to {newest})"),
    }
}

/// What to run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole broker in this process: agent, metadata and a folder as bucket, with nothing else installed
    Dev(Dev),
    /// Run one agent over a bucket and a metadata store
    Agent(Agent),
    /// Hold the order of offsets for agents elsewhere, or wait to take over from the process that does
    Metadata(Metadata),
    /// Check a bucket and a metadata store, and say what is wrong and what to do
    Doctor(Doctor),
}

#[derive(Args, Debug)]
pub struct Dev {
    /// Where Kafka clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9092")]
    pub listen: SocketAddr,
    /// Where metrics and health are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9644")]
    pub http: SocketAddr,
    /// Folder for the metadata, and for the bucket unless --bucket says otherwise
    #[arg(long, value_name = "DIR", default_value = "./penstock-data")]
    pub data: PathBuf,
    /// Bucket: memory:, file:///path or s3://bucket/prefix [default: a folder under --data]
    #[arg(long, value_name = "URL")]
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

#[derive(Args, Debug)]
pub struct Agent {
    /// Bucket: memory:, file:///path or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
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
    #[arg(long, value_name = "ADDR")]
    pub peer_listen: Option<SocketAddr>,
    /// Host and port that other agents are told for --peer-listen [default: the address listened on]
    #[arg(long, value_name = "HOST:PORT")]
    pub peer_advertise: Option<HostPort>,
    #[command(flatten)]
    pub peer_tls: PeerTlsFiles,
    /// Where Kafka clients connect; of several, each has a name, as in internal://ADDR,external://ADDR
    #[arg(long, value_name = "ADDR,...", value_delimiter = ',', required = true)]
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
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// Create topics that clients name in a Metadata request
    #[arg(long, value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set)]
    pub auto_create_topics_enable: bool,
    #[command(flatten)]
    pub common: Common,
}

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
    #[arg(long, value_name = "URL")]
    pub bucket: Option<String>,
    /// S3 endpoint, for everything that is not AWS [default: from the AWS configuration]
    #[arg(long, value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// Where agents connect
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Host and port that agents and other candidates are told [default: the address listened on]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<HostPort>,
    /// Where metrics and health are served
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
    /// What topics, partitions and idempotent producers of the whole cluster may take in memory, about, where the order is
    /// decided, 64MiB to 3GiB; past it new ones are refused. To be the same for all that may hold the order [default: a
    /// quarter of the memory there is, 3GiB at the most]
    #[arg(long, value_name = "SIZE", value_parser = Bytes::of_state)]
    pub state_memory: Option<Bytes>,
    #[command(flatten)]
    pub peer_tls: PeerTlsFiles,
    /// TOML file whose keys are the long flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Log filter, as in `info` or `penstock=debug`
    #[arg(long, value_name = "FILTER", default_value = "info")]
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

/// Mutual TLS between Penstock's own processes: all three or none.
#[derive(Args, Debug)]
pub struct PeerTlsFiles {
    /// Certificate of this process for its peers, PEM [default: peers speak without TLS]
    #[arg(long, value_name = "FILE")]
    pub peer_tls_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE")]
    pub peer_tls_key: Option<PathBuf>,
    /// The authority that signed the certificates of all peers, PEM
    #[arg(long, value_name = "FILE")]
    pub peer_tls_ca: Option<PathBuf>,
}

/// The files of [`PeerTlsFiles`], all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub authority: PathBuf,
}

impl PeerTlsFiles {
    /// # Errors
    /// When only some are named.
    pub fn files(self) -> anyhow::Result<Option<PeerTls>> {
        match (self.peer_tls_cert, self.peer_tls_key, self.peer_tls_ca) {
            (None, None, None) => Ok(None),
            (Some(certificate), Some(key), Some(authority)) => Ok(Some(PeerTls {
                certificate,
                key,
                authority,
            })),
            _ => Err(Misuse::say(
                "give --peer-tls-cert, --peer-tls-key and --peer-tls-ca together, or none of them",
            )),
        }
    }
}

#[derive(Args, Debug)]
pub struct Doctor {
    /// Bucket: memory:, file:///path or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    pub bucket: String,
    /// Metadata store: memory:, redb:///path, postgres://user:password@host/database or fdb:///path
    #[arg(long, value_name = "URL", hide_default_value = true)]
    pub store: Option<StoreUrl>,
    /// S3 endpoint, for everything that is not AWS [default: from the AWS configuration]
    #[arg(long, value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// TOML file whose keys are the long flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Log filter, as in `info` or `penstock=debug`
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    pub log: String,
}

/// Options of every broker.
#[derive(Args, Debug)]
pub struct Common {
    /// Host and port that clients are told to connect to; of several listeners, each as in external://HOST:PORT
    /// [default: the address listened on]
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    pub advertise: Vec<Named<HostPort>>,
    /// Broker id in protocol replies [default: 1, or made from the address clients are told if agents share an order]
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i32).range(0..))]
    pub node_id: Option<i32>,
    /// Availability zone of this agent
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// Zones of clients that do not name theirs in `client.id`, by the range their address is in or the listener they
    /// come by, as in 10.0.1.0/24=a,external=b
    #[arg(long, value_name = "RANGE|LISTENER=ZONE,...")]
    pub client_zones: Option<ClientZones>,
    /// How latency is traded against the cost of PUTs
    #[arg(long, value_name = "PRESET", value_enum, default_value_t)]
    pub preset: Preset,
    /// Raw size at which a segment is stored without waiting longer
    #[arg(long, value_name = "SIZE", default_value = "8MiB")]
    pub segment_bytes: Bytes,
    /// Record batches that may wait for their ack, together; then clients are slowed down
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = Bytes::at_least_a_mebibyte)]
    pub buffer_memory: Bytes,
    /// Record batches kept in memory for readers, at most; given back when idle
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub cache_memory: Bytes,
    /// What topics, partitions and idempotent producers of the whole cluster may take in memory, about, where the order is
    /// decided, 64MiB to 3GiB; past it new ones are refused. To be the same for all that may hold the order [default: a
    /// quarter of the memory there is, 3GiB at the most]
    #[arg(long, value_name = "SIZE", value_parser = Bytes::of_state)]
    pub state_memory: Option<Bytes>,
    /// Compression of stored blocks that clients did not compress: off, or a zstd level
    #[arg(long, value_name = "off|1..19", default_value = "1")]
    pub compression: CompressionLevel,
    /// Partitions of a topic whose creator does not say
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pub num_partitions: i32,
    /// Client connections at a time
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_max: u32,
    /// Client connections at a time from one address; a /64 of IPv6 counts as one [default: half of --connections-max]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_max_per_address: Option<u32>,
    /// S3 endpoint, for everything that is not AWS [default: from the AWS configuration]
    #[arg(long, value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// How long a stopping agent waits for its clients
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub shutdown_grace: u64,
    /// TOML file whose keys are the long flags
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Log filter, as in `info` or `penstock=debug`
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// Reads the command line, the environment and the config file.
///
/// # Errors
/// With what to tell the user, and the exit code: also for `--help` and `--version`.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = with_variables(Cli::command());
    let command = match file::named(&command, &arguments) {
        Some(path) => file::apply(command, &path)?,
        None => command,
    };
    let matches = command.try_get_matches_from(arguments)?;
    let mut command = Cli::from_arg_matches(&matches)?.command;
    addressee::settle(&mut command, &matches)?;
    Ok(command)
}

/// On the command line alone: left in a file or in the environment, they would be said again at each start.
const SAID_ONCE: &[&str] = &["say", "records", "accept_older_store", "force"];

/// Whether it has neither variable nor key. So it is with whom `penstock metadata` says something to: that variable is the
/// one of agents beside it.
fn is_typed(subcommand: &str, argument: &str) -> bool {
    SAID_ONCE.contains(&argument) || (subcommand, argument) == ("metadata", "metadata")
}

/// Gives every option its variable.
fn with_variables(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|subcommand| {
        let name = subcommand.get_name().to_owned();
        subcommand.mut_args(|argument| {
            if is_typed(&name, argument.get_id().as_str()) {
                return argument;
            }
            let variable = format!("PENSTOCK_{}", argument.get_id().as_str().to_uppercase());
            argument.env(variable).hide_env_values(true)
        })
    })
}

#[cfg(test)]
mod tests;
