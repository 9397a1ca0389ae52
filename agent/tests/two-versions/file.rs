//! Over one file, which one process opens at a time.

use std::path::Path;

use bytes::{Buf, Bytes};
use metadata::kv::{Direction, Kv, Redb, Transaction};
use protocol::ErrorCode;

use super::cluster::{Load, agent, bucket, end, holds};
use super::support::broker::program;
use super::support::client::Client;
use super::support::processes::Process;
use super::support::tools::run;
use super::versions::{
    is_turned_away, level, make_topic_of_level_2, metadata, new, old, raised, rounds, too_new,
};

/// As `metadata`'s golden tests wrote it: a log that goes on at level 2.
const OF_LEVEL_2: &str = "../metadata/tests/golden/store-2.bin";

#[tokio::test]
async fn a_file_goes_from_version_to_version_until_it_is_finalized() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = bucket(folder.path());
    let file = folder.path().join("metadata.redb");
    let store = format!("redb://{}", file.display());
    let mut holder = Process::of(&old(), "metadata", &["--store", &store]).await;
    holds(&holder).await;
    let at = holder.listen.to_string();
    let mut agents = [
        agent(&old(), &bucket, &at).await,
        agent(&new(), &bucket, &at).await,
    ];
    let load = Load::start([agents[0].listen, agents[1].listen]).await;
    for _ in 0..rounds() {
        for crash in [false, true] {
            for binary in [new(), old()] {
                load.gets_on().await;
                end(&mut holder, crash).await;
                holder.restart_as(&binary);
                holds(&holder).await;
            }
        }
    }
    load.gets_on().await;
    end(&mut holder, false).await;
    holder.restart_as(&new());
    holds(&holder).await;
    load.gets_on().await;
    let name = agents[0].listen.to_string();
    metadata(&new(), &["finalize", "--metadata", &at])
        .await
        .refused(&["stays", &name, "upgrade it first"]);
    agents[0].stop().await;
    agents[0].restart_as(&new());
    agents[0].until_ready("200").await;
    raised(&new(), &["--metadata", &at]).await;
    // A checkpoint that comes meanwhile takes what was written from the log.
    for number in 1.. {
        make_topic_of_level_2(agents[0].listen, number).await;
        end(&mut holder, true).await;
        if has_trial(&file).await {
            break;
        }
        assert!(number < 10, "the effect of level 2 is in the log");
        holder.restart_as(&new());
        holds(&holder).await;
        load.gets_on().await;
    }
    let (data, of_both) = (
        folder.path().to_str().unwrap(),
        ["--bucket", &bucket, "--store", &store],
    );
    for (command, more) in [
        ("metadata", vec!["--store", &store]),
        ("agent", of_both.to_vec()),
        ("dev", vec!["--data", data]),
    ] {
        is_turned_away(command, &more).await;
    }
    holder.restart_as(&new());
    holds(&holder).await;
    load.gets_on().await;
    load.ends_well(&[&agents[0], &agents[1]]).await;
    for process in agents.into_iter().chain([holder]) {
        process.terminate().await;
    }
    assert_eq!(level(&store).await, 2);
}

/// Whether the log has the dummy effect: its tags, and the number of the drain that it lies in.
async fn has_trial(file: &Path) -> bool {
    let kv = Redb::open(file).unwrap();
    let log = kv.range(b"\0l", b"\0m", 100_000, Direction::Forward);
    let rows = log.await.unwrap();
    rows.iter().any(|(key, row)| {
        let mut lsn = key.slice(2..10).get_u64();
        let mut effect = vec![6, 200];
        while lsn > 0x7f {
            effect.push(lsn.to_le_bytes()[0] | 0x80);
            lsn >>= 7;
        }
        effect.push(lsn.to_le_bytes()[0]);
        row.windows(effect.len()).any(|window| window == effect)
    })
}

#[tokio::test]
async fn a_log_of_level_2_is_read_by_the_new_binary_and_refused_by_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metadata.redb");
    let store = format!("redb://{}", file.display());
    {
        let mut rows = Bytes::from(std::fs::read(OF_LEVEL_2).unwrap());
        let kv = Redb::open(&file).unwrap();
        let mut transaction = Transaction::default();
        while rows.has_remaining() {
            let (key, row) = (rows.get_u32() as usize, rows.get_u32() as usize);
            transaction.set(rows.split_to(key), rows.split_to(row));
        }
        kv.commit(transaction).await.unwrap();
    }
    assert!(has_trial(&file).await);
    let listen = ["--listen", "127.0.0.1:0", "--log", "off"];
    let ran = run(program(old(), ["metadata", "--store", &store]).args(listen)).await;
    too_new(&ran);
    assert_eq!(level(&store).await, 2);
    let holder = Process::of(&new(), "metadata", &["--store", &store]).await;
    holds(&holder).await;
    let agent = agent(&new(), "memory:", &holder.listen.to_string()).await;
    let mut client = Client::connect(agent.listen).await;
    for topic in ["orders", "of-level-2"] {
        let made = client.create_topic(topic, 1, &[]).await;
        assert_eq!(made, ErrorCode::TOPIC_ALREADY_EXISTS, "{topic}");
    }
    agent.terminate().await;
    holder.terminate().await;
}
