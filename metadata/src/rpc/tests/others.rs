//! An address that leads to another cluster's metadata, as where addresses were handed out anew: nothing that agents of
//! this cluster ask is done there. (One that was just started remembers no cluster; it asks nothing before its bucket
//! was compared, see the agent's `identity`.)

use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_that_an_agent_asks_is_done_by_another_cluster() {
    let (_, net, ours, a, b) = two_agents(Travel::Links).await;
    assert_eq!(committed(&a.metadata, plain(1, 0)).await, 0);
    // It has the same topic.
    let theirs = net.start(Memory::new(), "two:2", 2);
    let c = net.agent(&["two:2"], 13).await;
    create_topic(&c.metadata, TOPIC, "orders", 3).await;
    assert_ne!(a.metadata.cluster_id(), c.metadata.cluster_id());
    // One that was sent and is not answered, and one that waits for a link.
    ours.stuck.send_replace(true);
    let sent = spawn(a.metadata.submit(plain(2, 0)));
    seconds(1).await;
    ours.kill().await;
    let kept = spawn(a.metadata.submit(plain(3, 0)));
    seconds(1).await;
    let to_them = vec!["two:2".to_owned()];
    net.services.lock().insert("one:1".to_owned(), to_them);
    for agent in [a.task, b.task] {
        let ended = timeout(PATIENCE, agent).await.expect("it stops");
        let error = ended.unwrap().unwrap_err();
        assert!(matches!(error, Error::OtherCluster { .. }), "{error}");
    }
    for asked in [sent, kept] {
        let answer = asked.await.unwrap();
        assert!(answer.is_err(), "{answer:?}");
    }
    seconds(30).await;
    assert_eq!(high_watermark(&c.metadata, 0).await, 0);
    let told: Vec<_> = c
        .metadata
        .agents()
        .iter()
        .map(|each| each.node_id)
        .collect();
    assert_eq!(told, [13], "nor are their clients sent to it");
    theirs.terminate().await;
}
