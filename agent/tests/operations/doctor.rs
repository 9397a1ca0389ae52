//! `penstock doctor` over what is right and what is not.

use std::path::Path;

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use metadata::kv::{Direction, Kv, Redb, Transaction};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::bucket::{SECRET, Server, credentials, free_address};
use super::tools::{Mount, Ran, contents, run};
use crate::support::broker::{Broker, penstock};
use crate::support::client::{Client, batch};

async fn doctor(arguments: &[&str]) -> Ran {
    run(penstock(["doctor"]).args(arguments)).await
}

fn bucket_of(folder: &Path) -> String {
    format!("file://{}", folder.join("bucket").display())
}

fn store_of(folder: &Path) -> String {
    format!("redb://{}", folder.join("metadata.redb").display())
}

/// Says that all is well, and how fast the bucket is.
fn well(ran: &Ran) {
    assert!(ran.status.success(), "{ran:?}");
    assert!(ran.stdout.contains("All is well."), "{ran:?}");
    assert!(ran.stdout.contains("A small PUT takes"), "{ran:?}");
    assert!(!ran.stdout.contains("WRONG"), "{ran:?}");
}

/// The same where something was left out.
fn well_as_far_as_it_goes(ran: &Ran) {
    assert!(ran.status.success(), "{ran:?}");
    let end = "What was looked at is well.";
    assert!(ran.stdout.trim_end().ends_with(end), "{ran:?}");
    for not in ["All is well", "WRONG"] {
        assert!(!ran.stdout.contains(not), "{ran:?}");
    }
}

/// Says once what is wrong, in a sentence with each of `parts`.
fn wrong(ran: &Ran, parts: &[&str]) {
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    let said: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| line.starts_with("WRONG "))
        .collect();
    assert_eq!(said.len(), 1, "{ran:?}");
    for part in parts {
        assert!(said[0].contains(part), "no {part:?} in {:?}", said[0]);
    }
}

#[tokio::test]
async fn a_good_folder_is_well_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(folder.path(), &[]).await;
    assert!(broker.terminate().await.success());
    let files = || {
        let all = contents(folder.path()).into_iter();
        all.filter(|(_, bytes)| bytes.is_some())
            .map(|(path, _)| path)
            .collect::<Vec<_>>()
    };
    let before = files();
    let (bucket, store) = (bucket_of(folder.path()), store_of(folder.path()));
    well(&doctor(&["--bucket", &bucket, "--store", &store]).await);
    assert_eq!(files(), before);
    let unused = tempfile::tempdir().unwrap();
    std::fs::create_dir(unused.path().join("bucket")).unwrap();
    let (bucket, absent) = (bucket_of(unused.path()), store_of(unused.path()));
    let ran = doctor(&["--bucket", &bucket, "--store", &absent]).await;
    well(&ran);
    assert!(ran.stdout.contains("the first agent makes it"), "{ran:?}");
    assert_eq!(files(), before);
}

#[tokio::test]
async fn what_is_wrong_with_a_folder_or_a_store_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let below = format!("file://{}/bucket", file.display());
    wrong(
        &doctor(&["--bucket", &below]).await,
        &["cannot be looked at", "check the path"],
    );
    doctor(&["--bucket", "nonsense"])
        .await
        .misused(&["is not a bucket", "s3://bucket/prefix"]);
    let lost = format!("redb://{}/nowhere/m.redb", folder.path().display());
    wrong(
        &doctor(&["--bucket", "memory:", "--store", &lost]).await,
        &["The folder of", "--store"],
    );
    let not_ours = format!("redb://{}", file.display());
    wrong(
        &doctor(&["--bucket", "memory:", "--store", &not_ours]).await,
        &["is damaged", "copy"],
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    let its_folder = format!("redb://{}", folder.path().display());
    let named = format!("{its_folder}/metadata.redb");
    let ran = doctor(&["--bucket", "memory:", "--store", &its_folder]).await;
    wrong(&ran, &["is a folder", "name the file", &named]);
    assert!(!ran.stdout.contains("make room"), "{ran:?}");
}

