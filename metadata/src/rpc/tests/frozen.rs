//! A sequencer's process that stands still takes connections and answers nothing on them. Whoever waits takes over soon, and
//! agents do not wait for it at the wrong door.

use super::*;

/// What a client may wait for an ack at most.
const COST_MAX: Duration = Duration::from_secs(4);

/// Whenever it happens between two beats, whatever the agent knows, and however many others there are.
#[tokio::test(start_paused = true)]
async fn a_frozen_sequencer_costs_an_agent_at_most_four_seconds() {
    let mut worst = Duration::ZERO;
    for (others, known) in [
        (1, &["one:1", "two:2"][..]),
        (1, &["two:2", "one:1"]),
        (1, &["two:2"]),
        (2, &["one:1", "three:3", "two:2"]),
        (2, &["three:3", "one:1"]),
    ] {
        for phase in 0..10 {
            let (memory, net, first, a, b) = two_agents(Travel::Links).await;
            let mut waiting = vec![net.start(memory.clone(), "two:2", 2)];
            if others == 2 {
                waiting.push(net.start(memory.clone(), "three:3", 3));
            }
            let c = net.agent(known, 13).await;
            tokio::time::sleep(Duration::from_millis(1000 + 97 * phase)).await;
            let mut number = 0;
            assert_eq!(committed_at_last(&c.metadata, &mut number).await.0, 0);
            first.freeze();
            let (offset, took) = committed_at_last(&c.metadata, &mut number).await;
            assert_eq!(offset, 10);
            assert!(took <= COST_MAX, "{known:?}, {phase}: {took:?}");
            worst = worst.max(took);
            for process in waiting {
                process.kill().await;
            }
            first.kill().await;
            drop((a, b));
        }
    }
    assert!(worst >= Duration::from_secs(1), "it stood still: {worst:?}");
}

/// As a process in the middle of its take-over, or one that was stopped and forgotten: those behind it are asked meanwhile.
#[tokio::test(start_paused = true)]
async fn an_agent_that_starts_finds_the_sequencer_past_processes_that_stand_still() {
    let (memory, net, first, _a, _b) = two_agents(Travel::Links).await;
    let frozen = [
        net.start(memory.clone(), "two:2", 2),
        net.start(memory.clone(), "three:3", 3),
    ];
    seconds(1).await;
    frozen.iter().for_each(Process::freeze);
    let begun = Instant::now();
    let c = net.agent(&["three:3", "two:2", "one:1"], 13).await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(committed(&c.metadata, plain(1, 0)).await, 0);
    first.terminate().await;
}
