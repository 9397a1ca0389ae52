//! Whoever gets the configuration wrong reads one sentence that says what to do; nothing was written then.

use std::path::Path;

use bytes::Bytes;
use metadata::kv::{Direction, Kv, Redb, Transaction};
use protocol::ErrorCode;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::bucket::{SECRET, Server, credentials, free_address};
use super::tools::{Mount, contents, ready, run};
use crate::support::broker::{Broker, penstock};
use crate::support::client::{Client, batch};

/// The one row that tells which format the others have, and who may write them: keys of `metadata`'s data model.
const FORMAT_ROW: &[u8] = &[0, b'f'];
const HEAD_ROW: &[u8] = &[0, b'h'];

/// `penstock dev` on free ports, over a folder.
fn dev(data: &Path, more: &[&str]) -> Command {
    let mut command = penstock([
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--data",
    ]);
    command.arg(data).args(more);
    command
}

/// Refused by the command line: exit code 2, and each of `parts` in what it says.
async fn misused(command: &mut Command, parts: &[&str]) {
    let ran = run(command).await;
    assert_eq!(
        (ran.status.code(), ran.stdout.as_str()),
        (Some(2), ""),
        "{ran:?}"
    );
    assert!(ran.stderr.starts_with("error: "), "{ran:?}");
    assert_eq!(
        ran.stderr.matches("error: ").count(),
        1,
        "more than one complaint: {ran:?}"
    );
    for part in parts {
        assert!(ran.stderr.contains(part), "no {part:?} in {:?}", ran.stderr);
    }
}

#[tokio::test]
async fn a_wrong_flag_value_or_key_names_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    misused(
        &mut dev(&data, &["--presett", "fast"]),
        &["--presett", "similar", "--preset"],
    )
    .await;
    misused(
        &mut dev(&data, &["--preset", "fastest"]),
        &["eco, default, fast"],
    )
    .await;
    misused(
        &mut dev(&data, &["--segment-bytes", "8 apples"]),
        &["as in 64KiB, 8MiB or 1GiB"],
    )
    .await;
    misused(
        dev(&data, &[]).env("PENSTOCK_PRESET", "fastest"),
        &["eco, default, fast"],
    )
    .await;
    let file = folder.path().join("penstock.toml");
    let name = file.to_str().unwrap();
    for (text, parts) in [
        (
            "num-partition = 3",
            [
                name,
                "unknown key `num-partition`; did you mean `num-partitions`?",
            ],
        ),
        ("num-partitions = [3]", [name, "one value, not a list"]),
        ("preset = \"fastest\"", ["eco, default, fast", "--preset"]),
        ("preset = fast", [name, "is not TOML"]),
    ] {
        std::fs::write(&file, text).unwrap();
        misused(&mut dev(&data, &["--config", name]), &parts).await;
        misused(dev(&data, &[]).env("PENSTOCK_CONFIG", name), &parts).await;
    }
    misused(
        &mut dev(&data, &["--config", "/nowhere/penstock.toml"]),
        &["/nowhere/penstock.toml", "cannot be read"],
    )
    .await;
    assert!(!data.exists());
}

#[tokio::test]
async fn an_agent_must_be_told_what_it_works_on() {
    misused(
        &mut penstock(["agent"]),
        &["--bucket <URL>", "--listen <ADDR,...>"],
    )
    .await;
    let agent = ["agent", "--bucket", "memory:", "--listen", "127.0.0.1:0"];
    let both = ["--store", "memory:", "--metadata", "127.0.0.1:1"];
    run(&mut penstock(agent))
        .await
        .misused(&["--store URL", "--metadata HOST:PORT"]);
    misused(
        penstock(agent).args(both),
        &["--store or --metadata, not both"],
    )
    .await;
    let half = ["--store", "memory:", "--peer-advertise", "here:1"];
    run(penstock(agent).args(half))
        .await
        .misused(&["--peer-listen", "give that one, too"]);
    run(penstock(agent).args(["--store", "memory:", "--peer-tls-cert", "x"]))
        .await
        .misused(&["--peer-tls-ca", "together"]);
    misused(
        &mut penstock(["metadata"]),
        &["--store URL", "--listen ADDR"],
    )
    .await;
    misused(&mut penstock(["doctor"]), &["--bucket <URL>"]).await;
    let ran = run(&mut penstock([""; 0])).await;
    assert_eq!(ran.status.code(), Some(2));
    assert!(ran.stderr.contains("Usage: penstock <COMMAND>"), "{ran:?}");
}

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

