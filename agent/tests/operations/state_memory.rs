//! How much memory the cluster's state may take, and what is said where it is more.

use protocol::ErrorCode;
use protocol::messages::create_partitions::CreatePartitionsTopic;
use protocol::messages::create_topics::CreatableTopic;
use protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest};

use super::processes::Process;
use crate::support::client::Client;

/// As where an operator lowers it, or gives the process to a smaller machine. What is refused for it is said, too, and not
/// each time.
#[tokio::test]
async fn less_than_the_cluster_needs_is_said_at_the_start_and_where_it_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (memory, topics, lines) in [("1GiB", 5, 0), ("64MiB", 9, 2)] {
        let log = folder.path().join(memory);
        let more = ["--data", data.to_str().unwrap(), "--state-memory", memory];
        let broker = Process::start_logging("dev", "warn", Some(log.clone()), &more).await;
        broker.until_ready("200").await;
        let mut client = Client::connect(broker.listen).await;
        // With the first 50,000 there is more than the second may have.
        for topic in 0..topics {
            let name = format!("{memory}-{topic}");
            let made = client.create_topic(&name, 10_000, &[]).await;
            assert_eq!(made == ErrorCode::NONE, lines == 0, "{made:?}");
        }
        drop(client);
        broker.terminate().await;
        let said = std::fs::read_to_string(log).unwrap();
        let said = said.lines().filter(|line| line.contains("--state-memory"));
        let said: Vec<&str> = said.collect();
        assert_eq!(said.len(), lines, "{said:?}");
        let why = ["--state-memory 77MiB or more", "refused what would be more"];
        for (line, why) in said.iter().zip(why) {
            for part in ["partitions: 50000 of 41666", why] {
                assert!(line.contains(part), "no {part:?} in {line}");
            }
        }
    }
}

/// Whoever is refused must know what to ask the operator for, wherever the order is held.
#[tokio::test]
async fn who_is_refused_partitions_is_told_how_many_there_are_and_which_flag_decides() {
    const LITTLE: [&str; 2] = ["--state-memory", "64MiB"];
    const MEMORY: [&str; 2] = ["--bucket", "memory:"];
    let store = [&["--store", "memory:"][..], &LITTLE].concat();
    let alone = Process::start("dev", &[&store[..], &MEMORY].concat()).await;
    let bound = "40000 of the 41666 that it may have, which --state-memory decides";
    is_told(&alone, bound).await;
    alone.terminate().await;
    let metadata = Process::start("metadata", &store).await;
    let at = metadata.listen.to_string();
    let agent = Process::start("agent", &[&MEMORY[..], &["--metadata", &at]].concat()).await;
    let bound = "40000, and --state-memory of the process that holds the order decides";
    is_told(&agent, bound).await;
    agent.terminate().await;
    metadata.terminate().await;
}

/// Asks for more partitions than there may be, for a new topic and for one that is there.
async fn is_told(broker: &Process, bound: &str) {
    broker.until_ready("200").await;
    let mut client = Client::connect(broker.listen).await;
    for topic in ["a", "b", "c", "d"] {
        let made = client.create_topic(topic, 10_000, &[]).await;
        assert_eq!(made, ErrorCode::NONE);
    }
    let create = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "e".to_owned(),
            num_partitions: 2_000,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        timeout_ms: 30_000,
        ..CreateTopicsRequest::default()
    };
    let made = client.ask(7, &create).await.topics.remove(0);
    let grow = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "a".to_owned(),
            count: 12_000,
            assignments: None,
        }],
        timeout_ms: 30_000,
        ..CreatePartitionsRequest::default()
    };
    let grown = client.ask(3, &grow).await.results.remove(0);
    let told = format!("2000 more partitions are too many: the cluster has {bound}");
    for (code, message) in [
        (made.error_code, made.error_message),
        (grown.error_code, grown.error_message),
    ] {
        assert_eq!(code, ErrorCode::INVALID_PARTITIONS);
        let message = message.unwrap_or_default();
        assert!(message.starts_with(&told), "{message}");
    }
}
