//! What agents of one machine may take of what there is for all.

use super::*;
use crate::rpc::message::{Down, Up};

/// A link from that machine, on which the first word is said.
async fn begin(net: &Net, from: u8) -> Link {
    let (near, mut far) = pair();
    far.from = Some([10, 0, 0, from].into());
    let port = net.open.lock().get("one:1").cloned().unwrap();
    port.links.send(far).await.unwrap();
    let hello = Up::Hello(no_session()).encode();
    near.sender.send(hello).await.unwrap();
    near
}

/// Or why not.
async fn welcomed(mut link: Link) -> Result<(), String> {
    let answer = timeout(Duration::from_secs(1), link.receiver.recv()).await;
    let frame = answer.expect("an answer").expect("a last word");
    match Down::decode(frame).unwrap() {
        Down::Welcome(_) => Ok(()),
        Down::End(reason) => Err(reason),
        other => panic!("{other:?}"),
    }
}

/// There are ten thousand in all: one machine that greets without end leaves most of them to others.
#[tokio::test(start_paused = true)]
async fn a_machine_that_opens_sessions_without_end_is_refused_and_others_are_not() {
    let (_, net, process, _a, _b) = two_agents(Travel::Links).await;
    let greet = async |from: u8| welcomed(begin(&net, from).await).await;
    let mut count = 0;
    let refused = loop {
        match greet(9).await {
            Ok(()) => count += 1,
            Err(reason) => break reason,
        }
        assert!(count < 5_000, "nobody stops it");
    };
    assert!((1_000..5_000).contains(&count), "{count}");
    assert!(refused.contains("of this machine"), "{refused}");
    assert_eq!(greet(2).await, Ok(()));
    seconds(15).await;
    assert_eq!(greet(9).await, Ok(()), "they were closed for silence");
    process.terminate().await;
}

/// While the store does not answer nobody is welcomed, and greetings are given up; but sessions were asked for, and are opened
/// once it does.
#[tokio::test(start_paused = true)]
async fn sessions_count_that_nobody_waits_for_any_more() {
    let (_, net, process, _a, _b) = two_agents(Travel::Links).await;
    process.stuck.send_replace(true);
    let mut given_up = Vec::new();
    for _ in 0..2_500 {
        given_up.push(begin(&net, 9).await);
    }
    seconds(6).await;
    drop(given_up);
    for stuck in [true, false] {
        process.stuck.send_replace(stuck);
        seconds(1).await;
        let refused = welcomed(begin(&net, 9).await).await.unwrap_err();
        assert!(refused.contains("of this machine"), "{refused}");
    }
    assert_eq!(welcomed(begin(&net, 2).await).await, Ok(()));
    seconds(30).await;
    let again = welcomed(begin(&net, 9).await).await;
    assert_eq!(again, Ok(()), "they were closed for silence");
    process.terminate().await;
}
