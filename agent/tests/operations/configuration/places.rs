//! Addresses, buckets, stores and folders that are none, out of reach, or somebody else's.

use protocol::ErrorCode;
use tokio::net::{TcpListener, TcpStream};

use super::{dev, misused};
use crate::bucket::{SECRET, Server, credentials, free_address};
use crate::support::broker::{Broker, penstock};
use crate::support::client::{Client, batch};
use crate::tools::{Mount, contents, ready, run};

/// Nobody could connect to what others would be told.
#[tokio::test]
async fn all_addresses_are_listened_on_only_where_another_one_is_told() {
    let agent = |more: &[&'static str]| {
        let known = ["agent", "--bucket", "memory:", "--store", "memory:"];
        [&known[..], more].concat()
    };
    let metadata = ["metadata", "--store", "memory:"];
    let named = "in://127.0.0.1:0,out://0.0.0.0:0";
    for (arguments, parts) in [
        (
            agent(&["--listen", "0.0.0.0:0"]),
            ["--listen 0.0.0.0:0", "give --advertise HOST:PORT"],
        ),
        (
            agent(&["--listen", "[::]:0"]),
            ["--listen [::]:0", "give --advertise HOST:PORT"],
        ),
        (
            agent(&["--listen", named]),
            ["out://0.0.0.0:0", "give --advertise out://HOST:PORT"],
        ),
        (
            agent(&["--listen", "127.0.0.1:0", "--advertise", "0.0.0.0:9092"]),
            ["--advertise 0.0.0.0:9092", "give --advertise HOST:PORT"],
        ),
        (
            agent(&["--listen", "127.0.0.1:0", "--peer-listen", "0.0.0.0:0"]),
            ["--peer-listen 0.0.0.0:0", "give --peer-advertise HOST:PORT"],
        ),
        (
            vec!["dev", "--listen", "0.0.0.0:0", "--bucket", "memory:"],
            ["--listen 0.0.0.0:0", "give --advertise HOST:PORT"],
        ),
        (
            [&metadata[..], &["--listen", "0.0.0.0:0"]].concat(),
            ["--listen 0.0.0.0:0", "give --advertise HOST:PORT"],
        ),
    ] {
        run(&mut penstock(arguments)).await.misused(&parts);
    }
    // As in containers.
    let told = ["--listen", "0.0.0.0:0", "--advertise", "broker.test:9092"];
    let mut command = penstock(["dev", "--http", "127.0.0.1:0"]);
    let memory = ["--bucket", "memory:", "--store", "memory:"];
    let broker = Broker::start(command.args(told).args(memory)).await;
    assert!(broker.terminate().await.success());
}

/// Whichever command is given it, and whether it is a bucket's, a store's or an endpoint's.
#[tokio::test]
async fn a_url_that_is_none_ends_every_command_with_one_code() {
    let good = ["--bucket", "memory:", "--store", "memory:"];
    let s3 = ["--bucket", "s3://b/p", "--s3-endpoint", "nowhere"];
    let wrong = [
        (
            vec!["--bucket", "nonsense", "--store", "memory:"],
            "nonsense",
        ),
        (
            vec!["--bucket", "memory:", "--store", "nonsense"],
            "--store",
        ),
        ([&s3[..], &good[2..]].concat(), "not an S3 endpoint"),
        ([&good[..], &["--log", "[,"]].concat(), "--log"),
        (
            [&good[..], &["--log", "warning"]].concat(),
            "--log warning: 'warning' is not a level: write off, error, warn",
        ),
    ];
    for (flags, part) in wrong {
        for command in [
            &["dev", "--listen", "127.0.0.1:0"][..],
            &["agent", "--listen", "127.0.0.1:0"],
            &["metadata", "--listen", "127.0.0.1:0"],
            &["doctor"],
        ] {
            let mut command = penstock(command);
            credentials(&mut command, SECRET);
            let ran = run(command.args(&flags)).await;
            assert_eq!(ran.status.code(), Some(2), "{ran:?}");
            assert!(ran.stderr.contains(part), "{ran:?}");
        }
    }
}