/// Permissions do not bind root, so it is the file system.
#[tokio::test]
async fn a_file_that_may_not_be_written_needs_no_room() {
    let Some(mount) = Mount::new("size=24m") else {
        return;
    };
    let broker = Broker::in_folder(mount.path(), &[]).await;
    assert!(broker.terminate().await.success());
    let remounted = std::process::Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(mount.path())
        .status();
    assert!(remounted.unwrap().success());
    let store = store_of(mount.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = penstock(["doctor", "--bucket", "memory:", "--store", &store]);
    let ran = run(command.env("TMPDIR", elsewhere.path())).await;
    wrong(&ran, &["written", "Read-only", "check the path"]);
    assert!(!ran.stdout.contains("make room"), "{ran:?}");
    let mut command = penstock(["doctor", "--bucket", "memory:", "--store", &store]);
    let ran = run(command.env("TMPDIR", mount.path())).await;
    wrong(
        &ran,
        &["takes a copy", "Read-only", "permissions", "TMPDIR"],
    );
    assert!(!ran.stdout.contains("make room"), "{ran:?}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made_and_the_metadata_is_looked_at_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let typo = format!("file://{}", folder.path().join("typo/bucket").display());
    let store = store_of(folder.path());
    let ran = doctor(&["--bucket", &typo, "--store", &store]).await;
    wrong(&ran, &["There is no folder", "typo/bucket", "--bucket"]);
    assert!(ran.stdout.contains("There is no metadata in"), "{ran:?}");
    assert!(contents(folder.path()).is_empty());
}

/// A file that is whole to redb, and one that is not; which of their bytes a repair would write is nobody's to say.
#[tokio::test]
async fn a_file_that_is_damaged_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(folder.path(), &[]).await;
    broker.kill().await;
    let file = folder.path().join("metadata.redb");
    let store = store_of(folder.path());
    let left_open = std::fs::read(&file).unwrap();
    {
        let redb = Redb::open(&file).unwrap();
        let mut transaction = Transaction::default();
        transaction.set(KEY.to_vec().into(), Bytes::from_static(b"\xff"));
        redb.commit(transaction).await.unwrap();
    }
    let row_damaged = std::fs::read(&file).unwrap();
    let mut page_damaged = left_open.clone();
    let middle = page_damaged.len() / 2;
    page_damaged.truncate(middle);
    let mut zeroed = row_damaged.clone();
    zeroed[..64].fill(0);
    for damaged in [row_damaged, page_damaged, zeroed, Vec::new()] {
        std::fs::write(&file, &damaged).unwrap();
        let before = contents(folder.path());
        let ran = doctor(&["--bucket", "memory:", "--store", &store]).await;
        wrong(&ran, &["metadata.redb", "damaged", "bring back a copy"]);
        assert!(!ran.stdout.contains(".doctor-"), "{ran:?}");
        assert!(contents(folder.path()) == before, "{ran:?}");
    }
}

#[tokio::test]
async fn a_file_of_no_bytes_is_said_to_be_so_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("metadata.redb"), []).unwrap();
    let store = store_of(folder.path());
    let ran = doctor(&["--bucket", "memory:", "--store", &store]).await;
    wrong(&ran, &["has 0 bytes", "only if a first start was", "copy"]);
    assert!(!ran.stdout.contains("else)"), "{ran:?}");
}

