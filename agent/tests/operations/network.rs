//! One order for several agents: a process of `penstock metadata` and two of `penstock agent`, each killed without warning
//! while producers go on.

use std::path::Path;
use std::time::Duration;

use protocol::ErrorCode;
use protocol::messages::{FetchRequest, MetadataRequest};
use protocol::records::BatchOptions;
use tokio::time::{Instant, sleep};

use super::processes::{Process, all_there, produce_both_ways, producer_ids};
use super::tools::values;
use crate::support::broker::PATIENCE;
use crate::support::client::{Client, batch_with, fetch_request, produce_request};

struct Cluster {
    metadata: Process,
    agents: [Process; 2],
}

impl Cluster {
    async fn start(folder: &Path) -> Self {
        let store = format!("redb://{}", folder.join("m.redb").display());
        let bucket = format!("file://{}", folder.join("bucket").display());
        std::fs::create_dir(folder.join("bucket")).unwrap();
        let metadata = Process::start("metadata", &["--store", &store]).await;
        let at = metadata.listen.to_string();
        let agent = |id| {
            let (bucket, at) = (bucket.clone(), at.clone());
            async move {
                let more = ["--bucket", &bucket, "--metadata", &at, "--node-id", id];
                let agent = Process::start("agent", &more).await;
                agent.until_ready("200").await;
                agent
            }
        };
        Self {
            agents: [agent("1").await, agent("2").await],
            metadata,
        }
    }
}

#[tokio::test]
async fn what_is_acknowledged_survives_every_process_and_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(folder.path()).await;
    let addresses = [cluster.agents[0].listen, cluster.agents[1].listen];
    let mut client = Client::connect(addresses[0]).await;
    assert_eq!(client.create_topic("t", 2, &[]).await, ErrorCode::NONE);
    let ids = producer_ids(addresses).await;
    assert_ne!(ids[0], ids[1], "ids are the cluster's");
    let work = produce_both_ways(addresses, ids);
    let trouble = async {
        for round in 0..3 {
            sleep(Duration::from_millis(700)).await;
            cluster.metadata.kill().await;
            sleep(Duration::from_millis(300 * round)).await;
            cluster.metadata.restart();
            sleep(Duration::from_millis(700)).await;
            let which = usize::try_from(round % 2).unwrap();
            cluster.agents[which].kill().await;
            sleep(Duration::from_millis(300)).await;
            cluster.agents[which].restart();
        }
    };
    tokio::join!(work, trouble);
    for agent in &cluster.agents {
        all_there(agent, 2).await;
    }
    let Cluster { metadata, agents } = cluster;
    for agent in agents {
        agent.terminate().await;
    }
    metadata.terminate().await;
}

#[tokio::test]
async fn a_commit_through_one_agent_wakes_a_fetch_at_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(folder.path()).await;
    let mut one = Client::connect(cluster.agents[0].listen).await;
    let mut other = Client::connect(cluster.agents[1].listen).await;
    assert_eq!(one.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let wanted = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    // The topic was made through the other one: at first it may not be known here yet.
    let begun = Instant::now();
    while other.ask(12, &wanted).await.topics.is_empty() {
        assert!(begun.elapsed() < PATIENCE);
    }
    for offset in 0..5 {
        let wait: FetchRequest = fetch_request("t", 0, offset, 50_000);
        other.send(12, &wait).await;
        sleep(Duration::from_millis(200)).await;
        let batch = batch_with(&["x"], BatchOptions::default());
        assert_eq!(one.produce("t", 0, batch).await.error_code, ErrorCode::NONE);
        let begun = Instant::now();
        let frame = other.receive_frame().await.expect("an answer");
        assert!(begun.elapsed() < Duration::from_secs(40), "it slept it out");
        let (_, response) = protocol::decode_response::<FetchRequest>(12, frame).unwrap();
        let data = &response.responses[0].partitions[0];
        assert_eq!(
            (data.error_code, data.high_watermark),
            (ErrorCode::NONE, offset + 1)
        );
    }
    // Clients are told of both, and are sent to the same one for a partition by either.
    let begun = Instant::now();
    loop {
        let told = [one.ask(12, &wanted).await, other.ask(12, &wanted).await];
        let ids = told.each_ref().map(|told| {
            let ids = told.brokers.iter().map(|broker| broker.node_id);
            ids.collect::<Vec<_>>()
        });
        if ids == [[1, 2], [1, 2]] {
            assert_eq!(told[0].topics, told[1].topics);
            let ports: Vec<_> = told[0].brokers.iter().map(|broker| broker.port).collect();
            let listen = cluster
                .agents
                .each_ref()
                .map(|agent| i32::from(agent.listen.port()));
            assert_eq!(ports, listen);
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{ids:?}");
        sleep(Duration::from_millis(50)).await;
    }
    // Without a sequencer an agent is not ready, and serves what it knows.
    cluster.metadata.kill().await;
    cluster.agents[1].until_ready("503").await;
    let data = other.fetch("t", 0, 0).await;
    assert_eq!((data.error_code, data.high_watermark), (ErrorCode::NONE, 5));
    assert_eq!(values(&mut other, "t", 0).await.len(), 5);
    cluster.metadata.restart();
    cluster.agents[1].until_ready("200").await;
    let ready = cluster.metadata.page("/health/ready").await.unwrap();
    assert!(ready.ends_with("holds the order\n"), "{ready}");
}

/// A refusal would be a guess, and a producer's first batch refused by guess is out of order once the second is taken.
#[tokio::test]
async fn an_agent_that_cannot_ask_does_not_say_that_a_topic_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path()).await;
    let mut client = Client::connect(cluster.agents[0].listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let batch = || batch_with(&["x"], BatchOptions::default());
    for (topic, partition) in [("unknown", 0), ("t", 1)] {
        let mut client = Client::connect(cluster.agents[0].listen).await;
        let answer = client.produce(topic, partition, batch()).await;
        assert_eq!(answer.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        cluster.metadata.signal(libc::SIGSTOP);
        let guessed = produce_request(topic, partition, -1, batch());
        client.send(9, &guessed).await;
        client.send(9, &guessed).await;
        assert_eq!(client.receive_frame().await, None);
        cluster.metadata.signal(libc::SIGCONT);
        cluster.agents[0].until_ready("200").await;
    }
}
