//! The address that a process tells others is its own, and what lies between processes may lie about who lives: the order
//! goes from one to the other when its holder is gone, never to and fro.

use super::*;
use crate::keys::Key;

async fn owner(memory: &Memory) -> Bytes {
    let owner = memory.get(&Key::Owner.encode()).await.unwrap();
    owner.expect("somebody holds the order")
}

/// How often the order went to another process in half a minute.
async fn changes_of_hands(memory: &Memory) -> u32 {
    let (mut changes, mut before) = (0, owner(memory).await);
    for _ in 0..3000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = owner(memory).await;
        changes += u32::from(now != before);
        before = now;
    }
    changes
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_behind_one_address_the_second_stops_with_a_sentence() {
    let (memory, net) = (Memory::new(), Net::new(Travel::Links));
    let behind = ["one:1", "two:2"].map(str::to_owned).to_vec();
    net.services
        .lock()
        .insert("service:1".to_owned(), vec!["one:1".to_owned()]);
    let first = net.start_as(memory.clone(), "one:1", "service:1", 1);
    let agent = net.agent(&["one:1"], 11).await;
    net.services.lock().insert("service:1".to_owned(), behind);
    let second = net.start_as(memory.clone(), "two:2", "service:1", 2);
    let ended = timeout(PATIENCE, second.candidate).await.expect("it stops");
    let sentence = ended.unwrap().unwrap_err().to_string();
    assert!(sentence.contains("two metadata processes answer at service:1"));
    assert!(sentence.contains("--advertise"), "{sentence}");
    create_topic(&agent.metadata, TOPIC, "orders", 1).await;
    assert_eq!(committed(&agent.metadata, plain(1, 0)).await, 0);
    assert!(!first.candidate.is_finished());
    first.kill().await;
}

/// As where its addresses name two clusters' processes, of which one is gone.
#[tokio::test(start_paused = true)]
async fn an_agent_that_reaches_another_cluster_says_which_flag_names_it() {
    let (_store, net, first, a, b) = two_agents(Travel::Links).await;
    b.kill().await;
    first.kill().await;
    let other = net.start(Memory::new(), "two:2", 2);
    let theirs = net.agent(&["two:2"], 13).await;
    net.services
        .lock()
        .insert("one:1".to_owned(), vec!["two:2".to_owned()]);
    let ended = timeout(PATIENCE, a.task).await.expect("it stops");
    let sentence = ended.unwrap().unwrap_err().to_string();
    let (known, found) = (a.metadata.cluster_id(), theirs.metadata.cluster_id());
    for part in [
        format!("this agent belongs to cluster {known}"),
        format!("to cluster {found}"),
        "--metadata names a process of another cluster".to_owned(),
        "correct it".to_owned(),
    ] {
        assert!(sentence.contains(&part), "no {part:?} in {sentence}");
    }
    assert!(!sentence.contains("damaged"), "{sentence}");
    other.kill().await;
}

/// A balancer that always leads a process to itself: nothing tells them apart but that the head moves.
#[tokio::test(start_paused = true)]
async fn two_processes_behind_one_address_never_take_the_order_from_each_other() {
    let (memory, net) = (Memory::new(), Net::new(Travel::Links));
    let mut processes = Vec::new();
    for (address, seed) in [("one:1", 1), ("two:2", 2)] {
        let own = Net {
            services: Arc::default(),
            ..net.clone()
        };
        own.services
            .lock()
            .insert("service:1".to_owned(), vec![address.to_owned()]);
        processes.push(own.start_as(memory.clone(), address, "service:1", seed));
        seconds(3).await;
    }
    assert_eq!(changes_of_hands(&memory).await, 0);
    for process in processes {
        process.kill().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_started_again_at_its_address_goes_on_soon() {
    let (memory, net, process, a, b) = two_agents(Travel::Links).await;
    process.kill().await;
    let begun = Instant::now();
    let process = net.start(memory, "one:1", 2);
    let mut number = 0;
    committed_at_last(&a.metadata, &mut number).await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    committed_at_last(&b.metadata, &mut number).await;
    process.terminate().await;
}

/// Whether nothing comes back or something between them refuses, agents and the store reach both.
#[tokio::test(start_paused = true)]
async fn candidates_that_cannot_reach_each_other_do_not_depose_each_other() {
    for (cut, most) in [(Cut::Dropped, 0), (Cut::Refused, 2)] {
        let (memory, net) = (Memory::new(), Net::new(Travel::Links));
        for ends in [("one:1", "two:2"), ("two:2", "one:1")] {
            let (from, to) = (ends.0.to_owned(), ends.1.to_owned());
            net.cut.lock().push((from, to, cut));
        }
        let processes = [
            net.start(memory.clone(), "one:1", 1),
            net.start(memory.clone(), "two:2", 2),
        ];
        let agent = net.agent(&["one:1", "two:2"], 11).await;
        create_topic(&agent.metadata, TOPIC, "orders", 1).await;
        let changes = changes_of_hands(&memory).await;
        assert!(changes <= most, "{cut:?}: {changes} times");
        assert_eq!(changes_of_hands(&memory).await, 0, "{cut:?}, later");
        let mut number = 0;
        committed_at_last(&agent.metadata, &mut number).await;
        for process in processes {
            process.kill().await;
        }
    }
}
