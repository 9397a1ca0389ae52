//! `postgres://user:password@host:port/database?sslmode=...`, as users of libpq know it. The password is in no text that
//! is made here, not even in what is said about a URL that cannot be read.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::CONNECT_ADDRESS;

/// Where the database is, and how to get in.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(super) config: Config,
    pub(super) certificate: Certificate,
    pub(super) schema: String,
}

/// What the server's certificate must be, where TLS is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Certificate {
    /// Anything: whoever is in the middle of the network can read and change what is sent.
    Any,
    /// For the host's name, from one of the authorities that this machine trusts.
    System,
    /// For the host's name, from one of the authorities in this PEM file.
    File(PathBuf),
}

const SHAPE: &str = "write it as in postgres://user:password@host:5432/database?sslmode=verify-full, with %40 for @, %2F for / \
                     and so on in user and password";
/// Seconds of silence on an idle connection, between probes, and how many of them.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(3), 3);

impl FromStr for PostgresUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("not a PostgreSQL URL: {SHAPE}");
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or_else(wrong)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        // A character of the password that should have been encoded must not become a host, and then be shown.
        let encoded = |text: &str| !text.contains(['@', '#', ' ']);
        let (login, _) = place.rsplit_once('@').unwrap_or(("", place));
        if !encoded(login) || login.contains('/') || decode(login).is_none() || !encoded(query) {
            return Err(wrong());
        }
        let config = Config::from_str(&format!("postgres://{place}")).map_err(|_| wrong())?;
        let mut url = Self {
            config,
            certificate: Certificate::Any,
            schema: "penstock".to_owned(),
        };
        url.config.application_name("penstock");
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
            let value = decode(value).ok_or_else(wrong)?;
            url.parameter(key, value)?;
        }
        url.complete()?;
        Ok(url)
    }
}

impl PostgresUrl {
    fn parameter(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "sslmode" => self.ssl_mode(&value)?,
            "sslrootcert" => {
                self.certificate = match value.as_str() {
                    "system" => Certificate::System,
                    _ => Certificate::File(value.into()),
                }
            }
            "schema" => {
                let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                let lawful = value.len() <= 63
                    && value.chars().all(letters)
                    && !value.starts_with(|c: char| c.is_ascii_digit())
                    && !value.is_empty()
                    && !value.starts_with("pg_");
                if !lawful {
                    return Err("schema must be a name of small letters, digits and _, and not begin with a digit or pg_".to_owned());
                }
                self.schema = value;
            }
            "host" => drop(self.config.host(&value)),
            "application_name" => drop(self.config.application_name(&value)),
            _ => {
                return Err("the parameters known after ? are sslmode, sslrootcert, schema, host and application_name: leave the others out".to_owned());
            }
        }
        Ok(())
    }

    fn ssl_mode(&mut self, value: &str) -> Result<(), String> {
        let mode = match value {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            "require" | "verify-full" => SslMode::Require,
            _ => {
                return Err("sslmode must be disable, prefer, require or verify-full".to_owned());
            }
        };
        self.config.ssl_mode(mode);
        if value == "verify-full" && self.certificate == Certificate::Any {
            self.certificate = Certificate::System;
        }
        Ok(())
    }

    /// What is missing or does not fit together; then what is the same for all.
    fn complete(&mut self) -> Result<(), String> {
        if self.config.get_user().is_none_or(str::is_empty) {
            return Err(format!("no user is named: {SHAPE}"));
        }
        if self.config.get_dbname().is_none_or(str::is_empty) {
            return Err(format!("no database is named: {SHAPE}"));
        }
        if self.config.get_hosts().is_empty() {
            return Err(format!("no host is named: {SHAPE}"));
        }
        let verified = self.certificate != Certificate::Any;
        if verified && self.config.get_ssl_mode() != SslMode::Require {
            return Err(
                "sslrootcert is only looked at with sslmode=verify-full: add that".to_owned(),
            );
        }
        let (idle, interval, retries) = KEEPALIVE;
        self.config
            .connect_timeout(CONNECT_ADDRESS)
            .tcp_user_timeout(idle)
            .keepalives_idle(idle)
            .keepalives_interval(interval)
            .keepalives_retries(retries)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(())
    }

    /// The role that is logged in as.
    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    pub(super) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// `host:port`, or several of them.
    pub(super) fn place(&self) -> String {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate();
        let shown = hosts.map(|(index, host)| {
            let port = ports.get(index).or(ports.first()).unwrap_or(&5432);
            match host {
                Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
                Host::Tcp(name) => format!("{name}:{port}"),
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        });
        shown.collect::<Vec<_>>().join(",")
    }
}

