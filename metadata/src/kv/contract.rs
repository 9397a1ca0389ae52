//! What every backend promises, as tests that each one runs.

use std::sync::Arc;

use bytes::Bytes;

use super::{Direction, Kv, KvError, Transaction};

/// Runs everything, each on a fresh store.
pub(crate) async fn suite<K: Kv + 'static>(mut fresh: impl FnMut() -> Arc<K>) {
    rows_come_back(fresh().as_ref()).await;
    ranges_are_half_open_and_ordered(fresh().as_ref()).await;
    expectations_guard(fresh().as_ref()).await;
    writes_apply_in_order(fresh().as_ref()).await;
    limits_hold(fresh().as_ref()).await;
    large_transactions_apply_whole(fresh().as_ref()).await;
    increments_are_never_lost(fresh()).await;
}

fn b(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn put(kv: &dyn Kv, rows: &[(&str, &str)]) {
    let mut transaction = Transaction::default();
    for (key, value) in rows {
        transaction.set(b(key), b(value));
    }
    kv.commit(transaction).await.unwrap();
}

async fn keys(
    kv: &dyn Kv,
    start: &str,
    end: &str,
    limit: usize,
    direction: Direction,
) -> Vec<Bytes> {
    let rows = kv
        .range(start.as_bytes(), end.as_bytes(), limit, direction)
        .await
        .unwrap();
    rows.into_iter().map(|(key, _)| key).collect()
}

async fn rows_come_back(kv: &dyn Kv) {
    assert_eq!(kv.get(b"a").await.unwrap(), None);
    put(kv, &[("a", "1"), ("empty", "")]).await;
    assert_eq!(kv.get(b"a").await.unwrap(), Some(b("1")));
    assert_eq!(kv.get(b"empty").await.unwrap(), Some(b("")));
    put(kv, &[("a", "2")]).await;
    assert_eq!(kv.get(b"a").await.unwrap(), Some(b("2")));
}

async fn ranges_are_half_open_and_ordered(kv: &dyn Kv) {
    put(
        kv,
        &[("b", ""), ("a", ""), ("c", ""), ("ab", ""), ("d", "")],
    )
    .await;
    let all = [b("a"), b("ab"), b("b"), b("c")];
    assert_eq!(keys(kv, "a", "d", 10, Direction::Forward).await, all);
    assert_eq!(keys(kv, "a", "d", 2, Direction::Forward).await, all[..2]);
    assert_eq!(
        keys(kv, "a", "d", 2, Direction::Backward).await,
        [b("c"), b("b")]
    );
    assert!(keys(kv, "x", "z", 10, Direction::Forward).await.is_empty());
    assert!(keys(kv, "c", "c", 10, Direction::Forward).await.is_empty());
    assert!(keys(kv, "d", "a", 10, Direction::Backward).await.is_empty());
}

async fn expectations_guard(kv: &dyn Kv) {
    put(kv, &[("k", "1")]).await;
    for wrong in [None, Some(b("2")), Some(b(""))] {
        let mut transaction = Transaction::default();
        transaction.expect(b("k"), wrong);
        transaction.set(b("k"), b("3"));
        transaction.set(b("other"), b("3"));
        assert_eq!(kv.commit(transaction).await, Err(KvError::Conflict));
    }
    assert_eq!(kv.get(b"k").await.unwrap(), Some(b("1")));
    assert_eq!(kv.get(b"other").await.unwrap(), None);
    let mut transaction = Transaction::default();
    transaction.expect(b("k"), Some(b("1")));
    transaction.expect(b("absent"), None);
    transaction.set(b("k"), b("2"));
    kv.commit(transaction).await.unwrap();
    assert_eq!(kv.get(b"k").await.unwrap(), Some(b("2")));
}

async fn writes_apply_in_order(kv: &dyn Kv) {
    put(kv, &[("a", "1"), ("b", "1"), ("c", "1")]).await;
    let mut transaction = Transaction::default();
    transaction.clear_range(b("a"), b("c"));
    transaction.set(b("b"), b("2"));
    transaction.set(b("d"), b("2"));
    transaction.clear(b("d"));
    transaction.clear(b("never there"));
    transaction.clear_range(b("z"), b("y"));
    kv.commit(transaction).await.unwrap();
    assert_eq!(
        keys(kv, "a", "z", 10, Direction::Forward).await,
        [b("b"), b("c")]
    );
    assert_eq!(kv.get(b"b").await.unwrap(), Some(b("2")));
}

async fn limits_hold(kv: &dyn Kv) {
    let limits = kv.limits();
    let mut transaction = Transaction::default();
    transaction.set(b("fits"), Bytes::from(vec![1; limits.value_bytes_max]));
    kv.commit(transaction).await.unwrap();
    let mut transaction = Transaction::default();
    transaction.set(
        b("does not"),
        Bytes::from(vec![1; limits.value_bytes_max + 1]),
    );
    assert_eq!(kv.commit(transaction).await, Err(KvError::TooLarge));
    let mut transaction = Transaction::default();
    for index in 0..=limits.transaction_bytes_max / limits.value_bytes_max {
        transaction.set(
            b(&format!("{index}")),
            Bytes::from(vec![1; limits.value_bytes_max]),
        );
    }
    assert_eq!(kv.commit(transaction).await, Err(KvError::TooLarge));
    assert_eq!(kv.get(b"0").await.unwrap(), None);
}

async fn large_transactions_apply_whole(kv: &dyn Kv) {
    let mut transaction = Transaction::default();
    for index in 0..5000 {
        transaction.set(b(&format!("{index:05}")), Bytes::from(vec![7; 100]));
    }
    kv.commit(transaction).await.unwrap();
    let (mut start, mut count) = (b("0"), 0);
    loop {
        let rows = kv
            .range(&start, b"1", 999, Direction::Forward)
            .await
            .unwrap();
        let Some((last, _)) = rows.last() else { break };
        start = [last.as_ref(), &[0]].concat().into();
        count += rows.len();
    }
    assert_eq!(count, 5000);
}

#[expect(
    clippy::disallowed_methods,
    reason = "concurrent callers are the point of the test"
)]
async fn increments_are_never_lost<K: Kv + 'static>(kv: Arc<K>) {
    let increment = |kv: Arc<K>| async move {
        loop {
            let old = kv.get(b"n").await.unwrap();
            let number: u32 = old
                .as_ref()
                .map_or(0, |v| str::from_utf8(v).unwrap().parse().unwrap());
            let mut transaction = Transaction::default();
            transaction.expect(b("n"), old);
            transaction.set(b("n"), b(&(number + 1).to_string()));
            match kv.commit(transaction).await {
                Ok(()) => break,
                Err(KvError::Conflict) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let tasks: Vec<_> = (0..20)
        .map(|_| tokio::spawn(increment(Arc::clone(&kv))))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(kv.get(b"n").await.unwrap(), Some(b("20")));
}
