//! Values of options, with their units and what is said about wrong ones.

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{TypedValueParser, ValueParserFactory};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
#[cfg(feature = "postgres")]
use metadata::kv::PostgresUrl;

use super::place;

/// `HOST:PORT` as clients are told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl HostPort {
    /// Whether it stands for all addresses of a machine, `0.0.0.0` or `::`, to which nobody elsewhere could connect.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        let address: Result<IpAddr, _> = self.host.parse();
        address.is_ok_and(|address| address.is_unspecified())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let say = || {
            "not a host and port: write it as in broker.example.com:9092 or [2001:db8::1]:9092, with a port from 1 to 65535"
                .to_string()
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(say)?;
        let port = port
            .parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(say)?;
        // Kafka carries IPv6 hosts without their brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let none_has = |c: char| c.is_whitespace() || "[]/@,?#".contains(c);
        let is_v6 = || host.parse::<Ipv6Addr>().is_ok() || host.contains('%');
        if host.is_empty() || host.contains(none_has) || (host.contains(':') && !is_v6()) {
            return Err(say());
        }
        Ok(Self {
            host: host.to_string(),
            port,
        })
    }
}

/// Where the metadata lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// Lost when the process ends.
    Memory,
    /// One file, one process.
    Redb(PathBuf),
    /// A schema of a database.
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresUrl>),
    /// A cluster, and the prefix of our keys in it.
    #[cfg(feature = "fdb")]
    FoundationDb {
        cluster_file: PathBuf,
        prefix: String,
    },
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Self::postgres(text);
        }
        if let Some(rest) = text.strip_prefix("fdb:") {
            return foundation_db(rest);
        }
        match text.strip_prefix("redb://") {
            Some(path) if path.starts_with('/') && path.len() > 1 => Ok(Self::Redb(path.into())),
            _ => Err(
                "not a store: write memory: or redb:///absolute/path/to/file or postgres://user:password@host/database"
                    .to_string(),
            ),
        }
    }
}

/// Without a password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Redb(path) => write!(f, "redb://{}", path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => url.fmt(f),
            #[cfg(feature = "fdb")]
            Self::FoundationDb {
                cluster_file,
                prefix,
            } => write!(f, "fdb://{}?prefix={prefix}", cluster_file.display()),
        }
    }
}

impl StoreUrl {
    /// Whether several processes use it at a time, each of which may hold the order.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Memory | Self::Redb(_) => false,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => true,
            #[cfg(feature = "fdb")]
            Self::FoundationDb { .. } => true,
        }
    }

    #[cfg(feature = "postgres")]
    fn postgres(text: &str) -> Result<Self, String> {
        Ok(Self::Postgres(Box::new(text.parse()?)))
    }

    #[cfg(not(feature = "postgres"))]
    fn postgres(_: &str) -> Result<Self, String> {
        Err("this build knows no PostgreSQL: build it with the cargo feature postgres".to_string())
    }
}

impl ValueParserFactory for StoreUrl {
    type Parser = StoreParser;

    fn value_parser() -> StoreParser {
        StoreParser::default()
    }
}

/// Reads a store and says what is wrong with it without repeating it, for it may hold a password.
#[derive(Clone, Debug, Default)]
pub struct StoreParser {
    /// The config file, if the store may be from there.
    file: Option<PathBuf>,
}

impl StoreParser {
    pub(super) fn with(file: &Path) -> Self {
        let file = Some(file.to_owned());
        Self { file }
    }
}

impl TypedValueParser for StoreParser {
    type Value = StoreUrl;

    fn parse_ref(
        &self,
        command: &clap::Command,
        option: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<StoreUrl, clap::Error> {
        self.parse_ref_(command, option, value, ValueSource::CommandLine)
    }

    fn parse_ref_(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<StoreUrl, clap::Error> {
        let read = value.to_string_lossy().parse();
        read.map_err(|said: String| {
            let place = place::shown("--store <URL>", source, self.file.as_deref());
            let said = format!("invalid value for '{place}': {said}");
            command.clone().error(ErrorKind::ValueValidation, said)
        })
    }
}

/// What follows `fdb:`.
#[cfg(feature = "fdb")]
fn foundation_db(rest: &str) -> Result<StoreUrl, String> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, "prefix=penstock"));
    let path = path.strip_prefix("//");
    let path = path.filter(|path| path.starts_with('/') && path.len() > 1);
    let prefix = query.strip_prefix("prefix=");
    let prefix = prefix.filter(|prefix| !prefix.is_empty() && !prefix.contains(['&', '\0']));
    let store = |(cluster_file, prefix): (&str, &str)| StoreUrl::FoundationDb {
        cluster_file: cluster_file.into(),
        prefix: prefix.to_string(),
    };
    path.zip(prefix).map(store).ok_or_else(|| {
        "not a store in FoundationDB: write fdb:///absolute/path/to/fdb.cluster or fdb:///path?prefix=NAME"
            .to_string()
    })
}

/// What follows `fdb:` means nothing to this binary.
#[cfg(not(feature = "fdb"))]
fn foundation_db(_rest: &str) -> Result<StoreUrl, String> {
    let say = "this penstock was built without FoundationDB: install FoundationDB's client library and libclang, and \
               build it with cargo build --release -p penstock --features fdb";
    Err(say.to_string())
}

/// How blocks that clients did not compress are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionLevel {
    Off,
    Zstd(i32),
}

impl FromStr for CompressionLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<i32>() {
            _ if text == "off" => Ok(Self::Off),
            Ok(level @ 1..=19) => Ok(Self::Zstd(level)),
            _ => Err("not a compression: write off, or a zstd level from 1 to 19".to_string()),
        }
    }
}

/// What clients may do at an agent. There is no other work yet that an agent could be spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Takes what producers send.
    Produce,
    /// Serves consumers.
    Fetch,
}

/// How latency is traded against the cost of PUTs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Segments wait up to 250 ms: at most about 4 PUT/s while traffic is small.
    Eco,
    /// Up to 100 ms, about 10 PUT/s.
    #[default]
    Default,
    /// Up to 30 ms, about 33 PUT/s.
    Fast,
}

impl Preset {
    /// How long the first batch of a segment waits at the most.
    #[must_use]
    pub fn age_max(self) -> Duration {
        Duration::from_millis(match self {
            Self::Eco => 250,
            Self::Default => 100,
            Self::Fast => 30,
        })
    }

    /// PUTs a second that may be spent on not waiting.
    #[must_use]
    pub fn puts_per_second(self) -> f64 {
        self.age_max().as_secs_f64().recip()
    }
}
