//! A bucket or a store in memory, where the other of the two outlives the process.

use crate::support::processes::Process;

/// On the next start it would be refused, and why would be read too late.
#[tokio::test]
async fn what_ends_with_the_process_while_the_other_does_not_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = format!("file://{}", folder.path().join("bucket").display());
    let store = format!("redb://{}", folder.path().join("m.redb").display());
    let (bucket, store) = (bucket.as_str(), store.as_str());
    for (command, more, said) in [
        ("dev", ["--store", "memory:", "--bucket", bucket], 1),
        ("dev", ["--store", store, "--bucket", "memory:"], 1),
        ("dev", ["--store", "memory:", "--bucket", "memory:"], 0),
        ("agent", ["--store", "memory:", "--bucket", "memory:"], 0),
    ] {
        // As if it were used for the first time.
        for path in ["bucket", "m.redb"].map(|name| folder.path().join(name)) {
            let _ = std::fs::remove_dir_all(&path);
            let _ = std::fs::remove_file(&path);
        }
        let log = folder.path().join("log");
        let broker = Process::start_logging(command, "warn", Some(log.clone()), &more).await;
        broker.until_ready("200").await;
        broker.terminate().await;
        assert_eq!(told(&log), said, "{command} {more:?}");
    }
}

#[tokio::test]
async fn so_it_is_told_of_metadata_and_of_agents_in_processes_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let logs = ["metadata", "agent"].map(|name| folder.path().join(name));
    let [of_metadata, of_agent] = logs.clone().map(Some);
    let store = ["--store", "memory:"];
    let metadata = Process::start_logging("metadata", "warn", of_metadata, &store).await;
    let at = metadata.listen.to_string();
    let more = ["--bucket", "memory:", "--metadata", &at];
    let agent = Process::start_logging("agent", "warn", of_agent, &more).await;
    agent.until_ready("200").await;
    agent.terminate().await;
    metadata.terminate().await;
    assert_eq!(logs.map(|log| told(&log)), [1, 1]);
}

/// Lines that say so.
fn told(log: &std::path::Path) -> usize {
    let said = std::fs::read_to_string(log).unwrap();
    let said = said.lines();
    said.filter(|line| line.contains("ends with this process"))
        .count()
}
