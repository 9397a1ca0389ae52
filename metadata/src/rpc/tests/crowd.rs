//! Many agents cost the store little, and many topics cost a change of one nothing. Counted, not timed.

use super::*;
use crate::catalogue::Catalogue;
use crate::command::{Command, CreateTopic, Outcome};
use crate::types::TopicId;

#[tokio::test(start_paused = true)]
async fn three_hundred_committers_share_transactions() {
    const AGENTS: u64 = 300;
    const COMMITS: u64 = 5;
    let (memory, net) = (Memory::new(), Net::new(Travel::Links));
    let process = net.start(memory.clone(), "one:1", 1);
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        agents.push(net.agent(&["one:1"], number).await);
    }
    create_topic(&agents[0].metadata, TOPIC, "orders", 3).await;
    let before = memory.transactions();
    let mut running = JoinSet::new();
    for (number, agent) in (0..).zip(&agents) {
        let metadata = agent.metadata.clone();
        running.spawn(async move {
            for commit in 0..COMMITS {
                committed(&metadata, plain(number * COMMITS + commit, 0)).await;
            }
        });
    }
    running.join_all().await;
    let transactions = memory.transactions() - before;
    let commits = AGENTS * COMMITS;
    assert_eq!(
        high_watermark(&agents[0].metadata, 0).await,
        10 * i64::try_from(commits).unwrap()
    );
    assert!(
        transactions * 20 <= commits,
        "{transactions} transactions for {commits} commits of {AGENTS} agents"
    );
    process.kill().await;
}

fn create(number: u128) -> Command {
    Command::CreateTopic(CreateTopic {
        name: format!("topic-{number:05}"),
        id: TopicId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_0000_0001)),
        partitions: 2,
        replication_factor: 1,
        configs: BTreeMap::new(),
    })
}

/// Everywhere: at the agent that asks, at another, and in the sequencer's process.
#[tokio::test(start_paused = true)]
async fn a_change_of_one_topic_leaves_the_others_where_they_are() {
    const TOPICS: u128 = 5_000;
    let (_, net, process, a, b) = two_agents(Travel::Links).await;
    let numbers: Vec<u128> = (1..=TOPICS).collect();
    for some in numbers.chunks(1_000) {
        let mut made = JoinSet::new();
        for number in some {
            made.spawn(a.metadata.submit(create(*number)));
        }
        for answer in made.join_all().await {
            assert!(matches!(answer.unwrap().outcome, Outcome::TopicCreated(_)));
        }
    }
    let late = net.agent(&["one:1"], 13).await;
    let agents = [&a, &b, &late];
    let all = || -> Vec<Arc<Catalogue>> {
        agents
            .iter()
            .map(|agent| agent.metadata.catalogue())
            .collect()
    };
    for number in 0..20 {
        let before = all();
        let answer = a.metadata.submit(create(TOPICS + 1 + number)).await;
        assert!(matches!(answer.unwrap().outcome, Outcome::TopicCreated(_)));
        for agent in &agents[1..] {
            // A question is answered after what became durable before it.
            agent.metadata.bounds(vec![partition(0)]).await.unwrap();
        }
        for (now, before) in all().iter().zip(&before) {
            assert_eq!(now.topics().count(), before.topics().count() + 1);
            let copied = now.copied_since(before);
            assert!(copied <= 500, "{copied} topics were copied for one");
        }
    }
    process.terminate().await;
}
