//! What is said to operators, one sentence each with what to do, and never the password.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::server::{DATABASE, PASSWORD, Server, USER};
use super::*;

async fn refused(url: &str) -> KvError {
    let parsed: PostgresUrl = url.parse().unwrap();
    let error = Postgres::open(&parsed).await.expect_err(url);
    let text = error.to_string();
    assert!(!text.contains(PASSWORD) && !text.contains("hush"), "{text}");
    let examined = Postgres::examine(&parsed).await;
    if let Err(other) = &examined {
        assert!(!other.to_string().contains(PASSWORD), "{other}");
    }
    error
}

async fn unavailable(url: &str, parts: &[&str]) {
    match refused(url).await {
        KvError::Unavailable(text) => {
            for part in parts {
                assert!(text.contains(part), "no {part:?} in {text:?}");
            }
        }
        error => panic!("{error:?}"),
    }
}

fn url(server: &Server, login: &str, database: &str, parameters: &str) -> String {
    let port = server.port();
    format!("postgres://{login}@127.0.0.1:{port}/{database}?{parameters}")
}

#[tokio::test]
async fn logins_and_databases_that_are_wrong_are_said_so() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let login = format!("{USER}:hush");
    unavailable(
        &url(&server, &login, DATABASE, ""),
        &["authentication failed", "--store", "%40"],
    )
    .await;
    unavailable(
        &url(&server, USER, DATABASE, ""),
        &["password", "write it in --store"],
    )
    .await;
    unavailable(&url(&server, "nobody:hush", DATABASE, ""), &["nobody"]).await;
    let login = format!("{USER}:{}", server::ENCODED_PASSWORD);
    unavailable(
        &url(&server, &login, "absent", ""),
        &["CREATE DATABASE \"absent\" OWNER \"penstock\""],
    )
    .await;
    let whole = server.url("");
    server.stop("INT");
    unavailable(&whole, &["refused", "start it, or correct host and port"]).await;
    unavailable(
        "postgres://a:hush@no-such-host.invalid/b",
        &["no-such-host", "correct host"],
    )
    .await;
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let Some(server) = Server::start() else {
        return;
    };
    server.sql("postgres", "CREATE ROLE small LOGIN PASSWORD 'hush'");
    let small = |parameters: &str| url(&server, "small:hush", DATABASE, parameters);
    unavailable(
        &small(""),
        &["GRANT CREATE ON DATABASE \"meta\" TO \"small\""],
    )
    .await;
    let examined = Postgres::examine(&small("").parse().unwrap())
        .await
        .unwrap();
    assert!(!examined.exists && !examined.may_create, "{examined:?}");
    drop(open(&server, "").await);
    unavailable(&small(""), &["GRANT USAGE ON SCHEMA penstock TO \"small\""]).await;
    server.sql(DATABASE, "GRANT USAGE ON SCHEMA penstock TO small");
    unavailable(
        &small(""),
        &["GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"],
    )
    .await;
    server.sql(
        DATABASE,
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA penstock TO small",
    );
    let kv = Postgres::open(&small("").parse().unwrap()).await.unwrap();
    kv.commit(set("by", "small")).await.unwrap();
    server.sql(DATABASE, "GRANT CREATE ON DATABASE meta TO small");
    let kv = Postgres::open(&small("schema=own").parse().unwrap())
        .await
        .unwrap();
    kv.commit(set("by", "small")).await.unwrap();
    server.sql("postgres", "REVOKE CONNECT ON DATABASE meta FROM PUBLIC");
    unavailable(
        &small(""),
        &["GRANT CONNECT ON DATABASE \"meta\" TO \"small\""],
    )
    .await;
}

/// Everything in the database, as text.
fn contents(server: &Server) -> String {
    server.sql(DATABASE, "SELECT xmin, * FROM penstock.format")
        + &server.sql(DATABASE, "SELECT xmin, * FROM penstock.rows ORDER BY k")
        + &server.sql(DATABASE, "SELECT nspname, proname, prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'penstock'")
}

#[tokio::test]
async fn formats_that_are_newer_or_not_ours_are_left_alone() {
    let Some(server) = Server::start() else {
        return;
    };
    let kv = open(&server, "").await;
    kv.commit(set("n", "1")).await.unwrap();
    server.sql(DATABASE, "UPDATE penstock.format SET version = 2");
    let before = contents(&server);
    let error = refused(&server.url("")).await;
    assert!(
        matches!(&error, KvError::NewerFormat(text) if text.starts_with("2 (schema penstock")),
        "{error:?}"
    );
    // Also by those who were connected before.
    let error = kv.commit(set("n", "2")).await.unwrap_err();
    assert!(
        matches!(&error, KvError::NewerFormat(text) if text.starts_with('2')),
        "{error:?}"
    );
    assert_eq!(contents(&server), before);
    server.sql(DATABASE, "UPDATE penstock.format SET version = 1");
    kv.commit(set("n", "2")).await.unwrap();
    // Lost, by those who start and those who were connected before.
    server.sql(DATABASE, "DELETE FROM penstock.format");
    for error in [
        refused(&server.url("")).await,
        kv.commit(set("n", "3")).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, KvError::Corrupt(text) if text.contains("lost its row")),
            "{error:?}"
        );
    }

    server.sql(
        DATABASE,
        "CREATE SCHEMA theirs; CREATE TABLE theirs.format (of text)",
    );
    let error = refused(&server.url("schema=theirs")).await;
    assert!(
        matches!(&error, KvError::Corrupt(text) if text.contains("?schema=")),
        "{error:?}"
    );
    server.sql(
        DATABASE,
        "CREATE SCHEMA half; CREATE TABLE half.rows (of text)",
    );
    unavailable(&server.url("schema=half"), &["rows", "already exists"]).await;
}

