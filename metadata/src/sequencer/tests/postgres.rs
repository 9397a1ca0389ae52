//! The same over PostgreSQL: processes that come and go, two that want to write, backends that die under load.

use futures::future::join_all;

use super::*;
use crate::kv::postgres::tests::open;
use crate::kv::postgres::tests::server::{DATABASE, Server};
use crate::kv::{Memory, Redb};

#[tokio::test]
async fn a_database_keeps_what_was_answered_through_kills_and_closes() {
    let Some(server) = Server::start() else {
        return;
    };
    redb::keeps_what_was_answered(async || open(&server, "").await).await;
}

#[tokio::test]
async fn the_second_sequencer_fences_the_first() {
    let Some(server) = Server::start() else {
        return;
    };
    let first = run(open(&server, "").await, options(1)).await;
    create_topic(&first.metadata, TOPIC, "orders", 3).await;
    assert_eq!(committed(&first.metadata, plain(1, 0)).await, 0);
    let second = run(open(&server, "").await, options(2)).await;
    assert_eq!(committed(&second.metadata, plain(2, 0)).await, 10);
    // Neither writes nor reads are answered by the first any more.
    let read = first.metadata.bounds(vec![partition(0)]).await;
    assert!(matches!(read, Err(Error::Fenced)), "{read:?}");
    assert!(matches!(first.task.await.unwrap(), Err(Error::Fenced)));
    assert_eq!(committed(&second.metadata, plain(3, 0)).await, 20);
    assert_eq!(
        offsets(&extents(&second.metadata, 0).await),
        [0..10, 10..20, 20..30]
    );
    second.close().await;
}

/// What was answered is there once, in the order of the answers; what was refused is not there.
#[tokio::test]
async fn backends_that_die_under_load_lose_and_double_nothing() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut options = options(3);
    options.checkpoint_interval = Duration::from_millis(50);
    let running = run(open(&server, "").await, options).await;
    create_topic(&running.metadata, TOPIC, "orders", 3).await;
    let kill = "DO $$ BEGIN FOR i IN 1..20 LOOP PERFORM pg_stat_clear_snapshot(); \
                PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'penstock'; \
                PERFORM pg_sleep(0.1 + random() * 0.1); END LOOP; END $$";
    let mut killer = server.psql(DATABASE, kill).spawn().unwrap();
    let (mut answered, mut failed) = (Vec::new(), 0);
    for number in 0_u64.. {
        if killer.try_wait().unwrap().is_some() {
            break;
        }
        match running.metadata.submit(plain(number, 0)).await {
            Ok(answer) => answered.push((number, placed(&answer.outcome).base_offset)),
            Err(Error::Unavailable { .. }) => {
                failed += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    println!("{} answered, {failed} refused", answered.len());
    assert!(answered.len() > 50, "{}", answered.len());
    let mut metadata = running.metadata.clone();
    while !metadata.ready() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for anew in [false, true] {
        if anew {
            // Else the two take the order from each other while the second one starts.
            metadata.close().await;
            metadata = run(open(&server, "").await, super::options(4))
                .await
                .metadata;
        }
        let found = extents(&metadata, 0).await;
        for (number, base_offset) in &answered {
            let there = found
                .iter()
                .filter(|extent| extent.stored().unwrap().object == object(*number));
            let there: Vec<Offset> = there.map(|extent| extent.base_offset).collect();
            assert_eq!(there, [*base_offset], "object {number}");
        }
    }
}

/// So many submitters, each of which waits for its answer before it goes on.
async fn rate(name: &str, kv: impl Kv + 'static, submitters: u64) {
    let each = 4000 / submitters;
    let running = run(kv, options(5)).await;
    create_topic(&running.metadata, TOPIC, "orders", 3).await;
    let drains = running.metadata.stats().drains;
    let began = Instant::now();
    let submit = |submitter: u64| {
        let metadata = running.metadata.clone();
        async move {
            for number in 0..each {
                committed(&metadata, plain(submitter * each + number, 0)).await;
            }
        }
    };
    join_all((0..submitters).map(submit)).await;
    let took = began.elapsed().as_secs_f64();
    let drains = running.metadata.stats().drains - drains;
    println!(
        "{name}, {submitters} submitters: {:.0} commits and {:.0} drains a second",
        f64::from(u32::try_from(submitters * each).unwrap()) / took,
        f64::from(u32::try_from(drains).unwrap()) / took
    );
    running.close().await;
}

/// By hand: `cargo test -p penstock-metadata --features postgres figures -- --ignored --nocapture --test-threads 1`.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "figures, not a test"]
async fn figures_of_drains() {
    let Some(server) = Server::with(&[], |_| {}) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for submitters in [1, 16, 300] {
        rate("memory", Memory::new(), submitters).await;
        let path = folder.path().join(format!("{submitters}.redb"));
        rate("redb", Redb::open(&path).unwrap(), submitters).await;
        let schema = format!("sslmode=disable&schema=drains_{submitters}");
        rate("postgres", open(&server, &schema).await, submitters).await;
    }
}
