//! The feature level is raised for all or for nobody.

use super::spoken::outcome_of;
use super::*;
use crate::handle::Raised;
use crate::keys::Key;
use crate::level::{As, Format};
use crate::rpc::message::{Asker, Down, Up};

/// Why the level is not raised.
async fn kept(metadata: &Metadata) -> String {
    match metadata.raise_feature_level(None).await.unwrap() {
        Raised::Kept(why) => why,
        raised => panic!("{raised:?}"),
    }
}

/// The other end of a link by which a process of level 1 greets.
async fn old(net: &Net, agent: Option<Node>) -> Link {
    let awake = watch::Sender::new(false);
    let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
    let hello = Hello {
        level: 1,
        agent,
        ..no_session()
    };
    link.sender.send(Up::Hello(hello).encode()).await.unwrap();
    link.receiver.recv().await.expect("it says something");
    link
}

#[tokio::test(start_paused = true)]
async fn a_level_is_raised_once_every_agent_can_read_it() {
    let _level = As::level(2);
    let (memory, net, _process, a, _b) = two_agents(Travel::Links).await;
    let link = old(&net, Some(Node::new(77, "old.test", 9092))).await;
    let why = kept(&a.metadata).await;
    assert_eq!(
        why,
        "agent 77 at old.test:9092 reads up to level 1 and not level 2: upgrade it first"
    );
    // Its link ends, but it may come back.
    drop(link);
    seconds(2).await;
    let why = kept(&a.metadata).await;
    assert!(why.contains("is away"), "{why}");
    seconds(12).await;
    let nobody = old(&net, None).await;
    let why = kept(&a.metadata).await;
    assert!(why.contains("a process that takes no clients"), "{why}");
    nobody.sender.send(Up::Goodbye.encode()).await.unwrap();
    seconds(1).await;
    assert_eq!(level_of(&memory), 1);
    let raised = a.metadata.raise_feature_level(None).await.unwrap();
    assert_eq!(raised, Raised::At(2));
    assert_eq!(level_of(&memory), 2, "older versions see it at once");
    let refused = a.metadata.raise_feature_level(Some(3)).await.unwrap();
    assert!(matches!(refused, Raised::Kept(_)), "{refused:?}");
    assert!(!a.metadata.release_hold().await.unwrap(), "there was none");
}

/// What a version must read for it to open the store.
fn level_of(memory: &Memory) -> u32 {
    let row = memory.snapshot()[&Key::Format.encode()].clone();
    Format::decode(row).unwrap().reader_min
}

#[tokio::test(start_paused = true)]
async fn a_level_is_not_raised_while_a_candidate_that_waits_cannot_read_it() {
    let _level = As::level(2);
    let (_memory, net, _process, a, _b) = two_agents(Travel::Links).await;
    let awake = watch::Sender::new(false);
    let mut link = net.dial("one:1", awake.subscribe()).await.unwrap();
    let asker = Asker {
        level: 1,
        address: "two:2".to_owned(),
    };
    link.sender.send(Up::Who(asker).encode()).await.unwrap();
    let said = link.receiver.recv().await.expect("it says who it is");
    assert!(matches!(Down::decode(said).unwrap(), Down::Iam { .. }));
    let why = kept(&a.metadata).await;
    assert!(
        why.contains("the metadata process at two:2, which waits"),
        "{why}"
    );
    // It does not wait any more.
    seconds(6).await;
    let raised = a.metadata.raise_feature_level(None).await.unwrap();
    assert_eq!(raised, Raised::At(2));
}

/// One at that machine asks the holder who it is.
async fn look(net: &Net, from: u8, address: &str, level: u32) {
    let port = net.open.lock().get("one:1").cloned().unwrap();
    let (mut near, mut far) = pair();
    far.from = Some([10, 0, 0, from].into());
    port.links.send(far).await.unwrap();
    let address = address.to_owned();
    let asker = Asker { level, address };
    near.sender.send(Up::Who(asker).encode()).await.unwrap();
    near.receiver.recv().await.expect("it says who it is");
}

#[tokio::test(start_paused = true)]
async fn addresses_that_a_peer_invents_hide_no_candidate_that_waits() {
    let _level = As::level(2);
    let (memory, net, _process, a, _b) = two_agents(Travel::Links).await;
    for _ in 0..2 {
        for number in 0..100 {
            look(&net, 9, &format!("invented:{number}"), 2).await;
        }
        look(&net, 2, "two:2", 1).await;
        look(&net, 9, "two:2", 2).await;
    }
    let why = kept(&a.metadata).await;
    assert!(why.contains("the metadata process at two:2,"), "{why}");
    assert_eq!(level_of(&memory), 1);
}

/// What a peer calls itself is put into a line of a log, and on a terminal.
#[tokio::test(start_paused = true)]
async fn who_stands_in_the_way_is_named_on_one_line() {
    let _level = As::level(2);
    let (_memory, net, _process, a, _b) = two_agents(Travel::Links).await;
    let is_one_line = |why: &str| !why.contains(char::is_control) && why.len() < 600;
    look(&net, 2, "two\n\x1b[2J:2", 1).await;
    let why = kept(&a.metadata).await;
    assert!(is_one_line(&why) && why.contains("two\\n"), "{why}");
    let host = "old\n".repeat(400);
    let _link = old(&net, Some(Node::new(77, host, 9092))).await;
    let why = kept(&a.metadata).await;
    assert!(
        is_one_line(&why) && why.contains("agent 77 at old"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_command_of_an_old_version_is_told_to_be_said_with_the_new_one() {
    let _level = As::level(2);
    let (_memory, net, _process, _a, _b) = two_agents(Travel::Links).await;
    let mut link = old(&net, None).await;
    let raise = crate::Command::RaiseFeatureLevel(Some(2));
    let outcome = outcome_of(&mut link, 1, raise).await;
    let crate::Outcome::FeatureLevelKept(why) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(why.contains("say it with the newer version"), "{why}");
}

/// A process that stops, rather than to ask for ever.
#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_read_the_level_stops_with_a_sentence() {
    let level = As::level(2);
    let (_memory, net, _process, a, _b) = two_agents(Travel::Links).await;
    a.metadata.raise_feature_level(None).await.unwrap();
    drop(level);
    let old = net.agent_alone(&["one:1"], 12);
    let ended = timeout(PATIENCE, old.task).await.unwrap().unwrap();
    let text = ended.unwrap_err().to_string();
    assert!(
        text.contains("level 2") && text.contains("levels up to 1") && text.contains("newer"),
        "{text}"
    );
}