/// Rows that were there and are gone do not come back empty.
#[tokio::test]
async fn a_schema_that_is_gone_is_not_made_again() {
    let Some(server) = Server::start() else {
        return;
    };
    let kv = open(&server, "").await;
    kv.commit(set("n", "1")).await.unwrap();
    server.sql(DATABASE, "DROP SCHEMA penstock CASCADE");
    let gone = |error: Result<(), KvError>| {
        assert!(
            matches!(&error, Err(KvError::Unavailable(text)) if text.contains("copy")),
            "{error:?}"
        )
    };
    gone(kv.commit(set("n", "2")).await);
    server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'penstock'");
    for _ in 0..20 {
        if let Err(KvError::Unavailable(text)) = kv.commit(set("n", "2")).await
            && text.contains("is gone")
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gone(kv.commit(set("n", "2")).await);
    assert_eq!(
        server.sql(DATABASE, "SELECT to_regnamespace('penstock') IS NULL"),
        "t"
    );
}

/// An authority, and a key and certificate of a server for `name`.
fn certificates(folder: &Path, name: &str) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &authority).unwrap();
    std::fs::write(folder.join("authority.pem"), authority.pem()).unwrap();
    std::fs::write(folder.join("server.pem"), leaf.pem()).unwrap();
    let path = folder.join("server.key");
    std::fs::write(&path, key.serialize_pem()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, private).unwrap();
}

/// Over its own folder, where the certificates lie; the server looks for them from its data folder.
fn with_tls(name: &str) -> Option<Server> {
    let settings = [
        "fsync=off",
        "ssl=on",
        "ssl_cert_file=../server.pem",
        "ssl_key_file=../server.key",
    ];
    Server::with(&settings, |folder| certificates(folder, name))
}

#[tokio::test]
async fn tls_is_used_where_it_can_be_and_verified_where_it_must() {
    let Some(server) = with_tls("127.0.0.1") else {
        return;
    };
    let authority = format!(
        "sslmode=verify-full&sslrootcert={}",
        server.path("authority.pem").display()
    );
    for (parameters, encrypted) in [
        ("", true),
        ("sslmode=prefer", true),
        ("sslmode=require", true),
        (authority.as_str(), true),
        ("sslmode=disable", false),
    ] {
        let kv = open(&server, parameters).await;
        kv.commit(set("over", parameters)).await.unwrap();
        assert_eq!(kv.get(b"over").await, Ok(Some(b(parameters))));
        let examined = Postgres::examine(&server.url(parameters).parse().unwrap())
            .await
            .unwrap();
        assert_eq!(examined.encrypted, encrypted, "{parameters}");
        assert!(examined.exists && examined.may_create, "{examined:?}");
        assert_eq!(examined.careless, ["fsync"]);
    }
    unavailable(
        &server.url("sslmode=verify-full"),
        &["certificate", "sslrootcert=FILE"],
    )
    .await;
    unavailable(
        &server.url("sslmode=verify-full&sslrootcert=/absent.pem"),
        &["/absent.pem", "correct the path"],
    )
    .await;
    let key = format!(
        "sslmode=verify-full&sslrootcert={}",
        server.path("server.key").display()
    );
    unavailable(&server.url(&key), &["server.key", "holds none"]).await;

    // A server that wants TLS refuses those who come without.
    let hba = server.path("data/pg_hba.conf");
    std::fs::write(
        &hba,
        "local all all trust\nhostssl all all all scram-sha-256\n",
    )
    .unwrap();
    server.sql("postgres", "SELECT pg_reload_conf()");
    for _ in 0..1000 {
        let url = server.url("sslmode=disable").parse().unwrap();
        if Postgres::examine(&url).await.is_err() {
            break;
        }
    }
    unavailable(
        &server.url("sslmode=disable"),
        &["no encryption", "sslmode=require"],
    )
    .await;
    drop(open(&server, "sslmode=require").await);
}

#[tokio::test]
async fn a_certificate_for_another_name_or_none_at_all_is_refused() {
    let Some(server) = with_tls("db.example.com") else {
        return;
    };
    let authority = format!(
        "sslmode=verify-full&sslrootcert={}",
        server.path("authority.pem").display()
    );
    unavailable(
        &server.url(&authority),
        &["db.example.com", "host as the certificate"],
    )
    .await;
    drop(open(&server, "sslmode=require").await);
    let Some(server) = Server::start() else {
        return;
    };
    unavailable(
        &server.url("sslmode=require"),
        &["does not support TLS", "sslmode=disable"],
    )
    .await;
}
