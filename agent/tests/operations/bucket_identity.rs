//! Bucket and metadata that belong together, and those that do not: what users meet when they wipe, move or mix up one of
//! the two.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use protocol::ErrorCode;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::bucket::{SECRET, Server, credentials};
use super::processes::Process;
use super::tools::{Ran, contents, run, until, values};
use crate::support::broker::{Broker, penstock, signal};
use crate::support::client::{Client, batch};

const WITNESS: &str = "penstock.json";

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder is named in UTF-8")
}

/// A broker over that folder, with these flags, that is refused.
async fn dev(data: &Path, more: &[&str]) -> Ran {
    let anywhere = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let mut command = penstock(["dev", "--log", "off", "--data", text(data)]);
    run(command.args(anywhere).args(more)).await
}

/// A data folder in which `dev` ran and took a record.
async fn used() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let placed = client.produce("t", 0, batch(&["kept"])).await;
    assert_eq!(placed.error_code, ErrorCode::NONE);
    assert!(broker.terminate().await.success());
    assert!(data.path().join("bucket").join(WITNESS).is_file());
    data
}

/// That the record of [`used`] can be read with these flags.
async fn is_read(data: &Path, more: &[&str]) {
    let broker = Broker::in_folder(data, more).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(values(&mut client, "t", 0).await, ["kept"]);
    assert!(broker.terminate().await.success());
}

#[tokio::test]
async fn metadata_is_refused_over_a_bucket_that_was_wiped_until_it_is_back() {
    let data = used().await;
    let (bucket, aside) = (data.path().join("bucket"), data.path().join("aside"));
    std::fs::rename(&bucket, &aside).unwrap();
    let metadata = text(&data.path().join("metadata.redb")).to_owned();
    let ran = dev(data.path(), &[]).await;
    ran.refused(&[
        "keeps its records in another bucket",
        "/bucket/ is empty",
        &metadata,
        "bring its objects back",
        "name a new metadata store",
    ]);
    assert!(!bucket.join(WITNESS).exists(), "it is not claimed");
    std::fs::remove_dir_all(&bucket).unwrap();
    std::fs::rename(&aside, &bucket).unwrap();
    is_read(data.path(), &[]).await;
    // As the sentence says: both new.
    std::fs::remove_dir_all(&bucket).unwrap();
    let fresh = format!("redb://{metadata}.new");
    let broker = Broker::in_folder(data.path(), &["--store", &fresh]).await;
    assert!(broker.terminate().await.success());
}

#[tokio::test]
async fn new_metadata_is_refused_over_a_bucket_that_is_used() {
    let data = used().await;
    let (metadata, aside) = (
        data.path().join("metadata.redb"),
        data.path().join("aside.redb"),
    );
    std::fs::rename(&metadata, &aside).unwrap();
    let before = contents(&data.path().join("bucket"));
    for _ in 0..2 {
        dev(data.path(), &[]).await.refused(&[
            "/bucket/ belongs to cluster",
            text(&metadata),
            "bring it back from a copy",
        ]);
    }
    // The agent's look at whether the folder can be written leaves nothing.
    assert!(before == contents(&data.path().join("bucket")));
    std::fs::rename(&aside, &metadata).unwrap();
    is_read(data.path(), &[]).await;
}

#[tokio::test]
async fn a_bucket_is_known_by_what_lies_in_it_and_not_by_its_url() {
    let data = used().await;
    let real = data.path().join("bucket");
    let link = data.path().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    for url in [
        format!("file://{}", real.display()),
        format!("file://{}//bucket/", data.path().display()),
        format!("file://{}/x/../bucket", data.path().display()),
        format!("file://{}", link.display()),
    ] {
        is_read(data.path(), &["--bucket", &url]).await;
    }
    // Moved as a whole it is still the same.
    let moved = data.path().join("moved");
    std::fs::rename(&real, &moved).unwrap();
    let url = format!("file://{}", moved.display());
    is_read(data.path(), &["--bucket", &url]).await;
}

