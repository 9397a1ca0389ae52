//! A store that went back in time, accepted by an operator, and what operators say besides.

use super::*;
use crate::sequencer::Serves;
use crate::{Bounds, CreatePartitions};

fn operator(bucket: Option<&Bucket>) -> Options {
    match bucket {
        Some(bucket) => bucket.options(99),
        None => options(99),
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_store_that_is_accepted_goes_on_without_handing_anything_out_twice() {
    for witnessed in [true, false] {
        let (memory, bucket) = (Memory::new(), Bucket::default());
        let running = run(memory.clone(), bucket.options(1)).await;
        create_topic(&running.metadata, TOPIC, "orders", 2).await;
        let ids = Command::AllocateProducerIds { count: 10 };
        running.metadata.submit(ids.clone()).await.unwrap();
        committed(&running.metadata, plain(1, 0)).await;
        running.close().await;
        let older = memory.snapshot();
        let running = run(memory.clone(), bucket.options(2)).await;
        let lost = running.metadata.submit(ids.clone()).await.unwrap().outcome;
        let Outcome::ProducerIds { first, .. } = lost else {
            panic!("{lost:?}")
        };
        let producer = (first.0 + 3, 0);
        let one = commit(2, 0, vec![batch(10, Some(producer))]);
        assert_eq!(committed(&running.metadata, one).await, 10);
        let (session, epoch) = (running.metadata.session(), running.metadata.leader_epoch());
        running.close().await;
        put_back(&memory, older).await;
        went_back(&refused(&memory, bucket.options(3)).await);
        let options = operator(witnessed.then_some(&bucket));
        let accepted = accept_older_store(&memory, options).await.unwrap();
        let Acceptance::Accepted {
            remembered, kept, ..
        } = accepted
        else {
            panic!("{accepted:?}")
        };
        assert_eq!(remembered.is_some(), witnessed);
        assert!(remembered.is_none_or(|point| point.lsn > kept));
        let running = run(memory.clone(), bucket.options(4)).await;
        let metadata = &running.metadata;
        assert_eq!(high_watermark(metadata, 0).await, 10);
        assert!(metadata.session() > session + (1 << 31));
        // Larger than any that what is remembered may have had.
        let (epoch, before) = (metadata.leader_epoch(), epoch);
        assert!(if witnessed {
            epoch > before + 1
        } else {
            epoch == before + 1
        });
        // The living producer goes on, whatever of it was lost.
        let next = commit(3, 0, vec![batch(10, Some((first.0 + 3, 10)))]);
        assert_eq!(committed(metadata, next).await, 10);
        let fresh = metadata.submit(ids).await.unwrap().outcome;
        assert!(matches!(fresh, Outcome::ProducerIds { first, .. } if first.0 > 1 << 40));
        let bounds = metadata.bounds(vec![partition(0), partition(1)]).await;
        let starts = bounds.unwrap().into_iter();
        let starts: Vec<_> = starts
            .map(|bounds| bounds.unwrap().epochs.starts().to_vec())
            .collect();
        let began = |start| {
            let start = Offset(start);
            vec![EpochStart { epoch, start }]
        };
        assert_eq!(starts, [began(10), began(0)]);
        running.close().await;
        let hold = check(&memory).await.unwrap().hold;
        assert!(hold.is_some(), "objects that were lost stay");
        assert!(release_hold(&memory, bucket.options(5)).await.unwrap());
        assert!(!release_hold(&memory, bucket.options(5)).await.unwrap());
        assert_eq!(check(&memory).await.unwrap().hold, None);
        let again = accept_older_store(&memory, bucket.options(6))
            .await
            .unwrap();
        assert_eq!(again, Acceptance::Needless);
        run(memory, bucket.options(7)).await.close().await;
    }
}

/// As the bucket may say that somebody else writes, or that is damaged.
#[tokio::test(start_paused = true)]
async fn an_older_store_is_not_accepted_by_a_point_that_never_was() {
    for epoch in [u64::MAX, u64::MAX - 1, 1 << 31] {
        let (memory, bucket, running) = witnessed().await;
        running.close().await;
        let before = memory.snapshot();
        let mut remembered = bucket.remembered.lock().clone().unwrap();
        remembered.point.as_mut().unwrap().epoch = epoch;
        *bucket.remembered.lock() = Some(remembered);
        let refused = accept_older_store(&memory, bucket.options(3)).await;
        assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
        assert_eq!(memory.snapshot(), before, "nothing is taken over");
    }
}

/// Made again, or made larger again, after a store that lost it was accepted: whoever read the lost one must hear that the
/// records it had read are none, and begin at the first.
#[tokio::test(start_paused = true)]
async fn partitions_that_are_made_later_begin_with_the_leader_epoch_of_the_store_that_was_accepted()
{
    const AGAIN: TopicId = TopicId(77);
    let (memory, bucket) = (Memory::new(), Bucket::default());
    let running = run(memory.clone(), bucket.options(1)).await;
    create_topic(&running.metadata, TOPIC, "orders", 1).await;
    running.close().await;
    let older = memory.snapshot();
    let running = run(memory.clone(), bucket.options(2)).await;
    committed(&running.metadata, plain(1, 0)).await;
    running.close().await;
    put_back(&memory, older).await;
    accept_older_store(&memory, bucket.options(3))
        .await
        .unwrap();
    let running = run(memory.clone(), bucket.options(4)).await;
    create_topic(&running.metadata, AGAIN, "again", 2).await;
    let grown = CreatePartitions {
        topic: TOPIC,
        total: 2,
    };
    let grown = running.metadata.submit(Command::CreatePartitions(grown));
    grown.await.unwrap();
    committed(&running.metadata, plain(2, 1)).await;
    running.close().await;
    // From rows, under a later holder.
    let running = run(memory, bucket.options(5)).await;
    let of = |topic, partition| TopicPartition {
        topic,
        partition: PartitionIndex(partition),
    };
    let made = vec![of(AGAIN, 0), of(AGAIN, 1), of(TOPIC, 1)];
    for bounds in running.metadata.bounds(made).await.unwrap() {
        let Bounds {
            epochs,
            high_watermark,
            ..
        } = bounds.unwrap();
        assert_eq!(epochs.end_of(0, high_watermark), Offset(0));
    }
    running.close().await;
}

/// A producer that the older store knows, but whose last batches it lost: it goes on where it is, once, and what it repeats
/// is told all the same.
#[tokio::test(start_paused = true)]
async fn a_living_producer_goes_on_where_the_older_store_knows_less_of_it() {
    const GAP: Result<i64, Rejected> = Err(Rejected::OutOfOrderSequence);
    let (memory, bucket) = (Memory::new(), Bucket::default());
    let running = run(memory.clone(), bucket.options(1)).await;
    create_topic(&running.metadata, TOPIC, "orders", 1).await;
    let send = async |metadata: &Metadata, number, id, epoch, sequence| {
        let mut one = batch(10, Some((id, sequence)));
        one.producer.as_mut().unwrap().epoch = ProducerEpoch(epoch);
        let answer = metadata.submit(commit(number, 0, vec![one])).await;
        match answer.unwrap().outcome {
            Outcome::Committed(verdicts) => verdicts[0].map(|placed| placed.base_offset.0),
            other => panic!("{other:?}"),
        }
    };
    for (number, id) in (1..).zip([5, 6, 7]) {
        let placed = send(&running.metadata, number, id, 0, 0).await;
        assert_eq!(placed, Ok(i64::try_from(number).unwrap() * 10 - 10));
    }
    running.close().await;
    let older = memory.snapshot();
    let running = run(memory.clone(), bucket.options(2)).await;
    // Later on its next epoch; the other two lose what they sent.
    assert_eq!(send(&running.metadata, 10, 5, 0, 10).await, Ok(30));
    assert_eq!(send(&running.metadata, 11, 6, 1, 0).await, Ok(40));
    assert_eq!(send(&running.metadata, 12, 7, 0, 10).await, Ok(50));
    running.close().await;
    put_back(&memory, older).await;
    accept_older_store(&memory, bucket.options(3))
        .await
        .unwrap();
    let mut running = run(memory.clone(), bucket.options(4)).await;
    seconds(1).await;
    assert_eq!(
        send(&running.metadata, 20, 5, 0, 0).await,
        Ok(0),
        "a repetition"
    );
    assert_eq!(send(&running.metadata, 21, 5, 0, 20).await, Ok(30));
    assert_eq!(send(&running.metadata, 22, 6, 1, 10).await, Ok(40));
    assert_eq!(
        send(&running.metadata, 23, 6, 0, 10).await,
        Err(Rejected::InvalidProducerEpoch)
    );
    for (seed, number) in [(5, 30), (6, 40)] {
        assert_eq!(
            send(&running.metadata, number, 5, 0, 20).await,
            Ok(30),
            "a repetition"
        );
        assert_eq!(
            send(&running.metadata, number + 1, 5, 0, 50).await,
            GAP,
            "only once"
        );
        assert_eq!(send(&running.metadata, number + 2, 6, 1, 10).await, Ok(40));
        assert_eq!(send(&running.metadata, number + 3, 6, 1, 50).await, GAP);
        // As it is replayed.
        running.kill().await;
        running = run(memory.clone(), bucket.options(seed)).await;
    }
    assert_eq!(send(&running.metadata, 50, 5, 0, 30).await, Ok(50));
    assert_eq!(send(&running.metadata, 51, 7, 0, 20).await, Ok(60));
    running.close().await;
}

/// One backup, brought back and accepted again and again: each time leaders, sessions and producers are others, for what
/// was handed out the times before is lost with them.
#[tokio::test(start_paused = true)]
async fn a_backup_that_is_accepted_twice_hands_nothing_out_twice() {
    let (memory, bucket) = (Memory::new(), Bucket::default());
    let running = run(memory.clone(), bucket.options(1)).await;
    create_topic(&running.metadata, TOPIC, "orders", 1).await;
    committed(&running.metadata, plain(1, 0)).await;
    running.close().await;
    let backup = memory.snapshot();
    let (mut epoch, mut session, mut producer) = (0, 0, 0);
    for round in 1..=12 {
        let running = run(memory.clone(), bucket.options(round * 10)).await;
        let metadata = &running.metadata;
        assert!(round == 1 || metadata.leader_epoch() > epoch, "{round}");
        epoch = metadata.leader_epoch();
        assert!(
            metadata.session() > session + (1 << 31) || round == 1,
            "{round}"
        );
        session = metadata.session();
        let ids = Command::AllocateProducerIds { count: 10 };
        let answer = metadata.submit(ids).await.unwrap().outcome;
        let Outcome::ProducerIds { first, .. } = answer else {
            panic!("{answer:?}")
        };
        assert!(round == 1 || first.0 > producer + 10, "{round}");
        producer = first.0;
        assert_eq!(
            committed(metadata, plain(100 + round, 0)).await,
            10,
            "{round}"
        );
        let bounds = metadata.bounds(vec![partition(0)]).await.unwrap();
        let epochs = bounds[0].unwrap().epochs;
        if round > 1 {
            assert_eq!(epochs.of(Offset(9)), 0);
            assert_eq!(epochs.of(Offset(10)), epoch);
        }
        running.close().await;
        put_back(&memory, backup.clone()).await;
        let options = bucket.options(round * 10 + 5);
        let accepted = accept_older_store(&memory, options).await.unwrap();
        assert!(matches!(accepted, Acceptance::Accepted { .. }));
    }
}

/// What was accepted is another history: the newer store is refused once it is back.
#[tokio::test(start_paused = true)]
async fn the_store_that_was_given_up_is_refused_when_it_comes_back() {
    let (memory, bucket, newer) = one_record_behind().await;
    accept_older_store(&memory, bucket.options(3))
        .await
        .unwrap();
    run(memory.clone(), bucket.options(4)).await.close().await;
    put_back(&memory, newer).await;
    went_back(&refused(&memory, bucket.options(5)).await);
    // Unless that is accepted in turn.
    accept_older_store(&memory, bucket.options(6))
        .await
        .unwrap();
    let running = run(memory, bucket.options(7)).await;
    assert_eq!(high_watermark(&running.metadata, 0).await, 10);
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_served_from_is_left_alone_by_operators() {
    let memory = Memory::new();
    let mut options = options(1);
    options.serves = Serves::Network("10.0.0.1:9000".to_owned());
    let (_metadata, sequencer) = start(Arc::new(memory.clone()), options).await.unwrap();
    let running = sequencer.run();
    let operating = async {
        for done in [
            release_hold(&memory, operator(None)).await.err(),
            finalize(&memory, operator(None)).await.err(),
            accept_older_store(&memory, operator(None)).await.err(),
        ] {
            assert!(matches!(done, Some(Error::InUse(_))), "{done:?}");
        }
    };
    tokio::select! {
        ended = running => panic!("{ended:?}"),
        () = operating => {}
    }
}
