//! An agent may greet one process by two names, or come back before its process noticed that it was gone: of the links that
//! its session has then, the one that the agent goes on with stays.

use super::spoken::outcome_of;
use super::*;
use crate::command::{Command, Outcome};
use crate::kv::over_memory::OverMemory;
use crate::rpc::message::{Down, Up};

/// A store in which each call takes longer than an agent waits before it asks at another address, from some time on.
#[derive(Debug)]
struct Slow {
    kv: Memory,
    slow: watch::Receiver<bool>,
}

impl Slow {
    async fn take_time(&self) {
        let slow = *self.slow.borrow();
        if slow {
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    }
}

#[async_trait]
impl OverMemory for Slow {
    fn memory(&self) -> &Memory {
        &self.kv
    }

    async fn before_read(&self, _from: &[u8]) -> Result<(), KvError> {
        self.take_time().await;
        Ok(())
    }

    async fn write(&self, transaction: Transaction) -> Result<(), KvError> {
        self.take_time().await;
        self.kv.commit(transaction).await
    }
}

/// Each greeting cut off the link that was welcomed on the one before, for as long as the store was slow.
#[tokio::test(start_paused = true)]
async fn an_agent_that_knows_the_sequencer_by_two_names_keeps_its_link() {
    let (memory, net) = (Memory::new(), Net::new(Travel::Links));
    let by_another_name = vec!["one:1".to_owned()];
    net.services
        .lock()
        .insert("m:1".to_owned(), by_another_name);
    let slow = watch::Sender::new(false);
    let kv = Slow {
        kv: memory.clone(),
        slow: slow.subscribe(),
    };
    let process = net.start(kv, "one:1", 1);
    seconds(1).await;
    // Which sends agents to the first by its own name.
    let waiting = net.start(memory, "two:2", 2);
    let agent = net.agent(&["m:1", "two:2"], 11).await;
    create_topic(&agent.metadata, TOPIC, "orders", 1).await;
    slow.send_replace(true);
    // Longer than the agent waits for a word, while the head of the log moves.
    process.frozen.send_replace(true);
    tokio::time::sleep(Duration::from_millis(2_400)).await;
    process.frozen.send_replace(false);
    for number in 1..=5 {
        let answer = agent.metadata.submit(plain(number, 0));
        let answer = timeout(Duration::from_secs(10), answer).await;
        answer.expect("its link stays").expect("it is committed");
    }
    agent.close().await;
    waiting.kill().await;
    process.kill().await;
}

/// A link on which that session is taken up, or a new one begun, and which it is.
async fn greet(net: &Net, awake: &watch::Sender<bool>, session: SessionId) -> (Link, SessionId) {
    let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
    let hello = Hello {
        session,
        ..no_session()
    };
    link.sender.send(Up::Hello(hello).encode()).await.unwrap();
    let frame = link.receiver.recv().await.unwrap();
    let Ok(Down::Welcome(welcome)) = Down::decode(frame) else {
        panic!("it is not welcomed")
    };
    (link, welcome.session)
}

async fn ping(link: &Link) {
    link.sender.send(Up::Ping.encode()).await.unwrap();
}

/// Why a link ends, if it does within two seconds.
async fn end_of(link: &mut Link) -> Option<String> {
    let end = async {
        loop {
            match link.receiver.recv().await.map(Down::decode) {
                Some(Ok(Down::End(reason))) => return reason,
                Some(Ok(_)) => {}
                other => return format!("{other:?}"),
            }
        }
    };
    timeout(Duration::from_secs(2), end).await.ok()
}

/// What becomes of a session's first command.
async fn first_outcome(link: &mut Link) -> Outcome {
    let ids = Command::AllocateProducerIds { count: 1 };
    outcome_of(link, 1, ids).await
}

#[tokio::test(start_paused = true)]
async fn of_the_links_of_a_session_the_one_stays_on_which_its_agent_speaks() {
    let net = Net::new(Travel::Links);
    let process = net.start(Memory::new(), "one:1", 1);
    seconds(1).await;
    let awake = watch::Sender::new(false);
    let (mut first, session) = greet(&net, &awake, SessionId::NONE).await;
    let (mut second, again) = greet(&net, &awake, session).await;
    assert_eq!(session, again);
    ping(&first).await;
    assert_eq!(end_of(&mut first).await, None, "it was the one");
    assert_eq!(end_of(&mut second).await, None, "and may be left");
    ping(&second).await;
    let end = end_of(&mut first).await.expect("its agent came back");
    assert!(end.contains("another stream"), "{end}");
    let outcome = first_outcome(&mut second).await;
    assert!(
        matches!(outcome, Outcome::ProducerIds { .. }),
        "{outcome:?}"
    );
    process.kill().await;
}

/// Whoever is heard on any of its links lives.
#[tokio::test(start_paused = true)]
async fn a_link_that_its_agent_did_not_take_does_not_end_its_session() {
    let net = Net::new(Travel::Links);
    let process = net.start(Memory::new(), "one:1", 1);
    seconds(1).await;
    let awake = watch::Sender::new(false);
    let (mut link, session) = greet(&net, &awake, SessionId::NONE).await;
    drop(greet(&net, &awake, session).await);
    for _ in 0..15 {
        ping(&link).await;
        assert_eq!(end_of(&mut link).await, None);
    }
    let outcome = first_outcome(&mut link).await;
    assert!(
        matches!(outcome, Outcome::ProducerIds { .. }),
        "{outcome:?}"
    );
    process.kill().await;
}
