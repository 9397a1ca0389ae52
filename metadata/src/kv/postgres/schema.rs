//! What lies in the database: a table of rows, one of a single row with the format's version, and the function that
//! commits. Made by the first process that connects; all of it in one schema, so that databases can be shared.

use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::errors::{self, code};
use super::url::PostgresUrl;
use crate::kv::{KvError, RANGE_BYTES};

/// The tables and the function below. A newer one is left alone.
const FORMAT: i64 = 1;

/// What `penstock doctor` wants to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Examined {
    /// As the server names it.
    pub server_version: String,
    /// Whether the connection uses TLS.
    pub encrypted: bool,
    /// Whether the schema was made by an earlier start.
    pub exists: bool,
    /// Whether this role may make it.
    pub may_create: bool,
    /// Settings with which the server may lose what it said to be durable.
    pub careless: Vec<String>,
}

/// For every session. Its statements name a key or a range in the order of keys, so the index is always right, whatever
/// statistics say or lack; the rest makes it independent of what the role or the database have as defaults. A commit that
/// is answered lies on the disk of the server and, where it has synchronous standbys, on theirs.
pub(super) fn settings(statement_timeout_ms: u128, lock_timeout_ms: u128) -> String {
    format!(
        "SET statement_timeout = {statement_timeout_ms}; SET lock_timeout = {lock_timeout_ms}; \
         SET idle_in_transaction_session_timeout = {statement_timeout_ms}; SET idle_session_timeout = 0; \
         SET default_transaction_isolation = 'read committed'; \
         SET search_path = pg_catalog; SET client_min_messages = warning; \
         SET plan_cache_mode = force_generic_plan; SET jit = off; \
         SET enable_seqscan = off; SET enable_bitmapscan = off; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply'"
    )
}

/// One row by key.
pub(super) fn get(schema: &str) -> String {
    format!("SELECT v FROM {schema}.rows WHERE k = $1")
}

/// Rows of a range, until they have the bytes of a page. Lengths are known without reading values, so rows past the page
/// cost next to nothing.
pub(super) fn range(schema: &str, order: &str) -> String {
    format!(
        "SELECT k, v FROM (SELECT k, v, sum(octet_length(k) + octet_length(v)) OVER \
         (ORDER BY k {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM \
         (SELECT k, v FROM {schema}.rows WHERE k >= $1 AND k < $2 ORDER BY k {order} LIMIT $3) AS asked) AS summed \
         WHERE coalesce(before, 0) < {RANGE_BYTES} ORDER BY k {order}"
    )
}

/// One transaction: false, and nothing written, if an expectation does not hold.
pub(super) fn write(schema: &str) -> String {
    format!("SELECT {schema}.write($1, $2, $3, $4, $5, $6, $7)")
}

/// Values are stored as they are: the server would spend more on compressing log rows than it saves. Most rows of the log
/// live for seconds, so their space is given back early.
fn creation(schema: &str) -> String {
    let vacuum = "autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0";
    let toast = vacuum.replace("autovacuum_", "toast.autovacuum_");
    let other = code::OTHER_FORMAT;
    format!(
        r#"BEGIN;
SELECT pg_advisory_xact_lock(hashtext('penstock.{schema}'));
DO $make$
BEGIN
  IF to_regclass('{schema}.format') IS NOT NULL THEN
    RETURN; -- Another process was faster.
  END IF;
  IF to_regnamespace('{schema}') IS NULL THEN
    CREATE SCHEMA {schema};
  END IF;
  CREATE TABLE {schema}.rows (k bytea PRIMARY KEY, v bytea NOT NULL) WITH ({vacuum}, {toast});
  ALTER TABLE {schema}.rows ALTER COLUMN v SET STORAGE EXTERNAL;
  CREATE TABLE {schema}.format (version bigint NOT NULL, only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row));
  CREATE FUNCTION {schema}.write(
    expect_keys bytea[], expect_values bytea[], range_starts bytea[], range_ends bytea[],
    cleared bytea[], set_keys bytea[], set_values bytea[]) RETURNS boolean
  LANGUAGE plpgsql VOLATILE AS $write$
  DECLARE
    there_is bigint;
  BEGIN
    -- From here to the end of the transaction no other commit runs; what follows sees all of those before.
    SELECT version INTO there_is FROM {schema}.format FOR UPDATE;
    IF there_is IS DISTINCT FROM {FORMAT} THEN
      RAISE EXCEPTION '% (schema {schema})', coalesce(there_is::text, 'none') USING ERRCODE = '{other}';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'the session lost its settings' USING ERRCODE = 'invalid_sql_statement_name';
    END IF;
    IF EXISTS (
      SELECT FROM unnest(expect_keys, expect_values) AS expected(k, v)
      LEFT JOIN {schema}.rows AS there ON there.k = expected.k
      WHERE there.v IS DISTINCT FROM expected.v
    ) THEN
      RETURN false;
    END IF;
    IF cardinality(range_starts) > 0 THEN
      DELETE FROM {schema}.rows AS there USING unnest(range_starts, range_ends) AS gone(first, past)
      WHERE there.k >= gone.first AND there.k < gone.past;
    END IF;
    IF cardinality(cleared) > 0 THEN
      DELETE FROM {schema}.rows AS there USING unnest(cleared) AS gone(k) WHERE there.k = gone.k;
    END IF;
    IF cardinality(set_keys) > 0 THEN
      INSERT INTO {schema}.rows AS there SELECT k, v FROM unnest(set_keys, set_values) AS given(k, v)
      ON CONFLICT (k) DO UPDATE SET v = excluded.v;
    END IF;
    RETURN true;
  END
  $write$;
  INSERT INTO {schema}.format (version) VALUES ({FORMAT});
END
$make$;
COMMIT"#
    )
}

