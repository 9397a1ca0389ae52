//! What the server or the driver said, as what it means: whether anything was written, and what to do.

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use super::url::PostgresUrl;
use super::{LOCK_TIMEOUT, STATEMENT_TIMEOUT};
use crate::causes::with_causes;
use crate::kv::KvError;

/// Codes of the server, as its manual lists them in its appendix A.
pub(super) mod code {
    pub(crate) const READ_ONLY: &str = "25006";
    pub(crate) const NO_SUCH_STATEMENT: &str = "26000";
    pub(crate) const NOT_AUTHORIZED: &str = "28000";
    pub(crate) const WRONG_PASSWORD: &str = "28P01";
    pub(crate) const NO_SUCH_DATABASE: &str = "3D000";
    pub(crate) const NO_SUCH_SCHEMA: &str = "3F000";
    pub(crate) const SERIALIZATION: &str = "40001";
    pub(crate) const DEADLOCK: &str = "40P01";
    pub(crate) const NO_RIGHT: &str = "42501";
    pub(crate) const NO_SUCH_COLUMN: &str = "42703";
    pub(crate) const NO_SUCH_FUNCTION: &str = "42883";
    pub(crate) const NO_SUCH_TABLE: &str = "42P01";
    pub(crate) const DISK_FULL: &str = "53100";
    pub(crate) const TOO_MANY_CONNECTIONS: &str = "53300";
    pub(crate) const PAST_A_LIMIT: &str = "54000";
    pub(crate) const LOCK_NOT_AVAILABLE: &str = "55P03";
    pub(crate) const CANCELLED: &str = "57014";
    pub(crate) const DATA_CORRUPTED: &str = "XX001";
    pub(crate) const INDEX_CORRUPTED: &str = "XX002";
    /// The function's own: the row with the format's version says something else.
    pub(crate) const OTHER_FORMAT: &str = "PS001";
}

/// Of a statement that did nothing: the server said so before it answered.
pub(super) fn failed(error: &DbError, url: &PostgresUrl) -> KvError {
    let said = error.message();
    let (user, schema) = (url.user(), &url.schema);
    let text = match error.code().code() {
        code::SERIALIZATION | code::DEADLOCK => return KvError::Conflict,
        code::CANCELLED => return KvError::TooOld,
        code::PAST_A_LIMIT => return KvError::TooLarge,
        // As the function says it of a row that is not there.
        code::OTHER_FORMAT if said.starts_with("none") => return no_version(url),
        code::OTHER_FORMAT => return KvError::NewerFormat(said.to_owned()),
        code::DATA_CORRUPTED | code::INDEX_CORRUPTED => {
            return KvError::Corrupt(format!("PostgreSQL says that {said}"));
        }
        code::LOCK_NOT_AVAILABLE => format!(
            "the commits of schema {schema} were locked out for {} s: look in pg_stat_activity for who holds it",
            LOCK_TIMEOUT.as_secs()
        ),
        code::NO_RIGHT => format!(
            "PostgreSQL says \"{said}\": run, as the owner of the schema, GRANT USAGE ON SCHEMA {schema} TO \"{user}\" and \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO \"{user}\""
        ),
        code::NO_SUCH_TABLE | code::NO_SUCH_SCHEMA | code::NO_SUCH_FUNCTION => {
            format!(
                "the tables of schema {schema} are gone (\"{said}\"): bring them back from a copy"
            )
        }
        code::NO_SUCH_STATEMENT => format!(
            "PostgreSQL says \"{said}\": a pooler in transaction or statement mode lies between; use session mode, or \
             connect without it"
        ),
        code::DISK_FULL => {
            format!("PostgreSQL says \"{said}\": make room on the disk of its server")
        }
        code::READ_ONLY => format!("PostgreSQL takes no writes (\"{said}\"): is it a standby?"),
        other => format!("PostgreSQL says \"{said}\" ({other})"),
    };
    KvError::Unavailable(text)
}

/// The row is gone that says of which format the others are.
pub(super) fn no_version(url: &PostgresUrl) -> KvError {
    KvError::Corrupt(format!(
        "table format of schema {} in database {} has lost its row, so nobody knows how to read the others",
        url.schema,
        url.database()
    ))
}

/// Of a read: it can only be absent.
pub(super) fn read_failed(error: &Error, url: &PostgresUrl) -> KvError {
    match error.as_db_error() {
        Some(said) => failed(said, url),
        None => KvError::Unavailable(lost(error)),
    }
}

/// The connection, not the statement.
pub(super) fn lost(error: &Error) -> String {
    format!(
        "the connection to PostgreSQL was lost: {}",
        with_causes(error)
    )
}

/// Why it cannot be connected, as a sentence for the operator.
pub(super) fn no_connection(error: &Error, url: &PostgresUrl) -> KvError {
    let (user, database, place) = (url.user(), url.database(), url.place());
    let Some(said) = error.as_db_error() else {
        return KvError::Unavailable(format!(
            "PostgreSQL at {place} cannot be reached ({}): {}",
            with_causes(error),
            advice(error)
        ));
    };
    let message = said.message();
    let advice = match said.code().code() {
        code::WRONG_PASSWORD => {
            "correct user and password in --store, with characters such as @ / ? # written as %40 %2F %3F %23".to_owned()
        }
        code::NOT_AUTHORIZED => format!(
            "make the role (CREATE ROLE \"{user}\" LOGIN PASSWORD '...'), or let it in from here in the server's \
             pg_hba.conf; \"no encryption\" in it asks for sslmode=require"
        ),
        code::NO_SUCH_DATABASE => {
            format!("run CREATE DATABASE \"{database}\" OWNER \"{user}\", or correct --store")
        }
        code::NO_RIGHT => format!("run GRANT CONNECT ON DATABASE \"{database}\" TO \"{user}\""),
        code::TOO_MANY_CONNECTIONS => {
            "each process needs two connections: raise max_connections, or end others".to_owned()
        }
        _ => "try again when it has started; its log says more".to_owned(),
    };
    KvError::Unavailable(format!(
        "PostgreSQL at {place} refuses: {message}: {advice}"
    ))
}

fn advice(error: &Error) -> &'static str {
    let text = with_causes(error);
    let tells = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if tells(&["server does not support TLS"]) {
        "turn ssl on in the server, or write sslmode=disable if nobody else is on the way to it"
    } else if tells(&["certificate", "handshake", "TLS"]) {
        "name the authority that signed the server's certificate with sslrootcert=FILE, and the host as the certificate \
         does"
    } else if tells(&["password missing"]) {
        "the server asks for a password: write it in --store"
    } else if tells(&["does not allow writes"]) {
        "it is a standby, or its transactions are read-only: name the server that takes writes"
    } else {
        "start it, or correct host and port in --store"
    }
}

/// Nothing was heard in time.
pub(super) fn silent(url: &PostgresUrl) -> KvError {
    KvError::Unavailable(format!(
        "PostgreSQL at {} does not answer: look whether it hangs, or a firewall drops what is sent to it",
        url.place()
    ))
}

const _: () = assert!(LOCK_TIMEOUT.as_secs() < STATEMENT_TIMEOUT.as_secs());
