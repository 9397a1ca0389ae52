//! A sequencer's process says that it lives, whatever its agents wait for.

use super::*;
use crate::Command;
use crate::rpc::message::{Down, Up};

/// Commands of one agent that are not answered; with more it has to wait.
const COMMANDS_MAX: u64 = 1024;

async fn greeted(net: &Net, awake: &watch::Sender<bool>) -> Link {
    let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
    let hello = Up::Hello(no_session()).encode();
    link.sender.send(hello).await.unwrap();
    let frame = link.receiver.recv().await.unwrap();
    assert!(matches!(Down::decode(frame), Ok(Down::Welcome(_))));
    link
}

async fn submit(link: &mpsc::Sender<Bytes>, sequence: u64) {
    let command = Command::AllocateProducerIds { count: 1 };
    let submit = Up::Submit {
        sequence,
        seen: sequence,
        command,
    };
    link.send(submit.encode()).await.unwrap();
}

/// The store stands still, and more is asked than the queue takes.
#[tokio::test(start_paused = true)]
async fn whoever_waits_for_room_in_the_queue_hears_that_the_sequencer_lives() {
    let (memory, net) = (Memory::new(), Net::new(Travel::Links));
    let process = net.start(memory, "one:1", 1);
    seconds(1).await;
    let awake = watch::Sender::new(false);
    let mut links = Vec::new();
    for _ in 0..18 {
        links.push(greeted(&net, &awake).await);
    }
    process.stuck.send_replace(true);
    let mut submitting = JoinSet::new();
    for link in &links {
        let sender = link.sender.clone();
        submitting.spawn(async move {
            for sequence in 1..=COMMANDS_MAX {
                submit(&sender, sequence).await;
            }
        });
    }
    // Pings wait behind commands, so that what is heard does not hang on them.
    for _ in 0..8 {
        for link in &mut links {
            let frame = timeout(Duration::from_millis(1900), link.receiver.recv()).await;
            let frame = frame.expect("it is not silent").expect("nor gone");
            assert!(Down::decode(frame).is_ok());
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    process.stuck.send_replace(false);
    timeout(PATIENCE, async {
        while submitting.join_next().await.is_some() {}
    })
    .await
    .expect("there is room again");
    process.kill().await;
}
