//! A sequencer's process says that it lives, whatever its agents wait for.

use super::*;
use crate::Command;
use crate::command::Outcome;
use crate::kv::over_memory::OverMemory;
use crate::rpc::message::{Down, Up};
use crate::sequencer::tests::{batch, commit};

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

/// A store that takes its time for each transaction, from some time on.
#[derive(Debug)]
struct Slow {
    kv: Memory,
    slow: watch::Receiver<bool>,
}

#[async_trait]
impl OverMemory for Slow {
    fn memory(&self) -> &Memory {
        &self.kv
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        if *self.slow.borrow() {
            seconds(1).await;
        }
        self.kv.commit(transaction).await
    }
}

/// Nobody reads what it says meanwhile, so nobody may say that it said nothing.
#[tokio::test(start_paused = true)]
async fn whoever_waits_long_for_room_in_the_queue_keeps_its_session() {
    const AGENTS: u64 = 250;
    const EACH: u64 = 3;
    let (memory, net) = (Memory::new(), Net::new(Travel::Links));
    let slow = watch::Sender::new(false);
    let kv = Slow {
        kv: memory,
        slow: slow.subscribe(),
    };
    let process = net.start(kv, "one:1", 1);
    seconds(1).await;
    let awake = watch::Sender::new(false);
    let mut links = Vec::new();
    for _ in 0..AGENTS {
        links.push(greeted(&net, &awake).await);
    }
    slow.send_replace(true);
    let mut running = JoinSet::new();
    for (agent, link) in (0..).zip(links) {
        let Link {
            sender,
            mut receiver,
            ..
        } = link;
        running.spawn(async move {
            let submitting = async {
                for sequence in 1..=EACH {
                    // So large that a drain takes few of them, and the queue not all.
                    let batches = vec![batch(1, None); 6_000];
                    let command = commit(agent * EACH + sequence, 0, batches);
                    let (seen, submit) = (1, sequence);
                    let submit = Up::Submit {
                        sequence: submit,
                        seen,
                        command,
                    };
                    sender.send(submit.encode()).await.unwrap();
                }
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let _ = sender.try_send(Up::Ping.encode());
                }
            };
            let answered = async {
                let mut answered = 0;
                while answered < EACH {
                    let frame = receiver.recv().await.expect("it is not cut off");
                    if let Down::Answer { outcome, .. } = Down::decode(frame).unwrap() {
                        // There is no such topic; but it was decided.
                        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
                        answered += 1;
                    }
                }
            };
            tokio::select! {
                () = submitting => {}
                () = answered => {}
            }
        });
    }
    let begun = Instant::now();
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(15), "{took:?}: it waited long");
    process.kill().await;
}

/// Its process says all the while that it lives.
#[tokio::test(start_paused = true)]
async fn an_agent_sees_that_nothing_is_answered_while_the_store_stands_still() {
    for busy in [false, true] {
        let (_, _net, process, a, b) = two_agents(Travel::Links).await;
        seconds(30).await;
        assert!(a.metadata.ready() && a.metadata.answers());
        process.stuck.send_replace(true);
        let asked =
            busy.then(|| spawn(a.metadata.submit(Command::AllocateProducerIds { count: 1 })));
        seconds(2).await;
        assert!(a.metadata.answers(), "a store may take a while");
        seconds(5).await;
        for agent in [&a, &b] {
            assert!(agent.metadata.ready(), "its process lives");
            assert!(!agent.metadata.answers(), "busy: {busy}");
        }
        process.stuck.send_replace(false);
        seconds(3).await;
        for agent in [&a, &b] {
            assert!(agent.metadata.ready() && agent.metadata.answers());
        }
        if let Some(asked) = asked {
            asked.await.unwrap().unwrap();
        }
        process.terminate().await;
    }
}
