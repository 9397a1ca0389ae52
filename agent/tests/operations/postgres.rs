//! A broker whose metadata is in PostgreSQL: what was acknowledged outlives its process and the server's, other processes
//! take over, and what is wrong is said without the password.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;

use super::database::{DATABASE, ENCODED_PASSWORD, PASSWORD, Server, USER, send};
use super::tools::{Ran, ready, run, until, values};
use crate::support::broker::{Broker, penstock};
use crate::support::client::{Client, batch};
use crate::support::processes::Process;
use protocol::ErrorCode;

/// What a disk does that has no room.
const FULL_DISK: &str = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100'; END $$; \
     CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON penstock.rows \
     FOR EACH ROW EXECUTE FUNCTION full_disk()";

/// `penstock dev` on free ports, its bucket in a folder.
fn dev(data: &Path, store: &str) -> Command {
    let mut command = penstock(["dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.arg("--data").arg(data).args(["--store", store]);
    command
}

async fn doctor(store: &str) -> Ran {
    let ran = run(&mut penstock([
        "doctor", "--bucket", "memory:", "--store", store,
    ]))
    .await;
    for said in [&ran.stdout, &ran.stderr] {
        for secret in [PASSWORD, ENCODED_PASSWORD, "hush"] {
            assert!(!said.contains(secret), "{ran:?}");
        }
    }
    ran
}

/// Says all of `parts`, and that something is wrong only if `code` is 1.
async fn diagnosed(store: &str, code: i32, parts: &[&str]) {
    let ran = doctor(store).await;
    assert_eq!(ran.status.code(), Some(code), "{ran:?}");
    assert_eq!(ran.stdout.contains("WRONG"), code == 1, "{ran:?}");
    for part in parts {
        assert!(ran.stdout.contains(part), "no {part:?} in {ran:?}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_outlives_the_broker_and_the_server() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let store = server.url("");
    let mut broker = Broker::start(&mut dev(folder.path(), &store)).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let mut sent: Vec<String> = Vec::new();
    for round in 0..3 {
        for number in 0..20 {
            let value = format!("{round}-{number}");
            let answer = client.produce("t", 0, batch(&[&value])).await;
            assert_eq!(answer.error_code, ErrorCode::NONE);
            sent.push(value);
        }
        if round == 1 {
            // The server goes away and comes back: not ready meanwhile, then as before.
            server.stop("QUIT");
            let refused = client.produce("t", 0, batch(&["away"])).await;
            assert_ne!(refused.error_code, ErrorCode::NONE);
            until("not ready", async || {
                broker.page("/health/ready").await.0 != 200
            })
            .await;
            server.run();
            ready(&broker).await;
            let found = values(&mut client, "t", 0).await;
            assert!(
                found.len() == sent.len() || found.last().unwrap() == "away",
                "{found:?}"
            );
            sent = found;
        }
        broker.kill().await;
        broker = Broker::start(&mut dev(folder.path(), &store)).await;
        client = Client::connect(broker.listen).await;
        assert_eq!(values(&mut client, "t", 0).await, sent, "round {round}");
    }
    // Another process waits for its turn and serves meanwhile.
    let next = Broker::start(&mut dev(folder.path(), &store)).await;
    let mut other = Client::connect(next.listen).await;
    assert_eq!(values(&mut other, "t", 0).await, sent);
    let answer = other.produce("t", 0, batch(&["through the other"])).await;
    assert_eq!(answer.error_code, ErrorCode::NONE);
    sent.push("through the other".to_owned());
    assert_eq!(values(&mut client, "t", 0).await, sent);
    assert!(broker.terminate().await.success());
    assert_eq!(values(&mut other, "t", 0).await, sent);
    assert!(next.terminate().await.success());
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_with_a_database() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let careless = "fsync = off";
    diagnosed(
        &server.url(""),
        1,
        &["PostgreSQL 1", "the first agent makes it", careless],
    )
    .await;
    server.stop("INT");
    let whole = server.url("");
    diagnosed(
        &whole,
        1,
        &["refused", "start it, or correct host and port"],
    )
    .await;
    let Some(server) = Server::with(&[], |_| {}) else {
        return;
    };
    diagnosed(
        &server.url(""),
        0,
        &["without TLS", "the first agent makes it", "All is well."],
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(&mut dev(folder.path(), &server.url(""))).await;
    ready(&broker).await;
    // Nothing that whoever uses it needs is touched, so it may be looked at meanwhile.
    let owner = owner(&server);
    diagnosed(
        &server.url(""),
        0,
        &[
            "can be read",
            "can be written",
            "A small read takes",
            "All is well.",
        ],
    )
    .await;
    assert_eq!(self::owner(&server), owner);
    assert!(broker.terminate().await.success());
    diagnosed(&server.url(""), 0, &["can be read"]).await;
    let port = server.port();
    let wrong = format!("postgres://{USER}:hush@127.0.0.1:{port}/{DATABASE}");
    diagnosed(
        &wrong,
        1,
        &["authentication failed", "correct user and password"],
    )
    .await;
    let absent = server.url("").replace(DATABASE, "absent");
    diagnosed(&absent, 1, &["CREATE DATABASE \"absent\""]).await;
    server.sql(DATABASE, "UPDATE penstock.format SET version = 2");
    diagnosed(
        &server.url(""),
        1,
        &["2 (schema penstock)", "newer Penstock"],
    )
    .await;
}

/// The row that each take-over rewrites.
fn owner(server: &Server) -> String {
    server.sql(DATABASE, "SELECT v FROM penstock.rows WHERE k = '\\x006f'")
}

#[tokio::test]
async fn the_doctor_says_what_keeps_a_database_from_being_written() {
    let Some(server) = Server::with(&[], |_| {}) else {
        return;
    };
    let role =
        format!("CREATE ROLE app LOGIN PASSWORD 'app'; GRANT CREATE ON DATABASE {DATABASE} TO app");
    server.sql(DATABASE, &role);
    let store = format!("postgres://app:app@127.0.0.1:{}/{DATABASE}", server.port());
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(&mut dev(folder.path(), &store)).await;
    ready(&broker).await;
    assert!(broker.terminate().await.success());
    for right in ["INSERT", "UPDATE", "DELETE"] {
        server.sql(
            DATABASE,
            &format!("REVOKE {right} ON penstock.rows FROM app"),
        );
        let refused = [
            "can be read",
            "Nothing can be written",
            "permission denied",
            "GRANT",
        ];
        diagnosed(&store, 1, &refused).await;
        server.sql(DATABASE, &format!("GRANT {right} ON penstock.rows TO app"));
    }
    diagnosed(&store, 0, &["can be written", "All is well."]).await;
    server.sql(DATABASE, FULL_DISK);
    diagnosed(
        &store,
        1,
        &["Nothing can be written", "the disk is full", "make room"],
    )
    .await;
}

#[tokio::test]
async fn a_broker_that_cannot_use_its_database_says_one_sentence() {
    let Some(server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let port = server.port();
    let wrong = format!("postgres://{USER}:hush@127.0.0.1:{port}/{DATABASE}");
    let ran = run(&mut dev(&data, &wrong)).await;
    ran.refused(&["authentication failed", "correct user and password"]);
    assert!(!ran.stderr.contains("hush"), "{ran:?}");
    let ran = run(&mut dev(&data, &format!("{wrong}?sslmode=allow"))).await;
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    assert!(
        ran.stderr.contains("sslmode must be") && !ran.stderr.contains("hush"),
        "{ran:?}"
    );
    server.sql(DATABASE, "CREATE SCHEMA penstock; CREATE TABLE penstock.format (version bigint); INSERT INTO penstock.format VALUES (2)");
    let ran = run(&mut dev(&data, &server.url(""))).await;
    ran.refused(&[
        "newer format",
        "2 (schema penstock)",
        "use a newer Penstock",
    ]);
    assert_eq!(
        server.sql(
            DATABASE,
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'penstock'"
        ),
        "1"
    );
}

/// It waits for its turn like another, but its turn never comes.
#[tokio::test]
async fn a_process_that_cannot_write_the_database_says_so_and_is_not_ready() {
    let Some(server) = Server::start() else {
        return;
    };
    let store = server.url("");
    let mut metadata = Process::start("metadata", &["--store", &store]).await;
    metadata.until_ready("200").await;
    metadata.stop().await;
    server.sql(DATABASE, FULL_DISK);
    metadata.restart();
    until("the reason is told", async || {
        let said = metadata.page("/health/ready").await.unwrap_or_default();
        said.contains("cannot take over: ") && said.contains("disk is full")
    })
    .await;
    metadata.kill().await;
}

/// The server's processes that work for brokers.
fn backends(server: &Server) -> Vec<u32> {
    let query = format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = '{DATABASE}' AND pid <> pg_backend_pid()"
    );
    let backends = server.sql(DATABASE, &query);
    let backends = backends.lines().filter_map(|pid| pid.trim().parse().ok());
    let backends: Vec<u32> = backends.collect();
    assert!(!backends.is_empty());
    backends
}

/// Its calls are given up after some 25 s, and whoever looks at the agent is told long before.
#[tokio::test]
async fn a_database_that_is_frozen_is_told_of_within_seconds() {
    let Some(server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(&mut dev(folder.path(), &server.url(""))).await;
    ready(&broker).await;
    let backends = backends(&server);
    let all = |signal: &str| backends.iter().for_each(|pid| send(signal, *pid));
    all("STOP");
    let began = Instant::now();
    until("it is told", async || {
        let said = broker.page("/health/ready").await;
        said == (503, "the metadata store does not answer\n".into())
    })
    .await;
    let took = began.elapsed();
    all("CONT");
    assert!(took < Duration::from_secs(15), "{took:?}");
    ready(&broker).await;
    assert!(broker.terminate().await.success());
}

/// They do not work on it themselves, and the process that does lives. Nobody produces: the agent finds out all the same.
#[tokio::test]
async fn agents_elsewhere_tell_of_a_frozen_database_as_well() {
    let Some(server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let bucket = format!("file://{}", folder.path().display());
    let metadata = Process::start("metadata", &["--store", &server.url("")]).await;
    let at = metadata.listen.to_string();
    let agent = Process::start("agent", &["--bucket", &bucket, "--metadata", &at]).await;
    agent.until_ready("200").await;
    let backends = backends(&server);
    let all = |signal: &str| backends.iter().for_each(|pid| send(signal, *pid));
    all("STOP");
    let began = Instant::now();
    until("it is told", async || {
        let said = agent.page("/health/ready").await.unwrap_or_default();
        said.contains(" 503 ") && said.ends_with("see whether its metadata store does\n")
    })
    .await;
    let took = began.elapsed();
    all("CONT");
    assert!(took < Duration::from_secs(15), "{took:?}");
    agent.until_ready("200").await;
    agent.terminate().await;
    metadata.terminate().await;
}
