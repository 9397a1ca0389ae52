//! How much memory the cluster's state may take, and what is said where it is more.

use protocol::ErrorCode;

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
