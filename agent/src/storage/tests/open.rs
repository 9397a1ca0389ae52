//! URLs of buckets, and what is said about wrong ones.

use bytes::Bytes;
use metadata::ObjectKey;

use crate::storage::{Cause, Store, StoreOptions};

async fn refusal(url: &str) -> String {
    let opened = Store::open(url, &StoreOptions::default()).await;
    opened.unwrap_err().to_string()
}

#[tokio::test]
async fn a_wrong_url_is_answered_with_the_right_ones() {
    for url in [
        "",
        "bucket",
        "gs://bucket",
        "memory://x",
        "file://relative/path",
        "file:./relative",
    ] {
        let said = refusal(url).await;
        for kind in ["memory:", "file:///", "s3://bucket/prefix"] {
            assert!(said.contains(kind), "{url}: {said}");
        }
    }
    assert!(refusal("s3:///prefix").await.contains("names no bucket"));
    for (path, meant) in [
        ("/folder", "a path: write file:///folder"),
        ("/my folder/x", "a path: write file:///my%20folder/x"),
    ] {
        let said = refusal(path).await;
        assert!(said.contains(path) && said.ends_with(meant), "{said}");
    }
}

#[tokio::test]
async fn a_folder_is_made_and_keeps_segments() {
    let parent = tempfile::tempdir().unwrap();
    let url = format!("file://{}/a/b", parent.path().display());
    for _ in 0..2 {
        let store = Store::open(&url, &StoreOptions::default()).await.unwrap();
        assert!(store.is_local());
        store.check().await.unwrap();
        let payload = vec![Bytes::from_static(b"abc")];
        store.put_segment(ObjectKey(7), payload).await.unwrap();
    }
    let store = Store::open(&url, &StoreOptions::default()).await.unwrap();
    let read = store.get_range(ObjectKey(7), 1..3, Cause::Fetch).await;
    assert_eq!(read.unwrap(), "bc");
    let files = std::fs::read_dir(parent.path().join("a/b")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["segments"], "the probe is gone");
}

#[tokio::test]
async fn what_is_no_folder_is_said() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    for below in ["", "/below"] {
        let said = refusal(&format!("file://{}{below}", file.display())).await;
        assert!(said.contains("check the path"), "{said}");
    }
}

#[tokio::test]
async fn memory_is_empty_each_time() {
    let options = StoreOptions::default();
    let store = Store::open("memory:", &options).await.unwrap();
    store.check().await.unwrap();
    let payload = vec![Bytes::from_static(b"abc")];
    store.put_segment(ObjectKey(1), payload).await.unwrap();
    let other = Store::open("memory:", &options).await.unwrap();
    let read = other.get_range(ObjectKey(1), 0..1, Cause::Fetch).await;
    assert!(read.is_err());
}

#[tokio::test]
async fn a_wrong_endpoint_is_said_before_anything_is_sent() {
    for endpoint in ["localhost:9000", "host", "", "ftp://host"] {
        let options = StoreOptions {
            s3_endpoint: Some(endpoint.into()),
        };
        let error = Store::open("s3://bucket", &options).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("is not an S3 endpoint"), "{said}");
    }
}
