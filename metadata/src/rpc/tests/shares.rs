//! What agents of one machine may take of what there is for all.

use super::*;
use crate::rpc::message::{Down, Up};

/// There are ten thousand in all: one machine that greets without end leaves most of them to others.
#[tokio::test(start_paused = true)]
async fn a_machine_that_opens_sessions_without_end_is_refused_and_others_are_not() {
    let (_, net, process, _a, _b) = two_agents(Travel::Links).await;
    let port = net.open.lock().get("one:1").cloned().unwrap();
    let greet = async |from: u8| {
        let (mut near, mut far) = pair();
        far.from = Some([10, 0, 0, from].into());
        port.links.send(far).await.unwrap();
        let hello = Up::Hello(no_session()).encode();
        near.sender.send(hello).await.unwrap();
        let frame = near.receiver.recv().await.expect("an answer");
        match Down::decode(frame).unwrap() {
            Down::Welcome(_) => Ok(()),
            Down::End(reason) => Err(reason),
            other => panic!("{other:?}"),
        }
    };
    let mut welcomed = 0;
    let refused = loop {
        match greet(9).await {
            Ok(()) => welcomed += 1,
            Err(reason) => break reason,
        }
        assert!(welcomed < 5_000, "nobody stops it");
    };
    assert!((1_000..5_000).contains(&welcomed), "{welcomed}");
    assert!(refused.contains("of this machine"), "{refused}");
    assert_eq!(greet(2).await, Ok(()));
    seconds(15).await;
    assert_eq!(greet(9).await, Ok(()), "they were closed for silence");
    process.terminate().await;
}
