//! A connection that is ready: settings made, the format looked at, statements prepared. Each call is one round trip.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Connection, Error, Row, Socket, Statement};

use super::errors::{self, code};
use super::lane::Range;
use super::schema::{self, Examined};
use super::tls::{Encrypted, Tls};
use super::url::PostgresUrl;
use super::writes::Writes;
use super::{CONNECT_PATIENCE, LOCK_TIMEOUT, STATEMENT_TIMEOUT};
use crate::causes::with_causes;
use crate::kv::{Direction, KvError, Rows, Transaction};

/// The oldest that is supported.
const SERVER_MIN: u32 = 14;

type Parameter<'a> = &'a (dyn ToSql + Sync);

/// Where to connect, and how.
#[derive(Clone, Debug)]
pub(super) struct Target {
    url: Arc<PostgresUrl>,
    tls: Tls,
}

/// An open connection: what sends, and what must be polled for anything to move.
pub(super) struct Link {
    pub(super) session: Session,
    pub(super) connection: Pin<Box<Connection<Socket, Encrypted>>>,
}

/// What to do when the schema is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Create,
    /// Rows that were there and are gone must not come back empty.
    Refuse,
}

impl Target {
    pub(super) fn new(url: &PostgresUrl) -> Result<Self, KvError> {
        let tls = Tls::new(&url.certificate).map_err(KvError::Unavailable)?;
        let url = Arc::new(url.clone());
        Ok(Self { url, tls })
    }

    pub(super) async fn connect_and_create(&self) -> Result<Link, KvError> {
        self.link(Missing::Create).await
    }

    pub(super) async fn connect(&self) -> Result<Link, KvError> {
        self.link(Missing::Refuse).await
    }

    pub(super) async fn examine(&self) -> Result<Examined, KvError> {
        let url = Arc::clone(&self.url);
        let examined = self.enter(|client| async move { schema::examine(&client, &url).await });
        Ok(examined.await?.0)
    }

    async fn link(&self, missing: Missing) -> Result<Link, KvError> {
        let url = Arc::clone(&self.url);
        let entered = self.enter(|client| Session::begin(client, url, missing));
        let (session, connection) = entered.await?;
        Ok(Link {
            session,
            connection,
        })
    }

    /// Connects and does something first.
    async fn enter<T, F: Future<Output = Result<T, KvError>>>(
        &self,
        first: impl FnOnce(Client) -> F,
    ) -> Result<(T, Pin<Box<Connection<Socket, Encrypted>>>), KvError> {
        let entered = timeout(CONNECT_PATIENCE, async {
            let connected = self.url.config.connect(self.tls.clone()).await;
            let (client, connection) =
                connected.map_err(|error| errors::no_connection(&error, &self.url))?;
            check_version(connection.parameter("server_version"))?;
            let mut connection = Box::pin(connection);
            tokio::select! {
                biased;
                done = first(client) => Ok((done?, connection)),
                ended = &mut connection => Err(match ended {
                    Err(error) => errors::no_connection(&error, &self.url),
                    Ok(()) => errors::silent(&self.url),
                }),
            }
        });
        entered.await.map_err(|_| errors::silent(&self.url))?
    }
}

fn check_version(named: Option<&str>) -> Result<(), KvError> {
    let named = named.unwrap_or_default();
    let digits = named.split(|c: char| !c.is_ascii_digit()).next();
    match digits.and_then(|digits| digits.parse::<u32>().ok()) {
        Some(old) if old < SERVER_MIN => Err(KvError::Unavailable(format!(
            "the server is PostgreSQL {named}: Penstock needs {SERVER_MIN} or newer"
        ))),
        _ => Ok(()),
    }
}

/// Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    url: Arc<PostgresUrl>,
    get: Statement,
    forward: Statement,
    backward: Statement,
    write: Statement,
    useless: Cell<bool>,
}

