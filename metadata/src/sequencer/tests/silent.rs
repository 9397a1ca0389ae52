//! Agents and producers that are silent, many at once: forgetting them costs few transactions, none of them long.

use super::*;
use crate::command::Submission;
use crate::queue::Asked;

/// With everything that the sequencer itself may ask.
pub(super) async fn own(metadata: &Metadata, command: Command) -> Outcome {
    let (reply, answer) = tokio::sync::oneshot::channel();
    let asked = Asked::Command(Submission::own(command), reply.into());
    metadata.put(asked).await.unwrap();
    answer.await.unwrap().unwrap().outcome
}

/// As after a network came apart.
#[tokio::test(start_paused = true)]
async fn sessions_that_fall_silent_together_are_closed_together() {
    const SESSIONS: u64 = 2_000;
    let memory = Memory::new();
    let mut options = options(1);
    options.serves = super::super::Serves::Network("10.0.0.1:9000".to_owned());
    let running = run(memory.clone(), options).await;
    for nonce in 0..SESSIONS {
        let closing = Vec::new();
        own(&running.metadata, Command::OpenSession { closing, nonce }).await;
    }
    let sessions = || running.metadata.stats().usage.sessions;
    assert!(sessions() >= SESSIONS);
    let mut before = memory.transactions();
    while sessions() > 0 {
        // Whoever waits for the sequencer meanwhile waits for one look at a time.
        tokio::time::sleep(Duration::from_millis(450)).await;
        let now = memory.transactions();
        assert!(now - before < 20, "{} in one look", now - before);
        before = now;
    }
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn producers_that_fall_silent_together_are_all_forgotten_in_drains_of_their_own() {
    const PRODUCERS: i64 = 45_000;
    let memory = Memory::new();
    let running = fresh(&memory).await;
    for number in 0..9 {
        let of = |id: i64| {
            let mut one = batch(1, Some((id, 0)));
            one.producer.as_mut().unwrap().share = Share(u16::try_from(id % 11).unwrap());
            one
        };
        let ids = PRODUCERS / 9 * number..PRODUCERS / 9 * (number + 1);
        let batches = ids.map(of).collect();
        let number = u64::try_from(number).unwrap();
        let answer = running.metadata.submit(commit(number, 0, batches));
        placed(&answer.await.unwrap().outcome);
    }
    let known = || running.metadata.stats().usage.producers;
    assert_eq!(known(), 45_000);
    let drains = running.metadata.stats().drains;
    seconds(26 * 3_600).await;
    assert_eq!(known(), 0, "all of them, at the same look");
    assert!(running.metadata.stats().drains - drains >= 3);
    running.close().await;
}