/// Whether the schema is there, in the format that this version writes.
pub(super) async fn find(client: &Client, url: &PostgresUrl) -> Result<bool, KvError> {
    let schema = &url.schema;
    let found = client
        .simple_query(&format!("SELECT version FROM {schema}.format"))
        .await;
    let foreign = || {
        KvError::Corrupt(format!(
            "schema {schema} of database {} has a table named format that is not Penstock's: choose another schema with \
             ?schema=NAME",
            url.database()
        ))
    };
    let messages = match found {
        Ok(messages) => messages,
        Err(error) => match error_code(&error) {
            Some(code::NO_SUCH_TABLE | code::NO_SUCH_SCHEMA) => return Ok(false),
            Some(code::NO_SUCH_COLUMN) => return Err(foreign()),
            _ => return Err(errors::read_failed(&error, url)),
        },
    };
    let Some(version) = first_row(&messages, 0) else {
        let ours = format!("SELECT to_regproc('{schema}.write') IS NOT NULL");
        let found = client.simple_query(&ours).await;
        let found = found.map_err(|error| errors::read_failed(&error, url))?;
        return Err(match first_row(&found, 0) {
            Some("t") => errors::no_version(url),
            _ => foreign(),
        });
    };
    match version.parse::<i64>().ok() {
        Some(FORMAT) => Ok(true),
        Some(newer) if newer > FORMAT => {
            Err(KvError::NewerFormat(format!("{newer} (schema {schema})")))
        }
        _ => Err(foreign()),
    }
}

/// Makes the schema, unless another process was faster.
pub(super) async fn create(client: &Client, url: &PostgresUrl) -> Result<(), KvError> {
    let (user, schema, database) = (url.user(), &url.schema, url.database());
    let made = client.batch_execute(&creation(schema)).await;
    made.map_err(|error| match error_code(&error) {
        Some(code::NO_RIGHT) => KvError::Unavailable(format!(
            "{} may not make its schema ({}): run, as the owner of the database, GRANT CREATE ON DATABASE \"{database}\" TO \
             \"{user}\"; or, if schema {schema} is there, ALTER SCHEMA {schema} OWNER TO \"{user}\"",
            user,
            error.as_db_error().map_or("", |said| said.message()),
        )),
        _ => errors::read_failed(&error, url),
    })
}

/// See [`Examined`].
pub(super) async fn examine(client: &Client, url: &PostgresUrl) -> Result<Examined, KvError> {
    let schema = &url.schema;
    let exists = find(client, url).await?;
    let query = format!(
        "SELECT current_setting('server_version'), \
         coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), \
         CASE WHEN to_regnamespace('{schema}') IS NULL THEN has_database_privilege(current_database(), 'CREATE') \
         ELSE has_schema_privilege('{schema}', 'CREATE') END, \
         current_setting('fsync'), current_setting('full_page_writes')"
    );
    let found = client.simple_query(&query).await;
    let messages = found.map_err(|error| errors::read_failed(&error, url))?;
    let column = |index| first_row(&messages, index).unwrap_or_default();
    let settings = [("fsync", column(3)), ("full_page_writes", column(4))];
    let off = settings.into_iter().filter(|(_, value)| *value == "off");
    Ok(Examined {
        server_version: column(0).to_owned(),
        encrypted: column(1) == "t",
        exists,
        may_create: column(2) == "t",
        careless: off.map(|(name, _)| name.to_owned()).collect(),
    })
}

fn first_row(messages: &[SimpleQueryMessage], column: usize) -> Option<&str> {
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(column),
        _ => None,
    })
}

fn error_code(error: &Error) -> Option<&str> {
    error.code().map(tokio_postgres::error::SqlState::code)
}
