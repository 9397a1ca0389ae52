//! The order of frames: a view is there before an answer that covers it, whoever asks whom.

use super::played::{Played, answer, asked};
use super::spoken::{next, say};
use super::*;
use crate::command::{Outcome, Rejected};
use crate::rpc::message::{Down, Question, Reply, Up};
use crate::types::{Bounds, Lsn, Offset, Scope};
use crate::update::{Update, ViewUpdate};

/// As of a partition in which nothing is.
fn empty(index: i32) -> ViewUpdate {
    ViewUpdate {
        partition: partition(index),
        scope: Scope::All,
        bounds: Bounds::default(),
        extents: Vec::new(),
    }
}

/// Both kinds of answers, to what was asked at once.
#[tokio::test(start_paused = true)]
async fn a_sequencer_tells_what_changed_before_it_answers() {
    for travel in [Travel::Links, Travel::Grpc] {
        let (_, net, process, a, b) = two_agents(travel).await;
        let frozen = watch::Sender::new(false);
        let mut link = net.dial("one:1", frozen.subscribe()).await.unwrap();
        let hello = Up::Hello(no_session());
        say(&link, hello).await;
        let question = Question::Watch(vec![partition(0)]);
        say(&link, Up::Ask { id: 1, question }).await;
        while !matches!(next(&mut link).await, Down::Reply { id: 1, .. }) {}
        let (mut end, mut sequence) = (0, 0);
        for number in 1..20_u64 {
            // Of this agent's own, or of another's that may share a drain with the question.
            let own = number % 3 != 0;
            let committed = (!own).then(|| a.metadata.submit(plain(number, 0)));
            if own {
                sequence += 1;
                let submit = Up::Submit {
                    sequence,
                    seen: sequence,
                    command: plain(number, 0),
                };
                say(&link, submit).await;
            }
            let question = Question::Bounds(vec![partition(0)]);
            let id = 1 + number;
            say(&link, Up::Ask { id, question }).await;
            let (mut told, mut answers) = (end, if own { 2 } else { 1 });
            while answers > 0 {
                match next(&mut link).await {
                    Down::Update(Update::Views(views)) => {
                        assert_eq!(views[0].extents.len(), 1);
                        told = views[0].bounds.high_watermark.0;
                    }
                    Down::Answer { outcome, .. } => {
                        let offset = crate::sequencer::tests::placed(&outcome).base_offset.0;
                        assert!(told >= offset + 10, "{travel:?}: {told}, {offset}");
                        answers -= 1;
                    }
                    Down::Reply { reply, .. } => {
                        let Reply::Bounds(bounds) = reply else {
                            panic!("{reply:?}")
                        };
                        let said = bounds[0].unwrap().high_watermark.0;
                        assert!(told >= said, "{travel:?}: {told}, {said}");
                        answers -= 1;
                    }
                    _ => {}
                }
            }
            if let Some(committed) = committed {
                committed.await.unwrap();
            }
            end += 10;
            assert_eq!(high_watermark(&b.metadata, 0).await, end);
        }
        process.terminate().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_behind_a_command_that_never_came_is_refused_until_the_agent_knows() {
    let (_, net, process, a, _b) = two_agents(Travel::Links).await;
    let submit = |sequence, seen| Up::Submit {
        sequence,
        seen,
        command: plain(sequence, 0),
    };
    let frozen = watch::Sender::new(false);
    let mut link = net.dial("one:1", frozen.subscribe()).await.unwrap();
    say(&link, Up::Hello(no_session())).await;
    say(&link, submit(2, 1)).await;
    loop {
        match next(&mut link).await {
            Down::End(_) => break,
            Down::Answer { outcome, .. } => panic!("it overtook the first: {outcome:?}"),
            _ => {}
        }
    }
    assert_eq!(high_watermark(&a.metadata, 0).await, 0);
    let mut link = net.dial("one:1", frozen.subscribe()).await.unwrap();
    say(&link, Up::Hello(no_session())).await;
    // The first was given up.
    say(&link, submit(2, 2)).await;
    while !matches!(next(&mut link).await, Down::Answer { sequence: 2, .. }) {}
    assert_eq!(high_watermark(&a.metadata, 0).await, 10);
    process.terminate().await;
}

/// A frame each way for all of them.
#[tokio::test(start_paused = true)]
async fn several_views_are_asked_for_with_one_question() {
    let net = Net::new(Travel::Links);
    let (_played, agent, mut link) = Played::joined(&net).await;
    let metadata = agent.metadata.clone();
    let partitions = [0, 1, 2].map(partition);
    let viewing = spawn(async move { metadata.views(&partitions).await });
    let Up::Ask { id, question } = asked(&mut link).await else {
        panic!("it asks for the views")
    };
    assert_eq!(question, Question::Watch(partitions.to_vec()));
    let views = vec![empty(0), empty(2)];
    answer(&link, Down::Update(Update::Views(views))).await;
    let reply = Reply::Watched(vec![true, false, true]);
    answer(&link, Down::Reply { id, reply }).await;
    let views = viewing.await.unwrap();
    let there = views.into_iter().map(|view| view.unwrap().is_some());
    assert_eq!(there.collect::<Vec<_>>(), [true, false, true]);
    agent.kill().await;
}

/// So that the sequencer, which takes frames in order, has the watch before the command.
#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_back_asks_for_its_views_before_it_submits_again() {
    let net = Net::new(Travel::Links);
    let (mut played, agent, mut link) = Played::joined(&net).await;
    let metadata = agent.metadata.clone();
    let viewing = spawn(async move { metadata.view(partition(0)).await });
    let Up::Ask { id, question } = asked(&mut link).await else {
        panic!("it asks for the view")
    };
    let watched = Question::Watch(vec![partition(0)]);
    assert_eq!(question, watched);
    answer(&link, Down::Update(Update::Views(vec![empty(0)]))).await;
    let reply = Reply::Watched(vec![true]);
    answer(&link, Down::Reply { id, reply }).await;
    let view_there = viewing.await.unwrap().unwrap();
    let view_there = view_there.expect("the partition is there");
    let answered = spawn(agent.metadata.submit(plain(1, 0)));
    let Up::Submit { sequence: 1, .. } = asked(&mut link).await else {
        panic!("it submits")
    };
    drop(link);
    let mut link = played.welcome(7).await;
    let again = asked(&mut link).await;
    assert!(
        matches!(&again, Up::Ask { question, .. } if *question == watched),
        "{again:?}"
    );
    let again = asked(&mut link).await;
    assert!(matches!(again, Up::Submit { sequence: 1, .. }), "{again:?}");
    // The view is what was told, at the moment of the answer.
    let mut grown = empty(0);
    grown.bounds.high_watermark = Offset(10);
    answer(&link, Down::Update(Update::Views(vec![grown]))).await;
    let outcome = Outcome::Rejected(Rejected::UnknownPartition);
    let told = Down::Answer {
        sequence: 1,
        lsn: Lsn(1),
        outcome: outcome.clone(),
    };
    answer(&link, told).await;
    let answered = timeout(PATIENCE, answered).await.expect("answered");
    assert_eq!(answered.unwrap().unwrap().outcome, outcome);
    assert_eq!(view_there.bounds().high_watermark, Offset(10));
    agent.kill().await;
}
