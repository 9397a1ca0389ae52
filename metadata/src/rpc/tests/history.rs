//! A metadata store that went back in time: an agent that knows better stops, unless an operator accepted the older one.
//! An agent of a store that lost nothing goes on.

use super::*;
use crate::Happened;
use crate::command::{Answer, Command, CreateTopic};
use crate::history::Chain;
use crate::keys::Key;
use crate::kv::Fault;
use crate::rpc::message::{Down, Up};
use crate::sequencer::tests::placed;
use crate::types::TopicId;

/// As an operator does who has no other.
async fn accept(older: &Memory) {
    let row = older.get(&Key::Lineage.encode()).await.unwrap();
    let mut chain = Chain::from_row(row.expect("there is a chain")).unwrap();
    chain.begin_history(HistoryId(77));
    let mut transaction = Transaction::default();
    transaction.set(Key::Lineage.encode(), chain.to_row());
    older.commit(transaction).await.unwrap();
}

fn is_unknown(answer: &Result<Answer, Error>) -> bool {
    matches!(
        answer,
        Err(Error::Unavailable {
            happened: Happened::Unknown,
            ..
        })
    )
}

/// An agent, what it was told, and a process that goes on from an older store, further than the newer one came.
async fn older_store_takes_over(accepted: bool) -> (Net, Agent, Process, Agent) {
    let (memory, net, first, a, b) = two_agents(Travel::Links).await;
    assert_eq!(committed(&a.metadata, plain(1, 0)).await, 0);
    let older = memory.copy();
    assert_eq!(committed(&a.metadata, plain(2, 0)).await, 10);
    b.kill().await;
    first.kill().await;
    if accepted {
        accept(&older).await;
    }
    let second = net.start(older, "two:2", 2);
    let c = net.agent(&["two:2"], 13).await;
    for number in 3..10 {
        committed(&c.metadata, plain(number, 0)).await;
    }
    (net, a, second, c)
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_told_what_the_store_does_not_hold_stops_with_a_sentence() {
    let (net, a, second, c) = older_store_takes_over(false).await;
    // Not even a command of its own makes it go on: whatever was answered would be another's.
    let unanswered = spawn(a.metadata.submit(plain(20, 0)));
    net.services
        .lock()
        .insert("one:1".to_owned(), vec!["two:2".to_owned()]);
    let ended = timeout(PATIENCE, a.task).await.expect("it stops");
    let error = ended.unwrap().unwrap_err();
    assert!(matches!(error, Error::WentBack(_)), "{error}");
    let sentence = error.to_string();
    for part in [
        "the metadata store went back in time",
        "this agent was told",
        "bring back the newest",
        "--accept-older-store",
    ] {
        assert!(sentence.contains(part), "{sentence}");
    }
    assert!(unanswered.await.unwrap().is_err());
    // One that remembers nothing of it is served.
    committed(&c.metadata, plain(30, 0)).await;
    second.kill().await;
}

#[tokio::test(start_paused = true)]
async fn where_an_operator_accepted_the_older_store_an_agent_begins_anew() {
    let (net, a, second, c) = older_store_takes_over(true).await;
    let session = a.metadata.session();
    let view = a.metadata.view(partition(0)).await;
    assert!(view.is_err() || view.unwrap().is_some());
    let unanswered = spawn(a.metadata.submit(plain(20, 0)));
    // It is kept for the next link, as one that was sent would be.
    seconds(1).await;
    net.services
        .lock()
        .insert("one:1".to_owned(), vec!["two:2".to_owned()]);
    let unanswered = unanswered.await.unwrap();
    assert!(
        matches!(unanswered, Err(Error::Unavailable { .. })),
        "{unanswered:?}"
    );
    let mut number = 100;
    let (offset, _) = committed_at_last(&a.metadata, &mut number).await;
    assert_eq!(offset, 80, "behind what the older store has");
    assert_ne!(a.metadata.session(), session);
    assert_eq!(high_watermark(&a.metadata, 0).await, 90);
    let view = a.metadata.view(partition(0)).await.unwrap().unwrap();
    assert_eq!(view.bounds().high_watermark.0, 90);
    committed(&c.metadata, plain(30, 0)).await;
    second.kill().await;
}

/// An older copy of a store, and an agent that knows more and sent a command to its holder before that was gone.
async fn sent_before_the_store_is_lost() -> (Net, Memory, Agent, JoinHandle<Result<Answer, Error>>)
{
    let (memory, net, first, a, b) = two_agents(Travel::Links).await;
    assert_eq!(committed(&a.metadata, plain(1, 0)).await, 0);
    let older = memory.copy();
    assert_eq!(committed(&a.metadata, plain(2, 0)).await, 10);
    b.kill().await;
    first.stuck.send_replace(true);
    let sent = spawn(a.metadata.submit(plain(3, 0)));
    seconds(1).await;
    first.kill().await;
    (net, older, a, sent)
}

/// An agent that stops says of what it sent that nobody knows, and of what it did not send that it was not done.
#[tokio::test(start_paused = true)]
async fn what_an_agent_that_stops_had_sent_is_unknown() {
    let (net, older, a, sent) = sent_before_the_store_is_lost().await;
    seconds(1).await;
    let kept = spawn(a.metadata.submit(plain(4, 0)));
    seconds(1).await;
    let second = net.start(older, "one:1", 2);
    let ended = timeout(PATIENCE, a.task).await.expect("it stops");
    assert!(matches!(ended.unwrap(), Err(Error::WentBack(_))));
    let sent = sent.await.unwrap();
    assert!(is_unknown(&sent), "{sent:?}");
    let kept = kept.await.unwrap();
    assert!(matches!(kept, Err(Error::Closing)), "{kept:?}");
    second.kill().await;
}

/// What was sent and not answered may have happened in the store that is lost; that it is asked again in the other one must
/// not look as if it had been refused there.
#[tokio::test(start_paused = true)]
async fn what_an_agent_had_sent_to_the_lost_store_is_unknown() {
    let (net, older, a, unanswered) = sent_before_the_store_is_lost().await;
    accept(&older).await;
    let second = net.start(older, "one:1", 2);
    let unanswered = timeout(PATIENCE, unanswered).await.expect("answered");
    assert!(is_unknown(&unanswered.unwrap()), "nobody knows");
    let answer = loop {
        match a.metadata.submit(plain(4, 0)).await {
            Ok(answer) => break answer,
            Err(_) => seconds(1).await,
        }
    };
    assert_eq!(placed(&answer.outcome).base_offset.0, 10);
    second.kill().await;
}

/// Two sessions with one id, in two stores that were one: the nonce tells them apart.
#[tokio::test(start_paused = true)]
async fn a_session_id_that_was_handed_out_twice_is_two_sessions() {
    let (memory, net) = (Memory::new(), Net::new(Travel::Links));
    let first = net.start(memory.clone(), "one:1", 1);
    let a = net.agent(&["one:1"], 11).await;
    let older = Memory::new();
    first.kill().await;
    let second = net.start(older, "two:2", 2);
    let b = net.agent(&["two:2"], 12).await;
    assert_eq!(a.metadata.session(), b.metadata.session());
    let awake = watch::Sender::new(false);
    let mut link = net.dial("two:2", awake.subscribe()).await.unwrap();
    let hello = Hello {
        session: SessionId {
            id: a.metadata.session(),
            nonce: 1,
        },
        ..no_session()
    };
    link.sender.send(Up::Hello(hello).encode()).await.unwrap();
    let frame = link.receiver.recv().await.unwrap();
    let Down::Welcome(welcome) = Down::decode(frame).unwrap() else {
        panic!("it holds the order")
    };
    assert_ne!(welcome.session.id, b.metadata.session());
    create_topic(&b.metadata, TOPIC, "orders", 1).await;
    assert_eq!(committed(&b.metadata, plain(1, 0)).await, 0);
    second.kill().await;
}

/// A catalogue that a link does not hold, so that whoever takes it slowly keeps its session from telling anything else.
async fn fill_catalogue(metadata: &Metadata) {
    for number in 0..300_u64 {
        let create = CreateTopic {
            name: format!("large-{number}"),
            id: TopicId(1000 + u128::from(number)),
            partitions: 1,
            replication_factor: 1,
            configs: [("x".to_owned(), "y".repeat(60_000))].into(),
        };
        let created = metadata.submit(Command::CreateTopic(create)).await;
        created.unwrap();
    }
}

/// An agent that hears nothing past its welcome while it is slow.
fn slow_agent(net: &Net, seed: u64, slow: &watch::Sender<bool>) -> Agent {
    let (frozen, slow) = (watch::Sender::new(false), slow.subscribe());
    let (net, awake) = (net.clone(), frozen.subscribe());
    let versions = net.versions;
    let dial = Dial::new(move |address| {
        let (net, awake, mut slow) = (net.clone(), awake.clone(), slow.clone());
        async move {
            let mut far = net.dial(&address, awake.clone()).await?;
            let (agent_end, mut near) = pair();
            spawn(async move {
                let hello = near.receiver.recv().await?;
                far.sender.send(hello).await.ok()?;
                let welcome = far.receiver.recv().await?;
                near.sender.send(welcome).await.ok()?;
                thaw(&mut slow).await;
                relay(near, far, [awake.clone(), awake]).await;
                Some(())
            });
            Ok(agent_end)
        }
    });
    let (metadata, client) = connect(ConnectOptions {
        addresses: vec!["one:1".to_owned()],
        dial,
        agent: Some(node(seed)),
        witness: None,
        random: options(seed).random,
    });
    Agent {
        metadata,
        task: spawn(client.speaking(versions).run()),
        frozen,
    }
}

/// The same process takes up work again as a new owner, and writes, before a session of its predecessor has noticed.
#[tokio::test(start_paused = true)]
async fn an_agent_that_takes_things_in_slowly_goes_on_when_the_store_failed_meanwhile() {
    let (memory, net, process, a, b) = two_agents(Travel::Links).await;
    b.kill().await;
    fill_catalogue(&a.metadata).await;
    let slow = watch::Sender::new(true);
    let agent = slow_agent(&net, 13, &slow);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!agent.metadata.cluster_id().is_empty(), "it is welcomed");
    memory.faults().inject([Fault::Unavailable]);
    let mut numbers = 0;
    for _ in 0..3 {
        committed_at_last(&a.metadata, &mut numbers).await;
    }
    // A beat is due, and the agent does not yet take the sequencer for gone.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!agent.metadata.ready(), "most of the catalogue is to come");
    slow.send_replace(false);
    timeout(PATIENCE, agent.metadata.joined())
        .await
        .expect("the catalogue comes");
    seconds(3).await;
    assert!(!agent.task.is_finished(), "the store lost nothing");
    committed_at_last(&agent.metadata, &mut numbers).await;
    process.kill().await;
}