#[tokio::test]
async fn a_bucket_that_is_none_or_out_of_reach_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (bucket, part) in [
        ("nonsense", "is not a bucket"),
        ("http://example.com/", "s3://bucket/prefix"),
        ("s3:///prefix", "names no bucket"),
        ("file://relative/path", "file:///absolute/path"),
        ("file:./relative", "not an absolute path of this machine"),
        ("/folder", "write file:///folder"),
    ] {
        run(&mut dev(&data, &["--bucket", bucket]))
            .await
            .misused(&[bucket, part]);
    }
    let endpoint = format!("http://{}", free_address());
    let mut command = dev(
        &data,
        &["--bucket", "s3://there/p", "--s3-endpoint", &endpoint],
    );
    credentials(&mut command, SECRET);
    run(&mut command)
        .await
        .refused(&["the bucket does not answer", "--s3-endpoint"]);
    // Something answers, but not S3.
    let pages = Broker::in_memory(&[]).await;
    let endpoint = format!("http://{}", pages.http);
    let mut command = dev(
        &data,
        &["--bucket", "s3://there/p", "--s3-endpoint", &endpoint],
    );
    credentials(&mut command, SECRET);
    run(&mut command)
        .await
        .refused(&["does not speak S3", "--s3-endpoint"]);
    assert!(!data.exists());
}

#[tokio::test]
async fn wrong_credentials_and_a_missing_bucket_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for server in Server::all().await {
        for (bucket, secret, part) in [
            (
                "s3://there/p",
                "wrong-secret",
                "the credentials are wrong: check AWS_ACCESS_KEY_ID",
            ),
            (
                "s3://not-there/p",
                SECRET,
                "there is no such bucket: create it, or correct --bucket",
            ),
        ] {
            let mut command = dev(
                &data,
                &["--bucket", bucket, "--s3-endpoint", &server.endpoint],
            );
            credentials(&mut command, secret);
            run(&mut command).await.refused(&[part]);
        }
        assert!(!data.exists(), "{}", server.name);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_refused() {
    // Permissions do not bind root, so: below a file, and on a file system that is read-only.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let data = file.join("data");
    let before = contents(folder.path());
    run(&mut dev(&data, &[])).await.refused(&[
        data.to_str().unwrap(),
        "cannot be made",
        "check the path",
    ]);
    run(&mut dev(&data, &["--bucket", "memory:"]))
        .await
        .refused(&["cannot make the folder", "--data"]);
    let lost = format!("redb://{}", folder.path().join("nowhere/m.redb").display());
    let fresh = folder.path().join("fresh");
    run(&mut dev(&fresh, &["--store", &lost]))
        .await
        .refused(&["nowhere", "--store"]);
    assert_eq!(contents(folder.path()), before);
    let Some(mount) = Mount::new("size=1m,ro") else {
        return;
    };
    run(&mut dev(mount.path(), &[])).await.refused(&[
        "cannot be made",
        "Read-only",
        "check the path",
    ]);
    let bucket = format!("file://{}", mount.path().display());
    run(&mut dev(&fresh, &["--bucket", &bucket]))
        .await
        .refused(&["cannot be written", "Read-only"]);
    let store = format!("redb://{}", mount.path().join("m.redb").display());
    let memory = ["--bucket", "memory:", "--store", &store];
    run(&mut dev(&fresh, &memory))
        .await
        .refused(&["m.redb", "Read-only"]);
    assert_eq!(contents(folder.path()), before);
}

/// Clients would wait in the line of a process that is about to end.
#[tokio::test]
async fn nobody_is_heard_before_the_bucket_was_asked() {
    let bucket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", bucket.local_addr().unwrap());
    let ports = [free_address(), free_address()].map(|address| address.to_string());
    let mut command = penstock(["agent", "--log", "off", "--store", "memory:"]);
    command.args(["--listen", &ports[0], "--http", &ports[1]]);
    command.args(["--bucket", "s3://there/p", "--s3-endpoint", &endpoint]);
    credentials(&mut command, SECRET);
    let asked = async {
        let (silent, _) = bucket.accept().await.unwrap();
        for port in &ports {
            assert!(TcpStream::connect(port).await.is_err(), "{port}");
        }
        silent
    };
    let (ran, _silent) = tokio::join!(run(&mut command), asked);
    ran.refused(&["the bucket does not answer", "--s3-endpoint"]);
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let _listener = TcpListener::bind(&taken).await;
    for flag in ["--listen", "--http"] {
        let other = if flag == "--listen" {
            "--http"
        } else {
            "--listen"
        };
        let mut command = penstock(["dev", flag, &taken, other, "127.0.0.1:0", "--data"]);
        let ran = run(command.arg(&data)).await;
        ran.refused(&["cannot listen on", &taken, "is another process there", flag]);
        assert!(!ran.stderr.contains("PENSTOCK_"), "it was typed: {ran:?}");
    }
    // Whoever set a variable looks in vain for the flag.
    let mut command = penstock(["dev", "--http", "127.0.0.1:0", "--data"]);
    let ran = run(command.arg(&data).env("PENSTOCK_LISTEN", &taken)).await;
    ran.refused(&[&taken, "--listen", "(PENSTOCK_LISTEN gives --listen)"]);
    assert!(!data.exists());
}

/// Nothing outside has to change for it to start, so the code is that of wrong flags.
#[tokio::test]
async fn two_flags_with_the_same_port_are_misused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let port = free_address().to_string();
    let known = [
        &["agent", "--bucket", "memory:", "--store", "memory:"][..],
        &["metadata", "--store", "memory:"],
        &["dev", "--data", data.to_str().unwrap()],
    ];
    for command in known {
        let mut command = penstock(command);
        command.args(["--listen", &port, "--http", &port]);
        let ran = run(&mut command).await;
        ran.misused(&[&port, "--listen", "--http", "are the same port"]);
    }
    assert!(!data.exists());
}