#[tokio::test]
async fn a_second_quick_start_command_needs_a_data_folder_of_its_own() {
    let data = used().await;
    let second = format!("file://{}", data.path().join("second").display());
    dev(data.path(), &["--bucket", &second]).await.refused(&[
        "another bucket",
        &second,
        "is empty",
        "name a new metadata store for this one",
    ]);
    // The README's way.
    let own = tempfile::tempdir().unwrap();
    let broker = Broker::in_folder(own.path(), &["--bucket", &second]).await;
    assert!(broker.terminate().await.success());
    // And now it belongs to that one.
    dev(data.path(), &["--bucket", &second]).await.refused(&[
        "belongs to cluster",
        "is that of cluster",
        "the bucket of cluster",
    ]);
    is_read(data.path(), &[]).await;
}

#[tokio::test]
async fn a_bucket_that_does_not_say_whose_it_is_is_refused_and_can_be_told() {
    let data = used().await;
    let witness = data.path().join("bucket").join(WITNESS);
    let said = std::fs::read(&witness).unwrap();
    std::fs::remove_file(&witness).unwrap();
    let ran = dev(data.path(), &[]).await;
    ran.refused(&["holds segments (segments/", "no penstock.json"]);
    let words = ran.stderr.split_once("with these words: ").unwrap().1;
    std::fs::write(&witness, words).unwrap();
    is_read(data.path(), &[]).await;
    for damaged in [&b""[..], b"{\"format\": 1", &[0xff; 100_000]] {
        std::fs::write(&witness, damaged).unwrap();
        let ran = dev(data.path(), &[]).await;
        ran.refused(&["penstock.json in file://", "from a copy"]);
        let words = ran.stderr.split_once("with these words: ").unwrap().1;
        std::fs::write(&witness, words).unwrap();
        is_read(data.path(), &[]).await;
    }
    // New metadata: nothing says what the segments are.
    std::fs::remove_file(&witness).unwrap();
    let fresh = format!("redb://{}", data.path().join("new.redb").display());
    dev(data.path(), &["--store", &fresh])
        .await
        .refused(&["is new", "delete them if nobody needs them"]);
    std::fs::write(&witness, said).unwrap();
    is_read(data.path(), &[]).await;
}

#[tokio::test]
async fn of_two_agents_with_different_buckets_only_one_serves() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = Process::start("metadata", &["--store", "memory:"]).await;
    let at = metadata.listen.to_string();
    let bucket = |name: &str| format!("file://{}", folder.path().join(name).display());
    let (first, second) = (bucket("first"), bucket("second"));
    let agent = Process::start("agent", &["--bucket", &first, "--metadata", &at]).await;
    agent.until_ready("200").await;
    let anywhere = ["--listen", "127.0.0.1:0", "--log", "off"];
    let mut other = penstock(["agent", "--bucket", &second, "--metadata", &at]);
    let ran = run(other.args(anywhere)).await;
    ran.refused(&["another bucket", &second, &at, "is empty"]);
    assert!(contents(&folder.path().join("second")).is_empty());
    // With the same one, by whatever name, it serves.
    let same = format!("{first}/");
    let third = Process::start("agent", &["--bucket", &same, "--metadata", &at]).await;
    third.until_ready("200").await;
    agent.until_ready("200").await;
    // Another cluster's agent does not get that bucket.
    let ran =
        run(penstock(["agent", "--bucket", &first, "--store", "memory:"]).args(anywhere)).await;
    ran.refused(&["belongs to cluster", &first, "memory:"]);
}

#[tokio::test]
async fn an_agent_waits_for_its_metadata_before_it_says_anything_of_the_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = format!("file://{}", folder.path().join("bucket").display());
    let store = format!("redb://{}", folder.path().join("m.redb").display());
    let mut metadata = Process::start("metadata", &["--store", &store]).await;
    metadata.until_ready("200").await;
    metadata.kill().await;
    let at = metadata.listen.to_string();
    let mut agent = Process::start("agent", &["--bucket", &bucket, "--metadata", &at]).await;
    agent.until_ready("503").await;
    assert!(!folder.path().join("bucket").join(WITNESS).exists());
    metadata.restart();
    agent.until_ready("200").await;
    // And a restart of either changes nothing.
    agent.kill().await;
    agent.restart();
    agent.until_ready("200").await;
    until("it says whose it is", async || {
        folder.path().join("bucket").join(WITNESS).is_file()
    })
    .await;
}

