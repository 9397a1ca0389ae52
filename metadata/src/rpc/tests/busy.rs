//! An agent that is asked something all the time keeps its deadlines.

use super::played::Played;
use super::*;

/// It takes frames, as a kernel does for a process that stands still, and says nothing.
#[tokio::test(start_paused = true)]
async fn a_silent_sequencer_is_left_by_a_busy_agent() {
    for every in [1000, 200, 100] {
        let net = Net::new(Travel::Links);
        let (_played, agent, mut link) = Played::joined(&net).await;
        let taking = async { while link.receiver.recv().await.is_some() {} };
        let begun = Instant::now();
        tokio::select! {
            () = taking => {}
            () = asking(&agent.metadata, every) => {}
        }
        let left = begun.elapsed();
        assert!(left < Duration::from_secs(3), "{every} ms: {left:?}");
        agent.kill().await;
    }
}

/// Nobody is there to whom it could be sent.
#[tokio::test(start_paused = true)]
async fn a_command_is_given_up_in_time_by_a_busy_agent_that_finds_nobody() {
    let net = Net::new(Travel::Links);
    let (played, agent, link) = Played::joined(&net).await;
    net.open.lock().clear();
    drop((link, played));
    seconds(1).await;
    let begun = Instant::now();
    let answer = tokio::select! {
        answer = agent.metadata.submit(plain(1, 0)) => answer,
        () = asking(&agent.metadata, 100) => unreachable!(),
    };
    let Err(Error::Unavailable { reason, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(reason, "the sequencer did not answer in time");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(21), "{took:?}");
    agent.kill().await;
}

/// Asks a question every so many milliseconds, for ever.
async fn asking(metadata: &Metadata, every: u64) {
    let mut questions = JoinSet::new();
    loop {
        let metadata = metadata.clone();
        questions.spawn(async move { metadata.bounds(vec![partition(0)]).await });
        tokio::time::sleep(Duration::from_millis(every)).await;
    }
}