/// Reading works all the same.
#[tokio::test]
async fn a_full_disk_is_said_of_the_bucket_and_of_the_metadata() {
    let Some(mount) = Mount::new("size=160m") else {
        return;
    };
    let data = mount.path().join("data");
    let broker = Broker::in_folder(&data, &[]).await;
    assert!(broker.terminate().await.success());
    let (bucket, store) = (bucket_of(&data), store_of(&data));
    let ballast = mount.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    for piece in [64 * 1024, 4096, 1] {
        while std::io::Write::write_all(&mut file, &vec![1; piece]).is_ok() {}
    }
    let no_room = "No space left on device";
    wrong(
        &doctor(&["--bucket", &bucket]).await,
        &["Nothing can be stored", no_room, "make room"],
    );
    let full = doctor(&["--bucket", "memory:", "--store", &store]).await;
    wrong(&full, &["written", no_room, "make room"]);
    assert_eq!(full.stdout.matches(no_room).count(), 1, "{full:?}");
    let absent = format!("redb://{}", data.join("absent.redb").display());
    wrong(
        &doctor(&["--bucket", "memory:", "--store", &absent]).await,
        &["cannot be made", no_room, "make room on its disk"],
    );
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    let before = contents(mount.path()).len();
    well(&doctor(&["--bucket", &bucket, "--store", &store]).await);
    assert!(
        contents(mount.path()).len() <= before + 1,
        "a folder, at most"
    );
}

/// Before it is full.
#[tokio::test]
async fn a_disk_with_little_room_is_said_once_of_all_that_lies_there() {
    for (size, free) in [("size=48m", "Only "), ("size=600m", "note  ")] {
        let Some(mount) = Mount::new(size) else {
            return;
        };
        let broker = Broker::in_folder(mount.path(), &[]).await;
        assert!(broker.terminate().await.success());
        let (bucket, store) = (bucket_of(mount.path()), store_of(mount.path()));
        let ran = doctor(&["--bucket", &bucket, "--store", &store]).await;
        let lines = ran.stdout.lines();
        let told: Vec<&str> = lines.filter(|line| line.contains("MiB are free")).collect();
        assert_eq!(told.len(), 1, "{ran:?}");
        for part in [free, "the bucket in", "the metadata in", "make room"] {
            assert!(told[0].contains(part), "no {part:?} in {told:?}");
        }
        match free {
            "Only " => wrong(&ran, &["MiB are free"]),
            _ => well(&ran),
        }
    }
}

/// Of the row that says of which format a store is.
const KEY: [u8; 2] = [0, b'f'];

/// The row with its seal, which every format has.
fn sealed(row: &[u8]) -> Bytes {
    let seal = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &[&KEY, row].concat());
    let seal = u32::try_from(seal).unwrap().to_be_bytes();
    [row, &seal].concat().into()
}

#[tokio::test]
async fn a_store_in_use_is_left_out_and_one_of_a_newer_format_is_not_well() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_of(folder.path());
    let broker = Broker::in_folder(folder.path(), &[]).await;
    let ran = doctor(&["--bucket", "memory:", "--store", &store]).await;
    well_as_far_as_it_goes(&ran);
    for part in ["note  The metadata in", "has it open", "/health/ready"] {
        assert!(ran.stdout.contains(part), "no {part:?} in {ran:?}");
    }
    assert!(broker.terminate().await.success());
    well(&doctor(&["--bucket", "memory:", "--store", &store]).await);
    {
        let redb = Redb::open(&folder.path().join("metadata.redb")).unwrap();
        let mut transaction = Transaction::default();
        transaction.set(KEY.to_vec().into(), sealed(b"\x63\x00"));
        redb.commit(transaction).await.unwrap();
    }
    wrong(
        &doctor(&["--bucket", "memory:", "--store", &store]).await,
        &["format 99", "newer Penstock"],
    );
}

/// Rows of a kind.
async fn rows(file: &Path, kind: u8) -> Vec<(Bytes, Bytes)> {
    let redb = Redb::open(file).unwrap();
    let range = ([0, kind], [0, kind + 1]);
    let rows = redb.range(&range.0, &range.1, 100, Direction::Forward);
    rows.await.unwrap()
}

