//! The process that holds the order goes, in every way: what was answered stays, what was not is answered once, and
//! nobody is told what is no longer true.

use super::*;
use crate::command::Outcome;
use crate::kv::Fault;
use crate::rpc::message::{Down, Question, Reply, Up};
use crate::sequencer::tests::{extents, placed};
use crate::types::Offset;

#[derive(Clone, Copy, Debug)]
enum Gone {
    Killed,
    Terminated,
    Frozen,
}

#[tokio::test(start_paused = true)]
async fn another_takes_over_as_soon_as_it_can() {
    for (gone, least, most) in [
        (Gone::Killed, 0, 1500),
        (Gone::Terminated, 0, 1500),
        // A frozen process takes connections, and answers nothing on them.
        (Gone::Frozen, 1500, 4000),
    ] {
        let (memory, net, first, a, b) = two_agents(Travel::Links).await;
        let second = net.start(memory.clone(), "two:2", 2);
        seconds(1).await;
        // It knows only the one that waits, and is sent on.
        let c = net.agent(&["two:2"], 13).await;
        let mut number = 0;
        committed_at_last(&a.metadata, &mut number).await;
        let mut frozen = None;
        match gone {
            Gone::Killed => first.kill().await,
            Gone::Terminated => first.terminate().await,
            Gone::Frozen => {
                first.freeze();
                frozen = Some(first);
            }
        }
        let (offset, took) = committed_at_last(&c.metadata, &mut number).await;
        let took = u64::try_from(took.as_millis()).unwrap();
        assert_eq!(offset, 10, "{gone:?}");
        assert!((least..=most).contains(&took), "{gone:?}: {took} ms");
        let both = net.agent(&["one:1", "two:2"], 14).await;
        let (offset, _) = committed_at_last(&both.metadata, &mut number).await;
        assert_eq!(offset, 20, "{gone:?}");
        // Those that know one address alone were sent there before, or are told when it is back.
        if let Some(first) = frozen {
            first.go_on();
            seconds(10).await;
            let (offset, _) = committed_at_last(&a.metadata, &mut number).await;
            assert_eq!(offset, 30);
            assert_eq!(high_watermark(&b.metadata, 0).await, 40);
        }
        second.terminate().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_landed_unseen_is_answered_once_by_the_next() {
    for travel in [Travel::Links, Travel::Grpc] {
        let (memory, net, first, a, b) = two_agents(travel).await;
        let second = net.start(memory.clone(), "two:2", 2);
        let c = net.agent(&["one:1", "two:2"], 13).await;
        let session = c.metadata.session();
        assert_eq!(committed(&c.metadata, plain(1, 0)).await, 0);
        // Written, but the process never hears of it, and dies.
        memory.faults().inject([Fault::UnknownLanded]);
        first.freeze();
        let unclear = c.metadata.submit(plain(2, 0));
        first.go_on();
        tokio::time::sleep(Duration::from_millis(1)).await;
        first.kill().await;
        let later = c.metadata.submit(plain(3, 0));
        let answer = timeout(PATIENCE, unclear).await.expect("answered").unwrap();
        assert_eq!(placed(&answer.outcome).base_offset, Offset(10));
        let answer = timeout(PATIENCE, later).await.expect("answered").unwrap();
        assert_eq!(placed(&answer.outcome).base_offset, Offset(20));
        assert_eq!(c.metadata.session(), session, "the same session goes on");
        assert_eq!(high_watermark(&c.metadata, 0).await, 30);
        second.terminate().await;
        drop((a, b));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_doubled_or_goes_back_whatever_happens() {
    for seed in 0..12 {
        let (memory, net) = (Memory::new(), Net::new(Travel::Links));
        let addresses = ["one:1", "two:2", "three:3"];
        let mut processes: Vec<_> = addresses
            .iter()
            .zip(1..)
            .map(|(address, n)| net.start(memory.clone(), address, seed * 100 + n))
            .collect();
        let mut agents = Vec::new();
        for n in 0..3 {
            agents.push(net.agent(&addresses, seed * 100 + 50 + n).await);
        }
        create_topic(&agents[0].metadata, TOPIC, "orders", 1).await;
        let view = agents[1]
            .metadata
            .view(partition(0))
            .await
            .unwrap()
            .unwrap();
        let random = options(seed + 7).random;
        memory.faults().at_random(seed, 100);
        let (mut acknowledged, mut told, mut seen) = (Vec::new(), 0, Offset(0));
        for number in 0..120_u64 {
            if random().is_multiple_of(15) {
                let which = usize::try_from(random() % 3).unwrap();
                let process = processes.remove(which);
                let address = process.address.clone();
                match random() % 3 {
                    0 => process.kill().await,
                    1 => {
                        memory.faults().cease();
                        process.terminate().await;
                    }
                    _ => {
                        process.freeze();
                        tokio::time::sleep(Duration::from_millis(random() % 8000)).await;
                        process.go_on();
                        tokio::time::sleep(Duration::from_millis(random() % 300)).await;
                        process.kill().await;
                    }
                }
                memory.faults().at_random(seed + number, 100);
                processes.insert(which, net.start(memory.clone(), &address, seed + number));
            }
            let agent = &agents[usize::try_from(random() % 3).unwrap()];
            if let Ok(answer) = agent.metadata.submit(plain(number, 0)).await
                && let Outcome::Committed(verdicts) = &answer.outcome
            {
                let offset = verdicts[0].unwrap().base_offset.0;
                acknowledged.push((number, offset));
                // What was told to anybody is never taken back by anybody.
                assert!(offset >= told, "seed {seed}: {offset} after {told}");
                told = offset + 10;
            }
            let other = &agents[usize::try_from(random() % 3).unwrap()];
            if let Ok(bounds) = other.metadata.bounds(vec![partition(0)]).await {
                let end = bounds[0].unwrap().high_watermark.0;
                assert!(end >= told, "seed {seed}: {end} after {told}");
                told = end;
            }
            assert!(view.bounds().high_watermark >= seen, "seed {seed}");
            seen = view.bounds().high_watermark;
        }
        memory.faults().cease();
        assert!(
            acknowledged.len() > 20,
            "seed {seed}: hardly anything worked"
        );
        let mut number = 1000;
        committed_at_last(&agents[2].metadata, &mut number).await;
        let found = extents(&agents[0].metadata, 0).await;
        for (number, offset) in &acknowledged {
            let object = crate::sequencer::tests::object(*number);
            let mut at = found
                .iter()
                .filter(|each| each.stored().unwrap().object == object);
            let extent = at
                .next()
                .unwrap_or_else(|| panic!("seed {seed}: {number} is lost"));
            assert_eq!(extent.base_offset.0, *offset, "seed {seed}");
            assert!(at.next().is_none(), "seed {seed}: {number} is there twice");
        }
        for process in processes {
            process.kill().await;
        }
    }
}

/// Says what an agent says, without its caution.
async fn greet(net: &Net, address: &str) -> (Link, watch::Sender<bool>) {
    let frozen = watch::Sender::new(false);
    let mut link = net.dial(address, frozen.subscribe()).await.unwrap();
    let hello = Up::Hello(no_session()).encode();
    link.sender.send(hello).await.unwrap();
    let frame = link.receiver.recv().await.unwrap();
    assert!(matches!(Down::decode(frame), Ok(Down::Welcome(_))));
    (link, frozen)
}

/// The next answer to a question; `None` if the link ends before.
async fn reply(link: &mut Link) -> Option<Reply> {
    loop {
        let frame = timeout(PATIENCE, link.receiver.recv()).await.ok()??;
        match Down::decode(frame).unwrap() {
            Down::Reply { reply, .. } => return Some(reply),
            Down::End(_) => return None,
            _ => {}
        }
    }
}

/// Either the whole process stood still, or only what decides: then the question waits in its queue, and is the first thing
/// it sees.
#[tokio::test(start_paused = true)]
async fn one_that_was_frozen_for_half_a_minute_answers_no_stale_end_offset() {
    for whole in [true, false] {
        let (memory, net, first, a, _b) = two_agents(Travel::Links).await;
        let second = net.start(memory.clone(), "two:2", 2);
        let c = net.agent(&["one:1", "two:2"], 13).await;
        let mut number = 0;
        committed_at_last(&c.metadata, &mut number).await;
        let (mut link, _thawed) = greet(&net, "one:1").await;
        let pings = link.sender.clone();
        let pinging = spawn(async move {
            while pings.send(Up::Ping.encode()).await.is_ok() {
                seconds(1).await;
            }
        });
        let question = |id| {
            let question = Question::Bounds(vec![partition(0)]);
            Up::Ask { id, question }.encode()
        };
        link.sender.send(question(1)).await.unwrap();
        let Some(Reply::Bounds(bounds)) = reply(&mut link).await else {
            panic!("it holds the order")
        };
        assert_eq!(bounds[0].unwrap().high_watermark, Offset(10));
        match whole {
            true => first.freeze(),
            false => drop(first.stuck.send_replace(true)),
        }
        // It answers pings still, if only a part of it stands still: then its agents stay and wait.
        let d = net.agent_alone(&["two:2"], 14);
        timeout(PATIENCE, d.metadata.joined())
            .await
            .expect("the other takes over");
        let (offset, _) = committed_at_last(&d.metadata, &mut number).await;
        assert_eq!(offset, 10);
        // Asked after that commit was acknowledged: "10" would be wrong now.
        link.sender.send(question(2)).await.unwrap();
        seconds(30).await;
        pinging.abort();
        first.go_on();
        let answered = reply(&mut link).await;
        assert!(answered.is_none(), "whole {whole}: {answered:?}");
        assert_eq!(high_watermark(&d.metadata, 0).await, 20);
        let knows_both = committed_at_last(&c.metadata, &mut number).await;
        assert_eq!(knows_both.0, 20);
        assert_eq!(committed_at_last(&a.metadata, &mut number).await.0, 30);
        second.terminate().await;
    }
}

/// What a deposed process says to two questions that it was asked while it stood still: they are alone in its queue, with no
/// command beside them that the store would refuse, so that only a look at the owner row can tell.
async fn said_by_a_deposed_one(travel: Travel) -> Option<Reply> {
    let (memory, net, first, a, b) = two_agents(travel).await;
    let mut number = 0;
    committed_at_last(&a.metadata, &mut number).await;
    // Nobody else comes back to it with commands.
    a.close().await;
    b.close().await;
    let second = net.start(memory, "two:2", 2);
    let (mut link, _thawed) = greet(&net, "one:1").await;
    let pings = link.sender.clone();
    let pinging = spawn(async move {
        while pings.send(Up::Ping.encode()).await.is_ok() {
            seconds(1).await;
        }
    });
    seconds(1).await;
    first.stuck.send_replace(true);
    // The other takes over; before, it would send agents on to this one, where they would ask for sessions.
    seconds(10).await;
    let c = net.agent(&["two:2"], 13).await;
    assert_eq!(committed_at_last(&c.metadata, &mut number).await.0, 10);
    // That was acknowledged: an end of 10, or that 15 is out of range, is wrong now.
    let end = Question::Bounds(vec![partition(0)]);
    let past = Question::Locate {
        partition: partition(0),
        offset: Offset(15),
        raw_bytes_max: 1,
    };
    for (id, question) in [(1, end), (2, past)] {
        link.sender
            .send(Up::Ask { id, question }.encode())
            .await
            .unwrap();
    }
    seconds(30).await;
    pinging.abort();
    first.stuck.send_replace(false);
    let said = reply(&mut link).await;
    assert_eq!(high_watermark(&c.metadata, 0).await, 20);
    second.terminate().await;
    said
}

#[tokio::test(start_paused = true)]
async fn a_deposed_one_looks_at_the_owner_row_before_it_confirms_anything() {
    for travel in [Travel::Links, Travel::Grpc] {
        assert_eq!(said_by_a_deposed_one(travel).await, None, "{travel:?}");
    }
}

/// The test above finds the bug that it is for.
#[cfg(feature = "planted-bugs")]
#[tokio::test(start_paused = true)]
async fn one_that_does_not_look_is_found_out() {
    crate::planted::plant(Some("confirmed-read-skipped"));
    for travel in [Travel::Links, Travel::Grpc] {
        let said = said_by_a_deposed_one(travel).await;
        assert!(matches!(said, Some(Reply::Bounds(_))), "{said:?}");
    }
    crate::planted::plant(None);
}

#[tokio::test(start_paused = true)]
async fn without_a_sequencer_everything_asked_is_answered_in_time() {
    let net = Net::new(Travel::Links);
    let alone = net.agent_alone(&["one:1"], 1);
    assert!(!alone.metadata.ready());
    let refused = alone.metadata.submit(plain(1, 0)).await;
    assert!(
        matches!(
            refused,
            Err(Error::Unavailable {
                happened: crate::Happened::No,
                ..
            })
        ),
        "{refused:?}"
    );
    let refused = timeout(Duration::from_secs(10), alone.metadata.view(partition(0))).await;
    assert!(refused.expect("in time").is_err());
    let (_, _, process, a, b) = two_agents(Travel::Links).await;
    let view = a.metadata.view(partition(0)).await.unwrap().unwrap();
    assert_eq!(committed(&b.metadata, plain(1, 0)).await, 0);
    process.kill().await;
    seconds(1).await;
    assert!(!a.metadata.ready());
    let known = a.metadata.view(partition(0)).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&view, &known), "what is known can be read");
    let refused = timeout(
        Duration::from_secs(10),
        a.metadata.bounds(vec![partition(0)]),
    );
    assert!(refused.await.expect("in time").is_err());
    let refused = timeout(Duration::from_secs(30), a.metadata.submit(plain(2, 0))).await;
    assert!(refused.expect("in time").is_err());
    timeout(Duration::from_secs(30), alone.close())
        .await
        .expect("it closes");
}