#[tokio::test]
async fn doctor_sees_whether_they_belong_together() {
    let (data, other) = (used().await, used().await);
    let doctor = async |bucket: &Path, store: &Path| {
        let bucket = format!("file://{}", bucket.join("bucket").display());
        let store = format!("redb://{}", store.join("metadata.redb").display());
        run(penstock(["doctor"]).args(["--bucket", &bucket, "--store", &store])).await
    };
    let ran = doctor(data.path(), data.path()).await;
    assert!(ran.status.success(), "{ran:?}");
    assert!(ran.stdout.contains("Bucket and metadata belong together."));
    let empty = tempfile::tempdir().unwrap();
    std::fs::create_dir(empty.path().join("bucket")).unwrap();
    let ran = doctor(empty.path(), empty.path()).await;
    assert!(ran.status.success(), "{ran:?}");
    assert!(
        ran.stdout.contains("know nothing of each other yet"),
        "{ran:?}"
    );
    for (bucket, store, said) in [
        (
            data.path(),
            other.path(),
            "Name that bucket, or the metadata",
        ),
        (empty.path(), data.path(), "is empty"),
        (data.path(), empty.path(), "is new and knows nothing"),
    ] {
        let ran = doctor(bucket, store).await;
        assert_eq!(ran.status.code(), Some(1), "{ran:?}");
        let wrong = ran.stdout.lines().find(|line| line.starts_with("WRONG"));
        let wrong = wrong.unwrap().to_lowercase();
        assert!(wrong.contains(&said.to_lowercase()), "{wrong}");
    }
}

/// What the bucket remembers tells an older copy of the metadata from the newest.
#[tokio::test]
async fn an_older_copy_of_the_metadata_is_refused() {
    let data = used().await;
    let metadata = data.path().join("metadata.redb");
    let (older, newest) = (data.path().join("older"), data.path().join("newest"));
    std::fs::copy(&metadata, &older).unwrap();
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    let placed = client.produce("t", 0, batch(&["later"])).await;
    assert_eq!(placed.error_code, ErrorCode::NONE);
    // The last point is remembered when it stops.
    assert!(broker.terminate().await.success());
    std::fs::rename(&metadata, &newest).unwrap();
    std::fs::copy(&older, &metadata).unwrap();
    for _ in 0..2 {
        let ran = dev(data.path(), &[]).await;
        ran.refused(&[
            "went back in time",
            "the bucket remembers",
            "--accept-older-store",
        ]);
    }
    std::fs::rename(&newest, &metadata).unwrap();
    let broker = Broker::in_folder(data.path(), &[]).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(values(&mut client, "t", 0).await, ["kept", "later"]);
}

