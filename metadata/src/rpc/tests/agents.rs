//! What one agent does, the others see.

use super::*;
use crate::command::{Command, CreatePartitions, Outcome, Rejected};
use crate::sequencer::tests::{extents, object};
use crate::types::{LostRange, Offset, PartitionIndex, Timestamp, TopicId};
use crate::view::Look;

#[tokio::test(start_paused = true)]
async fn a_commit_through_one_agent_wakes_and_is_seen_by_another() {
    for travel in [Travel::Links, Travel::Grpc] {
        let (_, _, process, a, b) = two_agents(travel).await;
        let view = b.metadata.view(partition(0)).await.unwrap().unwrap();
        let own = a.metadata.view(partition(0)).await.unwrap().unwrap();
        let quiet = b.metadata.view(partition(1)).await.unwrap().unwrap();
        for number in 0..20 {
            let (changed, silent) = (view.changed(), quiet.changed());
            let end = committed(&a.metadata, plain(number, 0)).await + 10;
            // Its own view has it before its ack.
            assert_eq!(own.bounds().high_watermark, Offset(end));
            timeout(Duration::from_secs(1), changed)
                .await
                .expect("it wakes");
            assert_eq!(view.bounds().high_watermark, Offset(end));
            let Look::Extents { extents, .. } = view.look(Offset(0), 1 << 20) else {
                panic!("it keeps what it saw")
            };
            assert_eq!(extents.len() as u64, number + 1);
            assert_eq!(
                extents.last().unwrap().stored().unwrap().object,
                object(number)
            );
            assert_eq!(high_watermark(&b.metadata, 0).await, end);
            let woken = timeout(Duration::from_millis(10), silent).await;
            assert!(woken.is_err(), "nothing came to the other partition");
        }
        assert!(b.metadata.view(partition(3)).await.unwrap().is_none());
        a.close().await;
        b.close().await;
        process.terminate().await;
    }
}