impl Session {
    async fn begin(
        client: Client,
        url: Arc<PostgresUrl>,
        missing: Missing,
    ) -> Result<Self, KvError> {
        let settings = schema::settings(STATEMENT_TIMEOUT.as_millis(), LOCK_TIMEOUT.as_millis());
        let refused = |error: Error| errors::read_failed(&error, &url);
        client.batch_execute(&settings).await.map_err(refused)?;
        if !schema::find(&client, &url).await? {
            if missing == Missing::Refuse {
                return Err(KvError::Unavailable(format!(
                    "schema {} of {url} is gone: bring it back from a copy",
                    url.schema
                )));
            }
            schema::create(&client, &url).await?;
            if !schema::find(&client, &url).await? {
                return Err(KvError::Unavailable("the schema was not made".to_owned()));
            }
        }
        let name = &url.schema;
        let (get, forward) = (schema::get(name), schema::range(name, "ASC"));
        let (backward, write) = (schema::range(name, "DESC"), schema::write(name));
        let (get, forward, backward, write) = tokio::try_join!(
            client.prepare(&get),
            client.prepare(&forward),
            client.prepare(&backward),
            client.prepare(&write)
        )
        .map_err(refused)?;
        Ok(Self {
            client,
            get,
            forward,
            backward,
            write,
            useless: Cell::new(false),
            url,
        })
    }

    /// Whether another connection would do better: the server takes no writes any more, or is not the one it was.
    pub(super) fn is_useless(&self) -> bool {
        self.useless.get()
    }

    pub(super) async fn get(&self, key: &Bytes) -> Result<Option<Bytes>, KvError> {
        let parameters: [Parameter<'_>; 1] = [&key.as_ref()];
        let found = self.client.query_opt(&self.get, &parameters).await;
        let row = found.map_err(|error| self.read_failed(&error))?;
        row.map(|row| bytes(&row, 0)).transpose()
    }

    pub(super) async fn range(&self, range: &Range) -> Result<Rows, KvError> {
        let statement = match range.direction {
            Direction::Forward => &self.forward,
            Direction::Backward => &self.backward,
        };
        let (start, end) = (range.start.as_ref(), range.end.as_ref());
        let parameters: [Parameter<'_>; 3] = [&start, &end, &range.limit];
        let found = self.client.query(statement, &parameters).await;
        let rows = found.map_err(|error| self.read_failed(&error))?;
        let pair = |row: &Row| Ok((bytes(row, 0)?, bytes(row, 1)?));
        rows.iter().map(pair).collect()
    }

    /// The server answers twice: with the function's result, and when the transaction is durable. Whatever goes wrong
    /// before the first answer went wrong before the server began to commit, if it is the server that says so.
    pub(super) async fn commit(&self, transaction: &Transaction) -> Result<(), KvError> {
        if self.client.is_closed() {
            let text = "the connection to PostgreSQL was lost before".to_owned();
            return Err(KvError::Unavailable(text));
        }
        let expected = transaction.expect.iter();
        let (keys, values): (Vec<&[u8]>, Vec<Option<&[u8]>>) = expected
            .map(|(key, value)| (key.as_ref(), value.as_deref()))
            .unzip();
        let writes = Writes::of(&transaction.writes);
        let parameters: [Parameter<'_>; 7] = [
            &keys,
            &values,
            &writes.range_starts,
            &writes.range_ends,
            &writes.cleared,
            &writes.set_keys,
            &writes.set_values,
        ];
        let sent = self.client.query_raw(&self.write, parameters).await;
        let mut answers = pin!(sent.map_err(|error| self.commit_failed(&error))?);
        let held = match answers.next().await {
            Some(Ok(row)) => row.try_get::<_, bool>(0),
            Some(Err(error)) => return Err(self.commit_failed(&error)),
            None => return Err(KvError::Unknown("PostgreSQL gave no answer".to_owned())),
        };
        let held = held.map_err(|error| KvError::Unknown(with_causes(&error)))?;
        if !held {
            return Err(KvError::Conflict);
        }
        match answers.next().await {
            None => Ok(()),
            Some(Ok(_)) => Err(KvError::Unknown("PostgreSQL answered twice".to_owned())),
            Some(Err(error)) => Err(KvError::Unknown(errors::lost(&error))),
        }
    }

    fn commit_failed(&self, error: &Error) -> KvError {
        match error.as_db_error() {
            Some(_) => self.read_failed(error),
            None => KvError::Unknown(errors::lost(error)),
        }
    }

    fn read_failed(&self, error: &Error) -> KvError {
        let code = error.code().map(tokio_postgres::error::SqlState::code);
        if matches!(code, Some(code::READ_ONLY | code::NO_SUCH_STATEMENT)) {
            self.useless.set(true);
        }
        errors::read_failed(error, &self.url)
    }
}

fn bytes(row: &Row, column: usize) -> Result<Bytes, KvError> {
    let value: Result<&[u8], _> = row.try_get(column);
    let corrupt = |error: Error| {
        let why = with_causes(&error);
        KvError::Corrupt(format!("a row cannot be read: {why}"))
    };
    value.map(Bytes::copy_from_slice).map_err(corrupt)
}