/// A variable is often there for another command, and what is typed was meant.
#[tokio::test]
async fn a_typed_store_or_metadata_beats_a_variable_of_the_other() {
    let agent = ["agent", "--bucket", "memory:", "--listen", "127.0.0.1:0"];
    let mut both = penstock(agent);
    both.env("PENSTOCK_STORE", "memory:");
    both.env("PENSTOCK_METADATA", "127.0.0.1:1");
    let parts = [
        "PENSTOCK_STORE",
        "PENSTOCK_METADATA",
        "leave one of them out",
    ];
    misused(&mut both, &parts).await;
    // Which of the two counts is seen in what is refused next.
    let mut elsewhere = penstock(agent);
    elsewhere.env("PENSTOCK_STORE", "memory:");
    elsewhere.args(["--metadata", "127.0.0.1:1", "--peer-listen", "127.0.0.1:0"]);
    let parts = ["--peer-listen is for the metadata of --store"];
    run(&mut elsewhere).await.misused(&parts);
    let mut here = penstock(agent);
    here.env("PENSTOCK_METADATA", "127.0.0.1:1");
    here.args(["--store", "redb:///nowhere/m.redb"]);
    run(&mut here).await.refused(&["/nowhere", "--store"]);
}

#[tokio::test]
async fn help_and_version_read_well() {
    for (words, parts) in [
        (
            vec!["--help"],
            vec![
                "dev",
                "agent",
                "metadata",
                "doctor",
                "Usage: penstock <COMMAND>",
            ],
        ),
        (
            vec!["dev", "--help"],
            vec![
                "--listen <ADDR>",
                "127.0.0.1:9092",
                "127.0.0.1:9644",
                "PENSTOCK_DATA",
            ],
        ),
        (
            vec!["agent", "--help"],
            vec![
                "--bucket <URL>",
                "--store <URL>",
                "--metadata <HOST:PORT,...>",
                "--peer-listen <ADDR>",
                "--advertise <HOST:PORT,...>",
                "--zone <ZONE>",
                "--client-zones <RANGE|LISTENER=ZONE,...>",
                "--roles <ROLE,...>",
            ],
        ),
        (
            vec!["doctor", "--help"],
            vec!["--bucket <URL>", "--store <URL>", "PENSTOCK_S3_ENDPOINT"],
        ),
        (
            vec!["--version"],
            vec![concat!("penstock ", env!("CARGO_PKG_VERSION"))],
        ),
        (vec!["dev", "--version"], vec![env!("CARGO_PKG_VERSION")]),
    ] {
        let ran = run(&mut penstock(&words)).await;
        assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
        for part in parts {
            assert!(ran.stdout.contains(part), "no {part:?} in {:?}", ran.stdout);
        }
        assert!(
            ran.stdout.lines().all(|line| line.len() <= 110),
            "{}",
            ran.stdout
        );
    }
}

/// A flag beats its variable, the variable beats the file, the file beats the default: seen in what clients are told.
#[tokio::test]
async fn a_flag_beats_its_variable_beats_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("penstock.toml");
    std::fs::write(
        &file,
        "num-partitions = 2\nnode-id = 12\nadvertise = \"file.example:12\"\nzone = \"a\"",
    )
    .unwrap();
    let mut command = penstock(["dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command
        .args([
            "--bucket",
            "memory:",
            "--store",
            "memory:",
            "--node-id",
            "14",
            "--config",
        ])
        .arg(&file)
        .env("PENSTOCK_NODE_ID", "13")
        .env("PENSTOCK_ADVERTISE", "variable.example:13");
    let broker = Broker::start(&mut command).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", -1, &[]).await, ErrorCode::NONE);
    let answer = client
        .ask(9, &protocol::messages::MetadataRequest::default())
        .await;
    let told = &answer.brokers[0];
    assert_eq!(
        (told.node_id, told.host.as_str(), told.port),
        (14, "variable.example", 13)
    );
    assert_eq!(told.rack.as_deref(), Some("a"));
    let topic = answer
        .topics
        .iter()
        .find(|topic| topic.name.as_deref() == Some("t"));
    assert_eq!(topic.unwrap().partitions.len(), 2);
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
        ran.refused(&["cannot listen on", &taken, "Choose another address", flag]);
    }
    assert!(!data.exists());
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

/// A folder in which a broker has worked and stopped.
async fn used() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(folder.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    assert_eq!(
        client.produce("t", 0, batch(&["a"])).await.error_code,
        ErrorCode::NONE
    );
    drop(client);
    assert!(broker.terminate().await.success());
    folder
}

/// Changes one row of a store nobody has open.
async fn rewrite(folder: &Path, key: &'static [u8], change: impl FnOnce(Bytes) -> Vec<u8>) {
    let redb = Redb::open(&folder.join("metadata.redb")).unwrap();
    let row = redb.get(key).await.unwrap().expect("the row is there");
    let mut transaction = Transaction::default();
    transaction.set(Bytes::from_static(key), change(row).into());
    redb.commit(transaction).await.unwrap();
}

/// All rows of the store, and what the bucket holds. redb's own bookkeeping in its file is none of ours.
async fn rows(folder: &Path) -> impl PartialEq + std::fmt::Debug {
    let redb = Redb::open(&folder.join("metadata.redb")).unwrap();
    let rows = redb
        .range(&[], &[u8::MAX], usize::MAX, Direction::Forward)
        .await
        .unwrap();
    (rows, contents(&folder.join("bucket")))
}

#[tokio::test]
async fn data_of_a_newer_format_is_refused() {
    let folder = used().await;
    rewrite(folder.path(), FORMAT_ROW, |row| {
        assert_eq!(row[0], 1, "this test must learn the new format");
        let content = [&[99], &row[1..row.len() - 4]].concat();
        let sealed = [FORMAT_ROW, &content].concat();
        let seal = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &sealed);
        let seal = u32::try_from(seal).unwrap();
        [&content[..], &seal.to_be_bytes()].concat()
    })
    .await;
    let before = rows(folder.path()).await;
    let ran = run(&mut dev(folder.path(), &[])).await;
    ran.refused(&[
        "format 99",
        "this version knows levels up to",
        "use a newer Penstock",
    ]);
    assert_eq!(rows(folder.path()).await, before);
}

