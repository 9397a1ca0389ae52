//! Data that is there and cannot be worked on: of a newer format, damaged, or no data at all.

use std::path::Path;

use bytes::Bytes;
use metadata::kv::{Direction, Kv, Redb, Transaction};
use protocol::ErrorCode;

use super::dev;
use crate::support::broker::{Broker, penstock};
use crate::support::client::{Client, batch};
use crate::tools::{contents, run};

/// The one row that tells which format the others have, and who may write them: keys of `metadata`'s data model.
const FORMAT_ROW: &[u8] = &[0, b'f'];
const HEAD_ROW: &[u8] = &[0, b'h'];

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
    assert!(ran.stderr.contains(", at redb-"), "{ran:?}");
    assert!(!ran.stderr.contains("registry"), "{ran:?}");
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
