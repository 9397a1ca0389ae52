//! The way past records that are damaged for good: an operator gives them up.

use std::path::Path;

use protocol::ErrorCode;
use protocol::record_batch::BatchHeader;

use super::damaged_index::by_time;
use super::processes::Process;
use super::tools::{contents, records_of, run};
use crate::support::broker::{Broker, penstock};
use crate::support::client::{Client, batch};

/// The segments of a data folder, oldest first.
fn segments(data: &Path) -> Vec<std::path::PathBuf> {
    let all = contents(&data.join("bucket").join("segments")).into_iter();
    let files = all.filter(|(_, bytes)| bytes.is_some());
    let mut files: Vec<_> = files.map(|(path, _)| path).collect();
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    files
}

async fn next_offset(client: &mut Client, offset: i64) -> Result<Option<i64>, ErrorCode> {
    let data = client.fetch("t", 0, offset).await;
    match data.error_code {
        ErrorCode::NONE => Ok(records_of(&data).first().map(|(offset, _)| *offset)),
        code => Err(code),
    }
}

#[tokio::test]
async fn readers_step_over_what_was_given_up_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let broker = Broker::in_folder(data, &[]).await;
    let mut client = Client::connect(broker.listen).await;
    client.create_topic("t", 1, &[]).await;
    for value in ["0", "1", "2", "3", "4"] {
        let placed = client.produce("t", 0, batch(&[value])).await;
        assert_eq!(placed.error_code, ErrorCode::NONE);
    }
    assert!(broker.terminate().await.success());
    let segments = segments(data);
    assert_eq!(segments.len(), 5);
    for gone in [1, 2, 4] {
        std::fs::remove_file(&segments[gone]).unwrap();
    }

    let damaged = Err(ErrorCode::KAFKA_STORAGE_ERROR);
    let broker = Broker::in_folder(data, &["--log", "off"]).await;
    let mut client = Client::connect(broker.listen).await;
    let mut found = Vec::new();
    for offset in 0..5 {
        found.push(next_offset(&mut client, offset).await);
    }
    assert_eq!(found, [Ok(Some(0)), damaged, damaged, Ok(Some(3)), damaged]);
    assert!(broker.terminate().await.success());

    let store = format!("redb://{}", data.join("metadata.redb").display());
    let bucket = format!("file://{}", data.join("bucket").display());
    let say_with = async |more: &[&str], records: &str| {
        let mut command = penstock(["metadata", "--log", "off", "mark-lost", "--store", &store]);
        run(command.args(["--records", records]).args(more)).await
    };
    let say = async |records: &str| say_with(&["--bucket", &bucket], records).await;
    // What can be read is not lost, and another bucket has nothing of it.
    for (records, readable) in [
        ("t:0:0-0", "t:0:0-0"),
        ("t:0:1-4", "t:0:3-3"),
        ("t:0:3-3", "t:0:3-3"),
    ] {
        let can_be_read = format!("{readable} can be read");
        let ran = say(records).await;
        ran.refused(&[records, &can_be_read, "nothing was changed", "--force"]);
    }
    let empty = tempfile::tempdir().unwrap();
    let other = format!("file://{}", empty.path().display());
    let ran = say_with(&["--bucket", &other], "t:0:0-0").await;
    ran.refused(&["keeps its records in another bucket"]);
    let lacking = say_with(&[], "t:0:0-0").await;
    assert_eq!(lacking.status.code(), Some(2), "{lacking:?}");
    for (records, why) in [
        ("t:0:1-9", "does not have all of those offsets"),
        ("t:7:1-2", "no such partition"),
        ("u:0:1-2", "no topic"),
    ] {
        say(records)
            .await
            .refused(&[records, why, "nothing was changed"]);
    }
    for records in ["t:0:1-1", "t:0:2-2", "t:0:1-2"] {
        let ran = say(records).await;
        assert!(
            ran.status.success() && ran.stdout.contains("is given up"),
            "{ran:?}"
        );
    }

    // As often as the store is read again.
    for _ in 0..2 {
        let broker = Broker::in_folder(data, &[]).await;
        let mut client = Client::connect(broker.listen).await;
        let mut found = Vec::new();
        for offset in 0..5 {
            found.push(next_offset(&mut client, offset).await);
        }
        let behind = Ok(Some(3));
        assert_eq!(found, [Ok(Some(0)), behind, behind, behind, damaged]);
        // What is damaged and was not given up is still said, and only that is counted.
        assert!(broker.metric("penstock_damage_total", &[]).await <= 1.0);
        assert_eq!(by_time(&mut client, "t", 0).await, ErrorCode::NONE);
        assert!(broker.terminate().await.success());
    }

    // At the end of the log a reader is led behind what was given up, and has what comes next.
    assert!(say("t:0:4-4").await.status.success());
    let broker = Broker::in_folder(data, &[]).await;
    let mut client = Client::connect(broker.listen).await;
    let data = client.fetch("t", 0, 4).await;
    let empty = data.records.expect("a batch").0.concat();
    let empty = BatchHeader::read(&empty).unwrap();
    let takes = (empty.base_offset, empty.last_offset_delta);
    assert_eq!((takes, empty.record_count), ((4, 0), 0));
    assert_eq!(next_offset(&mut client, 5).await, Ok(None));
    let placed = client.produce("t", 0, batch(&["5"])).await;
    assert_eq!(placed.base_offset, 5);
    assert_eq!(next_offset(&mut client, 4).await, Ok(Some(5)));
    assert_eq!(broker.metric("penstock_damage_total", &[]).await, 0.0);
    assert!(broker.terminate().await.success());
}

/// Said to the processes that serve, and by one who wants to be rid of what can be read.
#[tokio::test]
async fn records_that_can_be_read_are_given_up_by_force_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let bucket = format!("file://{}", path("bucket").display());
    let store = format!("redb://{}", path("m.redb").display());
    let metadata = Process::start("metadata", &["--store", &store, "--bucket", &bucket]).await;
    let at = metadata.listen.to_string();
    let agent = Process::start("agent", &["--bucket", &bucket, "--metadata", &at]).await;
    agent.until_ready("200").await;
    let mut client = Client::connect(agent.listen).await;
    client.create_topic("t", 1, &[]).await;
    for value in ["0", "1"] {
        let placed = client.produce("t", 0, batch(&[value])).await;
        assert_eq!(placed.error_code, ErrorCode::NONE);
    }
    let say = async |more: &[&str]| {
        let records = ["--records", "t:0:0-0", "--metadata", &at];
        let mut command = penstock(["metadata", "--log", "off", "mark-lost"]);
        run(command.args(records).args(more)).await
    };
    let ran = say(&["--bucket", &bucket]).await;
    ran.refused(&["t:0:0-0 can be read", "nothing was changed", "--force"]);
    assert_eq!(next_offset(&mut client, 0).await, Ok(Some(0)));
    let ran = say(&["--force"]).await;
    assert!(ran.stdout.contains("is given up"), "{ran:?}");
    assert_eq!(next_offset(&mut client, 0).await, Ok(Some(1)));
    agent.terminate().await;
    metadata.terminate().await;
}