#[tokio::test]
async fn damaged_data_is_refused() {
    let folder = used().await;
    let file = folder.path().join("metadata.redb");
    let good = std::fs::read(&file).unwrap();
    for (damage, how) in [
        (
            [b"not a database at all", &good[21..]].concat(),
            "another file",
        ),
        (good[..good.len() / 2].to_vec(), "cut short"),
        (vec![0; good.len()], "zeros"),
    ] {
        std::fs::write(&file, damage).unwrap();
        let before = contents(folder.path());
        run(&mut dev(folder.path(), &[]))
            .await
            .refused(&["metadata.redb", "copy"]);
        assert_eq!(contents(folder.path()), before, "{how}");
    }
    std::fs::write(&file, &good).unwrap();
    // A whole file, but a row that Penstock did not write.
    rewrite(folder.path(), HEAD_ROW, |_| b"\xff\xff".to_vec()).await;
    run(&mut dev(folder.path(), &[]))
        .await
        .refused(&["damaged", "copy"]);
    std::fs::write(&file, &good).unwrap();
    let broker = Broker::in_folder(folder.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.fetch("t", 0, 0).await.high_watermark, 1);
}

/// redb panics on most of these, whatever was given to find out.
#[tokio::test]
async fn a_file_on_which_redb_panics_is_refused_with_a_sentence() {
    let folder = used().await;
    let file = folder.path().join("metadata.redb");
    let good = std::fs::read(&file).unwrap();
    let panics = |page: usize| {
        let mut damaged = good.clone();
        damaged[page..page + 4096].fill(0);
        std::fs::write(&file, damaged).unwrap();
        Redb::open(&file).is_err_and(|error| error.to_string().contains("panicked"))
    };
    let page = (0..good.len()).step_by(4096).find(|page| panics(*page));
    page.expect("it panics on some page");
    let damaged = std::fs::read(&file).unwrap();
    let store = format!("redb://{}", file.display());
    let says = ["metadata.redb is damaged", "bring back a copy"];
    let ran = run(&mut dev(folder.path(), &[])).await;
    ran.refused(&says);
    // Where in redb is of use, and where that lay on the machine which built this is not.
    assert!(ran.stderr.contains(".rs:"), "{ran:?}");
    for folder in ["/redb-", "registry", "/src/"] {
        assert!(!ran.stderr.contains(folder), "{ran:?}");
    }
    std::fs::write(&file, &damaged).unwrap();
    let bucket = format!("file://{}", folder.path().join("bucket").display());
    let doctor = ["doctor", "--bucket", &bucket, "--store", &store];
    let ran = run(&mut penstock(doctor)).await;
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    // What the other checks found, and how many things are wrong.
    let report = ["Objects can be stored", "WRONG", "One thing is wrong."];
    for part in says.iter().chain(&report) {
        assert!(ran.stdout.contains(part), "no {part:?} in {ran:?}");
    }
    assert!(std::fs::read(&file).unwrap() == damaged, "it is as it was");
    let left: Vec<_> = contents(folder.path()).into_keys().collect();
    let copy = |path: &std::path::PathBuf| path.to_string_lossy().contains("metadata.doctor");
    assert!(!left.iter().any(copy), "{left:?}");
}

#[tokio::test]
async fn a_file_of_no_bytes_is_refused() {
    let folder = used().await;
    let file = folder.path().join("metadata.redb");
    std::fs::write(&file, []).unwrap();
    let ran = run(&mut dev(folder.path(), &[])).await;
    ran.refused(&["metadata.redb has 0 bytes", "bring back a copy"]);
    assert!(std::fs::read(&file).unwrap().is_empty());
}
