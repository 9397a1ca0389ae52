//! The list of agents to which clients are sent.

use super::*;
use crate::rpc::message::{Down, Up};

fn nodes(agent: &Agent) -> Vec<i32> {
    agent
        .metadata
        .agents()
        .iter()
        .map(|each| each.node_id)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn all_agents_know_which_agents_serve_clients() {
    let (memory, net, process, a, b) = two_agents(Travel::Links).await;
    let second = net.start(memory, "two:2", 2);
    let c = net.agent(&["one:1", "two:2"], 13).await;
    seconds(5).await;
    for agent in [&a, &b, &c] {
        assert_eq!(nodes(agent), [11, 12, 13]);
    }
    // A take-over does not empty the list while agents come back one by one.
    let d = net.agent(&["one:1", "two:2"], 14).await;
    seconds(1).await;
    assert_eq!(nodes(&d), [11, 12, 13, 14]);
    process.kill().await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(nodes(&c), [11, 12, 13, 14]);
    }
    seconds(5).await;
    // Those that know only the first one are gone.
    assert_eq!((nodes(&c), nodes(&d)), (vec![13, 14], vec![13, 14]));
    d.metadata.withdraw();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!((nodes(&c), nodes(&d)), (vec![13], vec![13]));
    assert!(d.metadata.ready(), "it goes on with those it has");
    committed_at_last(&d.metadata, &mut 0).await;
    c.kill().await;
    seconds(1).await;
    assert_eq!(nodes(&d), [0; 0]);
    second.terminate().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_anothers_node_id_is_told_what_to_do() {
    let (_, net, process, a, b) = two_agents(Travel::Links).await;
    let hello = |agent| {
        Up::Hello(Hello {
            agent,
            ..no_session()
        })
    };
    let mut told = Vec::new();
    let own = node(11);
    let elsewhere = node(111);
    for agent in [elsewhere, own] {
        let frozen = watch::Sender::new(false);
        let mut link = net.dial("one:1", frozen.subscribe()).await.unwrap();
        let said = hello(Some(agent)).encode();
        link.sender.send(said).await.unwrap();
        seconds(1).await;
        let mut warned = None;
        while let Ok(frame) = link.receiver.try_recv() {
            if let Down::Warning(text) = Down::decode(frame).unwrap() {
                warned = Some(text);
            }
        }
        told.push(warned);
    }
    let told: Vec<_> = told.iter().map(|told| told.as_deref()).collect();
    let [Some(told), None] = told.as_slice() else {
        panic!("{told:?}")
    };
    for part in ["agent11:9092", "node id 11", "--node-id"] {
        assert!(told.contains(part), "{told}");
    }
    drop((a, b));
    process.terminate().await;
}

/// Agents come back one by one from that, too.
#[tokio::test(start_paused = true)]
async fn a_store_that_was_away_does_not_empty_the_list_of_agents() {
    let (memory, net, process, a, b) = two_agents(Travel::Links).await;
    let mut others = vec![b];
    for seed in 13..19 {
        others.push(net.agent(&["one:1"], seed).await);
    }
    seconds(5).await;
    let all: Vec<_> = (11..19).collect();
    assert_eq!(nodes(&a), all);
    for round in 0..5 {
        memory.faults().go_away();
        seconds(4).await;
        memory.faults().cease();
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(nodes(&a), all, "{round}");
        }
        seconds(2).await;
    }
    others.pop().expect("there are others").kill().await;
    seconds(9).await;
    assert_eq!(nodes(&a), all[..7], "one that is gone is gone");
    process.terminate().await;
}
