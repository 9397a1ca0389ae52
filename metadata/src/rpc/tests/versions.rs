//! Processes of several versions side by side.

use super::*;
use crate::handle::Raised;
use crate::rpc::message::{Down, Up, Versions};

const OLD: Versions = SPOKEN;
const BOTH: Versions = Versions {
    min: SPOKEN.min,
    max: SPOKEN.max + 1,
};
const NEW: Versions = Versions {
    min: SPOKEN.max + 1,
    max: SPOKEN.max + 1,
};

/// What a process that speaks `ours` says first to an agent that speaks `theirs`.
async fn first_words(net: &Net, theirs: Versions) -> Down {
    let awake = watch::Sender::new(false);
    let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
    let hello = Hello {
        versions: theirs,
        ..no_session()
    };
    link.sender.send(Up::Hello(hello).encode()).await.unwrap();
    let frame = timeout(PATIENCE, link.receiver.recv()).await.unwrap();
    Down::decode(frame.expect("it says something")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_smaller_of_two_newest_versions_is_spoken_or_a_sentence_says_why_none_is() {
    for (ours, theirs, expected) in [
        (OLD, OLD, Ok(OLD.max)),
        (OLD, BOTH, Ok(OLD.max)),
        (BOTH, OLD, Ok(OLD.max)),
        (BOTH, BOTH, Ok(BOTH.max)),
        (BOTH, NEW, Ok(NEW.max)),
        (OLD, NEW, Err("upgrade the metadata process")),
        (NEW, OLD, Err("upgrade the agent")),
    ] {
        let net = Net {
            versions: ours,
            ..Net::new(Travel::Links)
        };
        let process = net.start(Memory::new(), "one:1", 1);
        seconds(1).await;
        let said = first_words(&net, theirs).await;
        match (expected, said) {
            (Ok(version), Down::Welcome(welcome)) => assert_eq!(welcome.version, version),
            (Err(part), Down::End(sentence)) => {
                for part in [part, &ours.to_string(), &theirs.to_string()] {
                    assert!(sentence.contains(part), "{sentence}");
                }
            }
            (_, said) => panic!("{ours}, {theirs}: {said:?}"),
        }
        process.kill().await;
    }
}

/// One that waits sends agents on, whatever they speak: the one that holds the order may speak it.
#[tokio::test(start_paused = true)]
async fn one_that_waits_sends_on_agents_that_it_cannot_speak_with() {
    let (memory, net) = (Memory::new(), Net::new(Travel::Links));
    let holder = Net {
        versions: NEW,
        ..net.clone()
    };
    let holder = holder.start(memory.clone(), "two:2", 2);
    seconds(1).await;
    let waits = net.start(memory, "one:1", 1);
    seconds(1).await;
    assert_eq!(
        first_words(&net, NEW).await,
        Down::Redirect("two:2".to_owned())
    );
    holder.kill().await;
    waits.kill().await;
}

/// In both roles: an agent is upgraded before the process that holds the order, or after it.
#[tokio::test(start_paused = true)]
async fn agents_and_sequencers_of_two_versions_work_together() {
    for (first, second, agents) in [(OLD, BOTH, OLD), (BOTH, OLD, BOTH), (OLD, BOTH, BOTH)] {
        let (memory, net) = (Memory::new(), Net::new(Travel::Links));
        let speaking = |versions| Net {
            versions,
            ..net.clone()
        };
        let one = speaking(first).start(memory.clone(), "one:1", 1);
        let agent = speaking(agents).agent(&["one:1", "two:2"], 11).await;
        create_topic(&agent.metadata, TOPIC, "orders", 1).await;
        let two = speaking(second).start(memory, "two:2", 2);
        let mut number = 0;
        assert_eq!(committed_at_last(&agent.metadata, &mut number).await.0, 0);
        let session = agent.metadata.session();
        seconds(1).await;
        one.kill().await;
        assert_eq!(committed_at_last(&agent.metadata, &mut number).await.0, 10);
        assert_eq!(
            agent.metadata.session(),
            session,
            "the same session goes on"
        );
        two.kill().await;
    }
}

/// It was raised while an agent of an older version was away.
#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_read_the_clusters_feature_level_is_told_so() {
    let (_, net, process, a, _b) = two_agents(Travel::Links).await;
    let raised = a.metadata.raise_feature_level(None).await.unwrap();
    let Raised::At(level) = raised else {
        panic!("{raised:?}")
    };
    let awake = watch::Sender::new(false);
    for (reads, welcome) in [(level, true), (level + 1, true), (level - 1, false)] {
        let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
        let hello = Hello {
            level: reads,
            ..no_session()
        };
        link.sender.send(Up::Hello(hello).encode()).await.unwrap();
        let frame = link.receiver.recv().await.expect("it says something");
        match Down::decode(frame).unwrap() {
            Down::Welcome(said) => assert!(welcome && said.level == level),
            said @ Down::TooNew { .. } => {
                assert!(!welcome && said == Down::TooNew { level });
            }
            said => panic!("{said:?}"),
        }
    }
    process.terminate().await;
}