/// Without the password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "postgres://{}@{}/{}",
            self.user(),
            self.place(),
            self.database()
        )?;
        match self.schema.as_str() {
            "penstock" => Ok(()),
            other => write!(f, "?schema={other}"),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{self} ({:?}, certificate: {:?})",
            self.config.get_ssl_mode(),
            self.certificate
        )
    }
}

/// With `%40` and the like read.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PostgresUrl, String> {
        text.parse()
    }

    #[test]
    fn what_libpq_reads_is_read() {
        let url = read("postgres://pen:s%40cret@db.example:6000/meta").unwrap();
        assert_eq!(url.to_string(), "postgres://pen@db.example:6000/meta");
        assert_eq!(url.config.get_password(), Some(b"s@cret".as_ref()));
        assert_eq!(url.config.get_ssl_mode(), SslMode::Prefer);
        assert_eq!(url.schema, "penstock");
        let url = read("postgresql://pen@a,b:6001/meta?sslmode=disable&schema=other_1").unwrap();
        assert_eq!(
            url.to_string(),
            "postgres://pen@a:5432,b:6001/meta?schema=other_1"
        );
        let url = read("postgres://pen@[::1]:6000/meta?sslmode=verify-full").unwrap();
        assert_eq!(url.to_string(), "postgres://pen@[::1]:6000/meta");
        assert_eq!(url.certificate, Certificate::System);
        for text in [
            "postgres://pen@h/meta?sslmode=verify-full&sslrootcert=%2Fca.pem",
            "postgres://pen@h/meta?sslrootcert=/ca.pem&sslmode=verify-full",
        ] {
            let url = read(text).unwrap();
            assert_eq!(url.certificate, Certificate::File("/ca.pem".into()));
            assert_eq!(url.config.get_ssl_mode(), SslMode::Require);
        }
        let url = read("postgres://pen@/meta?host=/var/run/postgresql").unwrap();
        assert_eq!(url.place(), "/var/run/postgresql:5432");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_to_write() {
        for (text, said) in [
            ("mysql://pen:secret@h/meta", "not a PostgreSQL URL"),
            ("postgres://pen:secret@h", "no database"),
            ("postgres://h/meta", "no user"),
            ("postgres://pen:secret@/meta", "no host"),
            ("postgres://pen:secret@h:port/meta", "not a PostgreSQL URL"),
            (
                "postgres://pen:secret@h/meta?sslmode=allow",
                "require or verify-full",
            ),
            (
                "postgres://pen:secret@h/meta?sslrootcert=/ca.pem",
                "sslmode=verify-full",
            ),
            (
                "postgres://pen:secret@h/meta?schema=A;drop",
                "small letters",
            ),
            ("postgres://pen:secret@h/meta?schema=pg_x", "small letters"),
            (
                "postgres://pen:secret@h/meta?secret=1",
                "leave the others out",
            ),
            (
                "postgres://pen:secret@h/meta?sslmode",
                "not a PostgreSQL URL",
            ),
            // Characters of a password that should have been encoded.
            ("postgres://pen:a@secret@h/meta", "%40"),
            ("postgres://pen:a/secret@h/meta", "%2F"),
            ("postgres://pen:a?secret@h/meta", "%40"),
            ("postgres://pen:a#secret@h/meta", "%40"),
            ("postgres://pen:secret%zz@h/meta", "%40"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
            assert!(!error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let url = read("postgres://pen:hush@h/meta?sslmode=require").unwrap();
        let shown = format!("{url} {url:?} {:?}", url.config);
        assert!(!shown.contains("hush"), "{shown}");
    }
}
