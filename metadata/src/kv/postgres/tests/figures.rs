//! Figures, by hand: `cargo test -p penstock-metadata --features postgres figures -- --ignored --nocapture --test-threads 1`.

use tokio::time::Instant;

use super::server::Server;
use super::*;
use crate::kv::{Memory, Redb};

/// As a drain of one wide commit.
const LOG_BYTES: usize = 9 * 1024;
const ROUNDS: u32 = 1000;

fn drain(number: u32) -> Transaction {
    let head = |number: u32| Bytes::copy_from_slice(&number.to_be_bytes());
    let mut transaction = Transaction::default();
    transaction.expect(b("o"), Some(b("owner")));
    transaction.expect(b("h"), Some(head(number)));
    let key = [b"l".as_ref(), &(number + 1).to_be_bytes()].concat();
    transaction.set(key.into(), Bytes::from(vec![7; LOG_BYTES]));
    transaction.set(b("h"), head(number + 1));
    transaction
}

/// One after the other, as a sequencer commits.
async fn latency(kv: &dyn Kv) {
    let mut begin = set("o", "owner");
    begin.set(b("h"), Bytes::copy_from_slice(&0_u32.to_be_bytes()));
    kv.commit(begin).await.unwrap();
    let mut took = Vec::new();
    let began = Instant::now();
    for number in 0..ROUNDS {
        let one = Instant::now();
        kv.commit(drain(number)).await.unwrap();
        took.push(one.elapsed());
    }
    let rate = f64::from(ROUNDS) / began.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |per_cent: usize| took[took.len() * per_cent / 100];
    let name = kv.name();
    println!(
        "{name}: one commit of 9 KiB p50 {:?}, p99 {:?}; {rate:.0} a second",
        at(50),
        at(99)
    );
    let one = Instant::now();
    let rounds = 200_u32;
    for _ in 0..rounds {
        kv.get(b"o").await.unwrap();
    }
    println!("{name}: one read {:?}", one.elapsed() / rounds);
}

/// As the end of a checkpoint: the log of 64 MiB goes at once, and the store's own limits on time must allow it.
async fn clearing(kv: &dyn Kv) {
    let row = Bytes::from(vec![9; 60 * 1024]);
    let began = Instant::now();
    for number in 0..73_u32 {
        let mut transaction = Transaction::default();
        for part in 0..15_u32 {
            let key = format!("log {number:05} {part:05}");
            transaction.set(b(&key), row.clone());
        }
        kv.commit(transaction).await.unwrap();
    }
    let written = began.elapsed();
    let began = Instant::now();
    let mut transaction = Transaction::default();
    transaction.clear_range(b("log "), b("log:"));
    kv.commit(transaction).await.unwrap();
    let name = kv.name();
    println!(
        "{name}: 64 MiB of log written in {written:?}, cleared in {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "figures, not a test"]
async fn figures() {
    let Some(server) = Server::with(&[], |_| {}) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (memory, postgres) = (Memory::new(), open(&server, "sslmode=disable").await);
    let redb = Redb::open(&folder.path().join("store.redb")).unwrap();
    let all: [&dyn Kv; 3] = [&memory, &redb, &postgres];
    for kv in all {
        latency(kv).await;
        clearing(kv).await;
    }
}