/// As where an operator brings back a part of a store: each row is whole, and says what was true.
#[tokio::test]
async fn a_store_that_has_a_row_of_before_or_lost_one_is_not_well() {
    let folder = tempfile::tempdir().unwrap();
    let (file, store) = (folder.path().join("metadata.redb"), store_of(folder.path()));
    let doctored = async || doctor(&["--bucket", "memory:", "--store", &store]).await;
    let mut before = Vec::new();
    for round in 0..2 {
        let broker = Broker::in_folder(folder.path(), &["--preset", "fast"]).await;
        let mut client = Client::connect(broker.listen).await;
        if round == 0 {
            client.create_topic("t", 1, &[]).await;
            client.create_topic("unused", 1, &[]).await;
        }
        client.produce("t", 0, batch(&["v"])).await;
        assert!(broker.terminate().await.success());
        if round == 0 {
            before = rows(&file, b'p').await;
        }
    }
    let unused = rows(&file, b't').await.into_iter();
    let mut unused = unused.filter(|(_, row)| row.windows(6).any(|name| name == b"unused"));
    let (mut older, mut lost) = (Transaction::default(), Transaction::default());
    assert_eq!(before.len(), 1);
    let (key, row) = before.remove(0);
    older.set(key, row);
    lost.clear(unused.next().unwrap().0);
    let good = std::fs::read(&file).unwrap();
    for (change, kind) in [(older, "rows of partitions"), (lost, "rows of topics")] {
        well(&doctored().await);
        let redb = Redb::open(&file).unwrap();
        redb.commit(change).await.unwrap();
        drop(redb);
        let whole = "only a copy of the whole store";
        wrong(&doctored().await, &["is damaged", kind, whole]);
        std::fs::write(&file, &good).unwrap();
    }
}

/// What the AWS client tries on the way is not the operator's to read.
#[tokio::test]
async fn without_credentials_one_sentence_says_so() {
    let nowhere = format!("http://{}", free_address());
    let folder = tempfile::tempdir().unwrap();
    let mut command = penstock([
        "doctor",
        "--bucket",
        "s3://there/p",
        "--s3-endpoint",
        &nowhere,
    ]);
    for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        command.env_remove(variable);
    }
    command
        .env("HOME", folder.path())
        .env("AWS_REGION", "us-east-1");
    let machine = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", machine.local_addr().unwrap());
    command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", at);
    // The machine has no role.
    let refusing = async {
        loop {
            let (mut socket, _) = machine.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await;
            let refused =
                "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = socket.write_all(refused.as_bytes()).await;
        }
    };
    let ran = tokio::select! {
        ran = run(&mut command) => ran,
        () = refusing => unreachable!("it refuses without end"),
    };
    wrong(&ran, &["No credentials were found", "AWS_ACCESS_KEY_ID"]);
    assert_eq!(ran.stderr, "");
}

#[tokio::test]
async fn a_bucket_of_s3_is_looked_at_from_all_sides() {
    for server in Server::all().await {
        let mut good = penstock([
            "doctor",
            "--bucket",
            "s3://there/p",
            "--s3-endpoint",
            &server.endpoint,
        ]);
        credentials(&mut good, SECRET);
        let ran = run(&mut good).await;
        well(&ran);
        for sentence in [
            "Objects can be stored and read",
            "Objects can be deleted",
            "The clock agrees",
        ] {
            assert!(
                ran.stdout.contains(sentence),
                "{}: no {sentence:?} in {ran:?}",
                server.name
            );
        }
        let mut stranger = penstock([
            "doctor",
            "--bucket",
            "s3://there/p",
            "--s3-endpoint",
            &server.endpoint,
        ]);
        credentials(&mut stranger, "wrong-secret");
        wrong(
            &run(&mut stranger).await,
            &["credentials are wrong", "AWS_SECRET_ACCESS_KEY"],
        );
        let mut lost = penstock([
            "doctor",
            "--bucket",
            "s3://not-there",
            "--s3-endpoint",
            &server.endpoint,
        ]);
        credentials(&mut lost, SECRET);
        wrong(&run(&mut lost).await, &["no such bucket", "create it"]);
    }
    let endpoint = format!("http://{}", free_address());
    let mut away = penstock([
        "doctor",
        "--bucket",
        "s3://there",
        "--s3-endpoint",
        &endpoint,
    ]);
    credentials(&mut away, SECRET);
    wrong(&run(&mut away).await, &["does not answer", "--s3-endpoint"]);
}