/// As one that is of the router before it. These are for documentation, so no machine has them.
#[tokio::test]
async fn an_address_of_another_machine_is_told_apart_from_a_port_that_is_taken() {
    let known = ["agent", "--bucket", "memory:", "--store", "memory:"];
    let anywhere = ["--listen", "127.0.0.1:0"];
    for (flags, flag) in [
        (vec!["--listen", "192.0.2.1:9092"], "--listen"),
        (
            [&anywhere[..], &["--http", "192.0.2.1:9092"]].concat(),
            "--http",
        ),
        (
            [&anywhere[..], &["--peer-listen", "192.0.2.1:9092"]].concat(),
            "--peer-listen",
        ),
    ] {
        let ran = run(penstock(known).args(flags)).await;
        let parts = [
            "cannot listen on 192.0.2.1:9092",
            "this machine has no",
            flag,
        ];
        ran.refused(&parts);
        ran.refused(&["0.0.0.0:9092"]);
        assert!(!ran.stderr.contains("another process"), "{ran:?}");
    }
}

/// Which form is wanted is said by every flag and variable; `localhost` is an address that people type.
#[tokio::test]
async fn an_address_that_is_none_is_told_with_one_that_is() {
    let agent = ["agent", "--bucket", "memory:", "--store", "memory:"];
    let metadata = ["metadata", "--store", "memory:"];
    for (command, flag) in [
        (&["dev"][..], "--listen"),
        (&["dev"], "--http"),
        (&agent, "--listen"),
        (&agent, "--http"),
        (&agent, "--peer-listen"),
        (&metadata, "--listen"),
        (&metadata, "--http"),
    ] {
        for wrong in ["nonsense", "9644", "broker.test:9092"] {
            let mut command = penstock(command);
            misused(
                command.args([flag, wrong]),
                &[wrong, flag, "as in 127.0.0.1:9092"],
            )
            .await;
        }
    }
    let mut command = penstock(["dev", "--bucket", "memory:", "--store", "memory:"]);
    command.args(["--listen", "localhost:0", "--http", "localhost:0"]);
    let broker = Broker::start(&mut command).await;
    assert!(broker.listen.ip().is_loopback() && broker.http.ip().is_loopback());
    assert!(broker.terminate().await.success());
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Broker::in_folder(folder.path(), &[]).await;
    ready(&first).await;
    let mut client = Client::connect(first.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let names = |folder| contents(folder).into_keys().collect::<Vec<_>>();
    let before = names(folder.path());
    let ran = run(&mut dev(folder.path(), &[])).await;
    ran.refused(&["metadata.redb", "is open in another process", "--data"]);
    assert_eq!(names(folder.path()), before);
    // The first one did not notice.
    let placed = client.produce("t", 0, batch(&["still here"])).await;
    assert_eq!(placed.error_code, ErrorCode::NONE);
}
