//! Peers that send nonsense, much of it, or nothing.

use super::spoken::outcome_of;
use super::*;
use crate::rpc::message::{Down, Hello, Up};
use crate::types::{Located, Offset, SessionId};
use crate::update::Update;

async fn ended(link: &mut Link) -> bool {
    let end = async { while link.receiver.recv().await.is_some() {} };
    timeout(PATIENCE, end).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn nonsense_ends_the_link_and_nothing_else() {
    for travel in [Travel::Links, Travel::Grpc] {
        let (_, net, process, a, _b) = two_agents(travel).await;
        let (awake, _) = watch::channel(false);
        let hello = Up::Hello(no_session()).encode();
        let later = [1, 99, 0];
        let stranger = Up::Hello(Hello {
            session: SessionId {
                id: u64::MAX,
                nonce: 1,
            },
            ..no_session()
        })
        .encode();
        let own = crate::Command::CloseSession(1);
        let closes = Up::Submit {
            sequence: 1,
            seen: 1,
            command: own,
        };
        for frames in [
            vec![],
            vec![Bytes::new()],
            vec![Bytes::from_static(b"GET / HTTP/1.1")],
            vec![Bytes::copy_from_slice(&later)],
            vec![Up::Ping.encode()],
            vec![hello.clone(), hello.clone()],
            vec![hello.clone(), Bytes::from_static(&[0xff; 1000])],
            vec![hello.clone(), closes.encode()],
            vec![
                stranger,
                Bytes::from_static(&[3, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            ],
        ] {
            let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
            for frame in frames {
                let _ = link.sender.send(frame).await;
            }
            assert!(ended(&mut link).await);
        }
        assert_eq!(committed(&a.metadata, plain(1, 0)).await, 0);
        process.terminate().await;
    }
}

/// An outcome may have megabytes, and a frame of six bytes asks for it again.
#[tokio::test(start_paused = true)]
async fn a_link_hears_each_outcome_once() {
    let (_, net, process, _a, _b) = two_agents(Travel::Links).await;
    let (awake, _) = watch::channel(false);
    let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
    let submit = Up::Submit {
        sequence: 1,
        seen: 1,
        command: crate::Command::AllocateProducerIds { count: 1 },
    };
    let hello = Up::Hello(no_session()).encode();
    for frame in [hello, submit.encode(), submit.encode(), submit.encode()] {
        let _ = link.sender.send(frame).await;
    }
    let mut answers = 0;
    while let Ok(Some(frame)) = timeout(PATIENCE, link.receiver.recv()).await {
        let down = Down::decode(frame);
        answers += usize::from(matches!(down, Ok(Down::Answer { .. })));
    }
    assert!(answers <= 1, "{answers}");
    process.terminate().await;
}

/// A sequencer that is none: whatever it sends, the agent leaves it and finds the right one.
#[tokio::test(start_paused = true)]
async fn an_agent_leaves_a_sequencer_that_sends_nonsense() {
    let (memory, net) = (Memory::new(), Net::new(Travel::Links));
    let (links, mut incoming) = mpsc::channel::<Link>(1);
    let frozen = watch::Sender::new(false);
    let port = Port {
        links,
        frozen: frozen.subscribe(),
    };
    net.open.lock().insert("bad:1".to_owned(), port);
    let process = net.start(memory, "one:1", 1);
    let bad = spawn(async move {
        let mut said = [
            vec![Bytes::from_static(&[9])],
            vec![Down::Alive { durable: Lsn(9) }.encode()],
            vec![Down::Redirect("nobody:1".to_owned()).encode()],
            vec![Down::Redirect("bad:1".to_owned()).encode()],
            vec![Down::End("go away".to_owned()).encode()],
            vec![],
        ]
        .into_iter();
        while let Some(link) = incoming.recv().await {
            for frame in said.next().unwrap_or_default() {
                let _ = link.sender.send(frame).await;
            }
            seconds(1).await;
        }
    });
    let agent = net.agent(&["bad:1", "one:1"], 1).await;
    create_topic(&agent.metadata, TOPIC, "orders", 1).await;
    assert_eq!(committed(&agent.metadata, plain(1, 0)).await, 0);
    bad.abort();
    process.terminate().await;
}

#[tokio::test(start_paused = true)]
async fn what_fits_in_no_frame_is_refused_and_harms_nobody() {
    use crate::sequencer::tests::{batch, commit};
    let (_, _, process, a, _b) = two_agents(Travel::Grpc).await;
    let batches = vec![batch(1, Some((1, 0))); 1_500_000];
    let refused = a.metadata.submit(commit(1, 0, batches)).await;
    assert!(
        matches!(
            refused,
            Err(Error::Unavailable {
                happened: crate::Happened::No,
                ..
            })
        ),
        "it is refused, and did not happen"
    );
    assert!(a.metadata.ready());
    let many = a.metadata.bounds(vec![partition(0); 300_000]).await;
    assert_eq!(many.unwrap().len(), 300_000);
    let batches = vec![batch(1, None); 20_000];
    let answer = a.metadata.submit(commit(2, 0, batches)).await.unwrap();
    let crate::Outcome::Committed(verdicts) = answer.outcome else {
        panic!("it is a commit")
    };
    assert!(verdicts.len() == 20_000 && verdicts.iter().all(Result::is_ok));
    process.terminate().await;
}

/// The largest number a command can have, and another one behind it; then a checkpoint, and a process that loads it.
#[tokio::test(start_paused = true)]
async fn a_command_with_the_last_number_there_is_stops_nobody() {
    let (memory, net, process, a, _b) = two_agents(Travel::Links).await;
    let (awake, _) = watch::channel(false);
    for last in [u64::MAX - 1, u64::MAX] {
        let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
        let hello = Up::Hello(no_session()).encode();
        link.sender.send(hello).await.unwrap();
        for sequence in [1, last] {
            let command = crate::Command::AllocateProducerIds { count: 1 };
            let submit = Up::Submit {
                sequence,
                seen: last,
                command,
            };
            let _ = link.sender.send(submit.encode()).await;
        }
        let mut answers = 0;
        while answers < 2 {
            let frame = timeout(PATIENCE, link.receiver.recv()).await.unwrap();
            match Down::decode(frame.unwrap()).unwrap() {
                Down::Answer { .. } => answers += 1,
                Down::End(reason) => panic!("{reason}"),
                _ => {}
            }
        }
    }
    assert_eq!(committed(&a.metadata, plain(1, 0)).await, 0);
    seconds(20).await;
    assert_eq!(committed(&a.metadata, plain(2, 0)).await, 10);
    process.kill().await;
    let process = net.start(memory, "one:1", 2);
    let mut numbers = 2;
    let (offset, _) = committed_at_last(&a.metadata, &mut numbers).await;
    assert_eq!(offset, 20);
    process.terminate().await;
}

/// Agents that come and are gone at once: their sessions are closed together, not one commit after the other.
#[tokio::test(start_paused = true)]
async fn sessions_of_many_that_fell_silent_are_closed_in_few_commits() {
    const COUNT: u64 = 700;
    let (_, net, process, a, _b) = two_agents(Travel::Links).await;
    let (awake, _) = watch::channel(false);
    for _ in 0..COUNT {
        let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
        link.sender
            .send(Up::Hello(no_session()).encode())
            .await
            .unwrap();
        let frame = link.receiver.recv().await.unwrap();
        assert!(matches!(Down::decode(frame), Ok(Down::Welcome(_))));
    }
    committed(&a.metadata, plain(1, 0)).await;
    let lsn = || a.metadata.shared().point().unwrap().lsn.0;
    let before = lsn();
    seconds(30).await;
    committed(&a.metadata, plain(2, 0)).await;
    let drains = lsn() - before;
    assert!(drains < 20, "{drains} drains for {COUNT} sessions");
    process.terminate().await;
}

/// An agent checks names and numbers before it asks; another peer does not have to.
#[tokio::test(start_paused = true)]
async fn topics_of_a_form_that_no_agent_asks_for_are_refused() {
    use crate::command::{Command, CreateTopic, Outcome, Rejected};
    let (_, net, process, a, _b) = two_agents(Travel::Grpc).await;
    let (awake, _) = watch::channel(false);
    let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
    let hello = Up::Hello(no_session()).encode();
    link.sender.send(hello).await.unwrap();
    let topics = ["", "..", "x\0y", &"x".repeat(60_000)].map(|name| (name.to_owned(), 1));
    let topics = topics
        .into_iter()
        .chain([("payments".to_owned(), i16::MIN)]);
    for (sequence, (name, replication_factor)) in (1..).zip(topics) {
        let create = CreateTopic {
            name,
            id: crate::TopicId(1_000 + u128::from(sequence)),
            partitions: 1,
            replication_factor,
            configs: [].into(),
        };
        let create = Command::CreateTopic(create);
        let outcome = outcome_of(&mut link, sequence, create).await;
        assert_eq!(outcome, Outcome::Rejected(Rejected::InvalidCommand));
    }
    let catalogue = a.metadata.confirmed_catalogue().await.unwrap();
    assert_eq!(catalogue.topics().count(), 1, "the one of before");
    process.terminate().await;
}

/// Agents show it in sentences and tell it clients.
#[test]
fn a_cluster_is_called_by_few_plain_characters() {
    let called = |cluster_id: &str| {
        let welcome = Welcome {
            cluster_id: cluster_id.to_owned(),
            ..welcome(1)
        };
        Down::decode(Down::Welcome(welcome).encode())
    };
    assert!(called("_-0123456789abcdefghiw").is_ok());
    for wrong in ["a\nb", "a b", &"x".repeat(60_000)] {
        assert!(called(wrong).is_err());
    }
}

/// Newer versions may append to a greeting; nobody has so much to say.
#[tokio::test(start_paused = true)]
async fn a_greeting_that_is_too_long_ends_the_link() {
    let (_, net, process, _a, _b) = two_agents(Travel::Links).await;
    let (awake, _) = watch::channel(false);
    for (appended, welcomed) in [(1_000, true), (100_000, false)] {
        let mut hello = no_session();
        hello.versions.max += 1;
        let frame = [Up::Hello(hello).encode(), vec![0; appended].into()].concat();
        let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
        let _ = link.sender.send(frame.into()).await;
        let first = timeout(PATIENCE, link.receiver.recv()).await.unwrap();
        let first = first.map(|frame| Down::decode(frame).unwrap());
        assert_eq!(matches!(first, Some(Down::Welcome(_))), welcomed);
    }
    process.terminate().await;
}

/// Who watches is told of it in one frame, which all of them must be able to take.
#[tokio::test(start_paused = true)]
async fn a_commit_of_many_extents_is_told_in_small_frames() {
    use crate::rpc::message::Question;
    use crate::sequencer::tests::{batch, commit};
    const COUNT: usize = 200_000;
    let (_, net, process, a, b) = two_agents(Travel::Links).await;
    let view = b.metadata.view(partition(0)).await.unwrap().unwrap();
    let (awake, _) = watch::channel(false);
    let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
    let watches = Up::Ask {
        id: 1,
        question: Question::Watch(vec![partition(0)]),
    };
    for frame in [Up::Hello(no_session()), watches] {
        link.sender.send(frame.encode()).await.unwrap();
    }
    seconds(1).await;
    // Neighbours that differ are extents of their own.
    let mut batches = vec![batch(1, None); COUNT];
    let odd = batches.iter_mut().skip(1).step_by(2);
    odd.for_each(|batch| batch.flags.transactional = true);
    let asked = spawn(a.metadata.submit(commit(1, 0, batches)));
    let end = i64::try_from(COUNT).unwrap();
    loop {
        let frame = timeout(PATIENCE, link.receiver.recv()).await.unwrap();
        let frame = frame.expect("the link goes on");
        assert!(frame.len() < 1024 * 1024, "{} bytes", frame.len());
        if let Ok(Down::Update(Update::Views(views))) = Down::decode(frame)
            && views[0].bounds.high_watermark.0 == end
        {
            break;
        }
    }
    asked.await.unwrap().unwrap();
    // An agent's view goes on from there, and what it lacks is found.
    while view.bounds().high_watermark.0 < end {
        seconds(1).await;
    }
    for offset in [0, 1, end / 2, end - 1] {
        let found = b.metadata.locate(partition(0), Offset(offset), 1).await;
        let Ok(Located::Extents { extents, .. }) = found else {
            panic!("{found:?}")
        };
        assert_eq!(extents[0].base_offset.0, offset);
    }
    let newest = view.look(Offset(end - 1), 1);
    assert!(matches!(newest, crate::Look::Extents { .. }), "{newest:?}");
    assert!(matches!(view.look(Offset(0), 1), crate::Look::Earlier(_)));
    process.terminate().await;
}