#[tokio::test]
async fn a_metadata_process_of_its_own_asks_the_bucket_that_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let bucket = format!("file://{}", path("bucket").display());
    let (file, older) = (path("m.redb"), path("older"));
    let store = format!("redb://{}", file.display());
    let with_bucket = ["--store", &store, "--bucket", &bucket];
    let mut metadata = Process::start("metadata", &with_bucket).await;
    let at = metadata.listen.to_string();
    let agent = ["--bucket", &bucket, "--metadata", &at];
    let agent = Process::start("agent", &agent).await;
    agent.until_ready("200").await;
    let mut client = Client::connect(agent.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    metadata.stop().await;
    std::fs::copy(&file, &older).unwrap();
    metadata.restart();
    agent.until_ready("200").await;
    let placed = client.produce("t", 0, batch(&["later"])).await;
    assert_eq!(placed.error_code, ErrorCode::NONE);
    metadata.stop().await;
    agent.terminate().await;
    std::fs::copy(&older, &file).unwrap();
    let anywhere = ["--listen", "127.0.0.1:0", "--log", "off"];
    let ran = run(penstock(["metadata"]).args(with_bucket).args(anywhere)).await;
    ran.refused(&["went back in time", "the bucket remembers"]);
    // An empty one, where nothing would be remembered, and whoever says something to the store.
    let empty = format!("file://{}", path("empty").display());
    let with_empty = ["--store", &store, "--bucket", &empty];
    let start = [&with_empty[..], &anywhere].concat();
    for more in [start, [&["--accept-older-store"], &with_empty[..]].concat()] {
        let ran = run(penstock(["metadata"]).args(more)).await;
        ran.refused(&["keeps its records in another bucket", "is empty", &empty]);
    }
    // A bucket of another cluster.
    let other = used().await;
    let theirs = format!("file://{}", other.path().join("bucket").display());
    let mut stranger = penstock(["metadata", "--store", &store, "--bucket", &theirs]);
    let ran = run(stranger.args(anywhere)).await;
    ran.refused(&["belongs to cluster", &theirs, &store]);
    // Without a bucket it cannot know, and says so.
    let log = path("log");
    let without =
        Process::start_logging("metadata", "warn", Some(log.clone()), &["--store", &store]).await;
    without.until_ready("200").await;
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("no --bucket is given"), "{said}");
}

/// Clusters that begin at the same moment over one bucket of S3, and one that comes back to it.
#[tokio::test]
async fn of_clusters_that_race_for_a_bucket_of_s3_one_wins() {
    for server in Server::all().await {
        let data = tempfile::tempdir().unwrap();
        let start = |number: usize| {
            let store = format!("redb://{}/{number}.redb", data.path().display());
            let log = File::create(data.path().join(format!("{number}.log"))).unwrap();
            let mut command = penstock(["dev", "--log", "error", "--bucket", "s3://there/a/b"]);
            command
                .args(["--s3-endpoint", &server.endpoint, "--store", &store])
                .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(log);
            credentials(&mut command, SECRET);
            command
        };
        let mut racing: Vec<_> = (0..5)
            .map(|number| start(number).spawn().unwrap())
            .collect();
        let mut ended = vec![false; racing.len()];
        until("all but one have ended", async || {
            for (child, ended) in racing.iter_mut().zip(&mut ended) {
                *ended = child.try_wait().unwrap().is_some();
            }
            ended.iter().filter(|ended| **ended).count() >= 4
        })
        .await;
        for (number, _) in ended.iter().enumerate().filter(|(_, ended)| **ended) {
            let said = std::fs::read_to_string(data.path().join(format!("{number}.log"))).unwrap();
            assert!(
                said.contains("belongs to cluster"),
                "{}: {said}",
                server.name
            );
        }
        let winner = ended.iter().position(|ended| !ended).expect("one wins");
        // It greets once it serves.
        let mut stdout = BufReader::new(racing[winner].stdout.take().unwrap());
        let mut greeting = String::new();
        stdout.read_line(&mut greeting).await.unwrap();
        assert!(greeting.contains("listens on"), "{greeting}");
        // And what it remembers there is written anew when it stops.
        signal(racing[winner].id().unwrap(), libc::SIGTERM);
        assert!(racing[winner].wait().await.unwrap().success());
        let broker = Broker::start(&mut start(winner)).await;
        let writes = ["op=\"put\"", "cause=\"witness\"", "outcome=\"ok\""];
        let mut client = Client::connect(broker.listen).await;
        assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
        let asked = "penstock_object_store_requests_total";
        until("the point is written", async || {
            broker.metric(asked, &writes).await >= 2.0
        })
        .await;
        let refused = ["cause=\"witness\"", "outcome=\"error\""];
        assert_eq!(broker.metric(asked, &refused).await, 0.0);
        assert!(broker.terminate().await.success());
    }
}
