//! Peers that send nonsense, much of it, or nothing.

use super::*;
use crate::rpc::message::{Down, Hello, Up};
use crate::types::SessionId;

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
    let refused = a.metadata.bounds(vec![partition(0); 300_000]).await;
    assert!(refused.is_err());
    assert!(a.metadata.ready());
    let many = a.metadata.bounds(vec![partition(0); 200_000]).await;
    assert_eq!(many.unwrap().len(), 200_000);
    let batches = vec![batch(1, None); 20_000];
    let answer = a.metadata.submit(commit(2, 0, batches)).await.unwrap();
    let crate::Outcome::Committed(verdicts) = answer.outcome else {
        panic!("it is a commit")
    };
    assert!(verdicts.len() == 20_000 && verdicts.iter().all(Result::is_ok));
    process.terminate().await;
}
