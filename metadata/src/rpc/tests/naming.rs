//! The epoch in which agents name their objects comes from the sequencer, and outlives it.

use super::*;

#[tokio::test(start_paused = true)]
async fn agents_hear_of_a_new_naming_epoch_and_of_the_one_there_is_when_they_come() {
    let (memory, net, process, a, b) = two_agents(Travel::Links).await;
    let first = a.metadata.naming_epoch();
    seconds(605).await;
    let second = a.metadata.naming_epoch();
    assert_eq!(second.0, first.0 + 1);
    assert_eq!(b.metadata.naming_epoch(), second);
    process.kill().await;
    let _process = net.start(memory, "one:1", 2);
    let late = net.agent(&["one:1"], 13).await;
    assert_eq!(late.metadata.naming_epoch(), second, "with the welcome");
}
