//! The store over a real server: the contract, conflicts, backends killed and servers stopped at any moment, and what is
//! said when something is not as it must be.

mod counting;
mod figures;
mod proxy;
mod refused;
#[expect(unreachable_pub, reason = "the agent's tests have it as well")]
pub(crate) mod server;

use std::sync::Arc;

use tokio::runtime::Runtime;

use super::*;
use crate::kv::contract;
use server::Server;

pub(crate) async fn open(server: &Server, parameters: &str) -> Postgres {
    let url = server.url(parameters).parse().unwrap();
    Postgres::open(&url).await.unwrap()
}

fn b(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn set(key: &str, value: &str) -> Transaction {
    let mut transaction = Transaction::default();
    transaction.set(b(key), b(value));
    transaction
}

/// From within a runtime, by one of its own.
fn open_at_once(server: &Server, parameters: &str) -> Postgres {
    thread::scope(|scope| {
        let opened = scope.spawn(|| Runtime::new().unwrap().block_on(open(server, parameters)));
        opened.join().unwrap()
    })
}

#[tokio::test]
async fn keeps_the_contract() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut count = 0;
    contract::suite(|| {
        count += 1;
        Arc::new(open_at_once(&server, &format!("schema=contract_{count}")))
    })
    .await;
}

#[tokio::test]
async fn two_processes_share_the_rows_and_only_one_of_them_wins() {
    let Some(server) = Server::start() else {
        return;
    };
    // Both find nothing and make the schema.
    let (one, other) = tokio::join!(open(&server, ""), open(&server, ""));
    one.commit(set("n", "0")).await.unwrap();
    for round in 1..=50_u32 {
        let next = |mine: &str| {
            let mut transaction = set("n", &round.to_string());
            transaction.expect(b("n"), Some(b(&(round - 1).to_string())));
            transaction.expect(b(&format!("by {round}")), None);
            transaction.set(b(&format!("by {round}")), b(mine));
            transaction
        };
        let outcomes = tokio::join!(one.commit(next("one")), other.commit(next("other")));
        let outcomes = [outcomes.0, outcomes.1];
        assert!(outcomes.contains(&Ok(())), "round {round}: {outcomes:?}");
        assert!(outcomes.contains(&Err(KvError::Conflict)), "{outcomes:?}");
        let winner = if outcomes[0].is_ok() { "one" } else { "other" };
        for kv in [&one, &other] {
            let by = kv.get(format!("by {round}").as_bytes()).await.unwrap();
            assert_eq!(by, Some(b(winner)));
        }
    }
}