/// Each of them takes memory here, and the sequencer a word for each commit.
#[tokio::test(start_paused = true)]
async fn a_view_that_nobody_reads_is_let_go_of_and_comes_back_when_somebody_does() {
    let (_, _, process, a, b) = two_agents(Travel::Links).await;
    let held = b.metadata.view(partition(0)).await.unwrap().unwrap();
    drop(b.metadata.view(partition(1)).await.unwrap().unwrap());
    seconds(150).await;
    let views = &b.metadata.shared().views;
    assert_eq!(views.partitions(), [partition(0)]);
    committed(&a.metadata, plain(1, 1)).await;
    let view = b.metadata.view(partition(1)).await.unwrap().unwrap();
    assert_eq!(view.bounds().high_watermark, Offset(10));
    for (number, view) in [(2, &view), (3, &held)] {
        let changed = view.changed();
        committed(
            &a.metadata,
            plain(number, 3 - i32::try_from(number).unwrap()),
        )
        .await;
        let woken = timeout(Duration::from_secs(1), changed).await;
        woken.expect("it is told of what comes");
    }
    process.terminate().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_through_one_agent_is_in_anothers_confirmed_catalogue() {
    let (_, _, process, a, b) = two_agents(Travel::Links).await;
    for number in 100..120 {
        let name = format!("t{number}");
        b.frozen.send_replace(true);
        create_topic(&a.metadata, TopicId(number), &name, 1).await;
        assert!(b.metadata.catalogue().topic(&name).is_none());
        b.frozen.send_replace(false);
        let confirmed = b.metadata.confirmed_catalogue().await.unwrap();
        assert!(confirmed.topic(&name).is_some(), "{name}");
    }
    a.close().await;
    b.close().await;
    process.terminate().await;
}

#[tokio::test(start_paused = true)]
async fn every_agent_has_all_topics_as_they_change() {
    for travel in [Travel::Links, Travel::Grpc] {
        let (_, net, process, a, b) = two_agents(travel).await;
        let view = b.metadata.view(partition(2)).await.unwrap().unwrap();
        for number in 100..400 {
            create_topic(&a.metadata, TopicId(number), &format!("t{number}"), 1).await;
            // The one that asked has it before its answer.
            assert!(
                a.metadata
                    .catalogue()
                    .topic(&format!("t{number}"))
                    .is_some()
            );
        }
        let more = CreatePartitions {
            topic: TopicId(100),
            total: 7,
        };
        let answer = a.metadata.submit(Command::CreatePartitions(more)).await;
        assert_eq!(answer.unwrap().outcome, Outcome::PartitionsCreated);
        let ended = view.changed();
        let answer = a.metadata.submit(Command::DeleteTopic(TOPIC)).await;
        assert_eq!(answer.unwrap().outcome, Outcome::TopicDeleted);
        timeout(Duration::from_secs(1), ended)
            .await
            .expect("it wakes");
        assert!(view.deleted());
        let late = net.agent(&["one:1"], 13).await;
        for agent in [&a, &b, &late] {
            let catalogue = agent.metadata.catalogue();
            assert_eq!(catalogue.topics().count(), 300);
            assert_eq!(catalogue.topic("t100").unwrap().partitions, 7);
            assert!(catalogue.topic("orders").is_none());
            assert_eq!(agent.metadata.cluster_id(), a.metadata.cluster_id());
            assert!(agent.metadata.view(partition(0)).await.unwrap().is_none());
        }
        process.terminate().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_gave_up_every_agent_hears_of() {
    for travel in [Travel::Links, Travel::Grpc] {
        let (_, _, process, a, b) = two_agents(travel).await;
        committed(&a.metadata, plain(1, 0)).await;
        let range = |until| LostRange {
            partition: PartitionIndex(0),
            from: Offset(0),
            until: Offset(until),
        };
        for (topic, until, expected) in [
            ("orders", 1, Ok(())),
            // Said again.
            ("orders", 1, Ok(())),
            ("orders", 1_000_000, Err(Rejected::NotInLog)),
            ("unknown", 1, Err(Rejected::UnknownTopic)),
        ] {
            let said = a.metadata.mark_lost(topic, range(until)).await;
            assert_eq!(said.unwrap(), expected, "{topic} {until}");
        }
        let catalogue = b.metadata.confirmed_catalogue().await.unwrap();
        let lost = &catalogue.topic("orders").unwrap().lost;
        assert_eq!(lost.end_of(PartitionIndex(0), Offset(0)), Some(Offset(1)));
        assert_eq!(lost.end_of(PartitionIndex(0), Offset(1)), None);
        process.terminate().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_reads_what_only_the_store_still_has() {
    for travel in [Travel::Links, Travel::Grpc] {
        let (_, _, process, a, b) = two_agents(travel).await;
        for number in 0..300 {
            committed(&a.metadata, plain(number, 0)).await;
            if number % 100 == 99 {
                // Checkpoints move extents to index rows.
                seconds(40).await;
            }
        }
        let found = extents(&b.metadata, 0).await;
        assert_eq!(found.len(), 300);
        assert!(
            found
                .iter()
                .zip(0..)
                .all(|(each, n)| each.stored().unwrap().object == object(n))
        );
        let start = Timestamp(crate::sequencer::tests::START);
        let first = b.metadata.locate_timestamp(partition(0), start).await;
        assert_eq!(first.unwrap(), Some(found[0]));
        let later = Timestamp(start.0 + 1);
        let none = b.metadata.locate_timestamp(partition(0), later).await;
        assert_eq!(none.unwrap(), None);
        let max = b.metadata.locate_max_timestamp(partition(0)).await;
        assert_eq!(max.unwrap(), Some(found[0]));
        process.terminate().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_agents_session_is_closed_and_it_comes_back_with_another() {
    let (_, _, process, a, b) = two_agents(Travel::Links).await;
    let session = a.metadata.session();
    committed(&a.metadata, plain(1, 0)).await;
    a.frozen.send_replace(true);
    // On its way when the agent is cut off.
    let unclear = a.metadata.submit(plain(2, 0));
    seconds(15).await;
    a.frozen.send_replace(false);
    let refused = timeout(PATIENCE, unclear).await.expect("it is answered");
    let happened = high_watermark(&b.metadata, 0).await;
    match refused {
        Err(Error::Unavailable { .. }) => assert_eq!(happened, 10),
        other => panic!("{other:?}"),
    }
    let mut number = 10;
    assert_eq!(committed_at_last(&a.metadata, &mut number).await.0, 10);
    assert_ne!(a.metadata.session(), session);
    assert_eq!(high_watermark(&b.metadata, 0).await, 20);
    process.terminate().await;
}

#[tokio::test(start_paused = true)]
async fn a_short_silence_costs_no_session() {
    let (_, _, process, a, b) = two_agents(Travel::Links).await;
    let (one, two) = (a.metadata.session(), b.metadata.session());
    for number in 0..5 {
        a.frozen.send_replace(true);
        let answer = a.metadata.submit(plain(number, 0));
        seconds(4).await;
        a.frozen.send_replace(false);
        let answer = answer.await.unwrap();
        let offset = i64::try_from(number).unwrap() * 10;
        assert_eq!(
            crate::sequencer::tests::placed(&answer.outcome).base_offset,
            Offset(offset)
        );
        seconds(3).await;
    }
    seconds(60).await;
    assert_eq!((a.metadata.session(), b.metadata.session()), (one, two));
    process.terminate().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_takes_nothing_is_cut_off_and_begins_afresh() {
    let (_, _, process, a, b) = two_agents(Travel::Links).await;
    let view = b.metadata.view(partition(0)).await.unwrap().unwrap();
    b.frozen.send_replace(true);
    for number in 0..4000 {
        committed(&a.metadata, plain(number, 0)).await;
    }
    let changed = view.changed();
    b.frozen.send_replace(false);
    timeout(PATIENCE, changed).await.expect("it hears again");
    seconds(5).await;
    assert_eq!(view.bounds().high_watermark, Offset(40_000));
    let Look::Extents { extents, .. } = view.look(Offset(39_990), 1) else {
        panic!("the tail is there")
    };
    assert_eq!(extents[0].stored().unwrap().object, object(3999));
    committed(&a.metadata, plain(5000, 0)).await;
    seconds(1).await;
    assert_eq!(view.bounds().high_watermark, Offset(40_010));
    process.terminate().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_left_or_died_leaves_no_session_behind() {
    let (memory, net, process, a, b) = two_agents(Travel::Links).await;
    let c = net.agent(&["one:1"], 13).await;
    let sessions = || {
        let rows = memory.snapshot();
        let keys = rows
            .keys()
            .map(|key| crate::keys::Key::decode(key).unwrap());
        keys.filter(|key| matches!(key, crate::keys::Key::Session(_)))
            .count()
    };
    a.close().await;
    c.kill().await;
    seconds(9).await;
    process.terminate().await;
    assert_eq!(sessions(), 2, "it may come back");
    let process = net.start(memory.clone(), "one:1", 2);
    committed_at_last(&b.metadata, &mut 10).await;
    seconds(9).await;
    assert!(b.metadata.ready());
    seconds(3).await;
    process.terminate().await;
    assert_eq!(sessions(), 1, "only the other one's");
}