/// What other sessions and defaults do must not change what a commit means.
#[tokio::test]
async fn defaults_of_the_role_change_nothing() {
    let Some(server) = Server::start() else {
        return;
    };
    for default in [
        "default_transaction_isolation = 'repeatable read'",
        "synchronous_commit = local",
        "statement_timeout = '400ms'",
        "search_path = nowhere",
        "idle_session_timeout = '100ms'",
        "bytea_output = escape",
    ] {
        server.sql(
            "postgres",
            &format!("ALTER DATABASE {} SET {default}", server::DATABASE),
        );
    }
    let kv = Arc::new(open(&server, "").await);
    contract::increments_are_never_lost(Arc::clone(&kv)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    kv.commit(set("after", "a pause")).await.unwrap();
}

/// Whatever the role has as default, an answered commit is on the disk of the standby that the server waits for.
#[tokio::test]
async fn a_commit_whose_standby_was_given_up_is_unknown() {
    let Some(server) = Server::start() else {
        return;
    };
    let local = format!(
        "ALTER DATABASE {} SET synchronous_commit = local",
        server::DATABASE
    );
    server.sql("postgres", &local);
    let kv = open(&server, "").await;
    kv.commit(set("n", "1")).await.unwrap();
    server.sql(
        "postgres",
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
    );
    server.sql("postgres", "SELECT pg_reload_conf()");
    server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'penstock'");
    let cancel = "DO $$ BEGIN FOR i IN 1..6000 LOOP PERFORM pg_stat_clear_snapshot(); \
                  IF (SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep') > 0 \
                  THEN RETURN; END IF; PERFORM pg_sleep(0.01); END LOOP; RAISE 'nobody waits'; END $$";
    let mut canceller = server.psql("postgres", cancel).spawn().unwrap();
    // The server takes up the setting when its checkpointer gets to it: commits before that wait for nobody.
    let mut said = kv.commit(set("n", "2")).await;
    // One whose connection was ended amid it is unknown as well: then there was nobody to cancel yet.
    let mut is_over = false;
    while !is_over {
        let looks = if matches!(said, Err(KvError::Unknown(_))) {
            100
        } else {
            1
        };
        for _ in 0..looks {
            is_over = canceller.try_wait().unwrap().is_some();
            if is_over {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if !is_over {
            said = kv.commit(set("n", "2")).await;
        }
    }
    assert!(matches!(said, Err(KvError::Unknown(_))), "{said:?}");
    assert!(
        canceller.wait().unwrap().success(),
        "it waited for the standby"
    );
    server.sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    server.sql("postgres", "SELECT pg_reload_conf()");
    assert_eq!(kv.get(b"n").await, Ok(Some(b("2"))));
    kv.commit(set("n", "3")).await.unwrap();
}

/// Of several servers the one that takes writes is found, also when that becomes another.
#[tokio::test]
async fn commits_follow_the_server_that_takes_writes() {
    let Some(mut server) = Server::with(&["fsync=off", "wal_level=replica"], |_| {}) else {
        return;
    };
    drop(open(&server, "").await);
    let standby = server.standby();
    let url = server.url("").replace(
        &format!("@127.0.0.1:{}/", server.port()),
        &format!("@127.0.0.1:{},127.0.0.1:{}/", standby.port(), server.port()),
    );
    let kv = Postgres::open(&url.parse().unwrap()).await.unwrap();
    kv.commit(set("n", "1")).await.unwrap();
    assert_eq!(kv.get(b"n").await, Ok(Some(b("1"))));
    while standby.sql(server::DATABASE, "SELECT count(*) FROM penstock.rows") != "1" {}
    server.stop("QUIT");
    let away = kv.commit(set("n", "2")).await;
    assert!(away.is_err(), "a standby is not written to");
    assert!(
        matches!(kv.get(b"n").await, Err(KvError::Unavailable(_))),
        "nor read"
    );
    standby.promote();
    let mut said = kv.commit(set("n", "3")).await;
    for _ in 0..2000 {
        if said.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        said = kv.commit(set("n", "3")).await;
    }
    assert_eq!(said, Ok(()));
    assert_eq!(kv.get(b"n").await, Ok(Some(b("3"))));
}

#[tokio::test]
async fn a_lock_that_stays_is_given_up_and_nothing_is_written() {
    let Some(server) = Server::start() else {
        return;
    };
    let kv = open(&server, "").await;
    kv.commit(set("n", "1")).await.unwrap();
    let hold = "BEGIN; SELECT version FROM penstock.format FOR UPDATE; SELECT pg_sleep(60)";
    let mut holder = server.psql(server::DATABASE, hold).spawn().unwrap();
    while server.sql(server::DATABASE, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()") != "1" {}
    let refused = kv.commit(set("n", "2")).await;
    assert!(
        matches!(&refused, Err(KvError::Unavailable(text)) if text.contains("locked out")),
        "{refused:?}"
    );
    assert_eq!(kv.get(b"n").await, Ok(Some(b("1"))));
    server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()");
    assert!(!holder.wait().unwrap().success());
    kv.commit(set("n", "3")).await.unwrap();
    assert_eq!(kv.get(b"n").await, Ok(Some(b("3"))));
}

#[tokio::test]
async fn keys_too_long_for_the_index_are_too_large() {
    let Some(server) = Server::start() else {
        return;
    };
    let kv = open(&server, "").await;
    let mut random = crate::kv::memory::SplitMix(3);
    let long: String = (0..20_000)
        .map(|_| char::from(b'a' + u8::try_from(random.below(26)).unwrap()))
        .collect();
    assert_eq!(kv.commit(set(&long, "1")).await, Err(KvError::TooLarge));
    kv.commit(set("short", "1")).await.unwrap();
}
