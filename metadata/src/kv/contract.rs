//! What every backend promises, as tests that each one runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::memory::SplitMix;
use super::{Direction, Kv, KvError, RANGE_BYTES, Rows, Transaction, Write};

/// Runs everything, each on a fresh store.
pub(crate) async fn suite<K: Kv + 'static>(mut fresh: impl FnMut() -> Arc<K>) {
    rows_come_back(fresh().as_ref()).await;
    empty_keys_and_values_are_rows(fresh().as_ref()).await;
    ranges_are_half_open_and_ordered(fresh().as_ref()).await;
    wide_ranges_come_in_pages(fresh().as_ref()).await;
    expectations_guard(fresh().as_ref()).await;
    expectations_prevent_write_skew(fresh().as_ref()).await;
    writes_apply_in_order(fresh().as_ref()).await;
    limits_hold(fresh().as_ref()).await;
    large_transactions_apply_whole(fresh().as_ref()).await;
    large_ranges_are_cleared(fresh().as_ref()).await;
    does_what_a_plain_map_does(fresh().as_ref()).await;
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

async fn empty_keys_and_values_are_rows(kv: &dyn Kv) {
    put(kv, &[("", "first"), ("empty", "")]).await;
    assert_eq!(kv.get(b"").await.unwrap(), Some(b("first")));
    assert_eq!(
        keys(kv, "", "f", 9, Direction::Backward).await,
        [b("empty"), b("")]
    );
    let mut transaction = Transaction::default();
    transaction
        .expect(b("empty"), Some(b("")))
        .expect(b(""), Some(b("first")))
        .clear(b(""));
    kv.commit(transaction).await.unwrap();
    assert_eq!(keys(kv, "", "f", 9, Direction::Forward).await, [b("empty")]);
    let mut transaction = Transaction::default();
    transaction.expect(b(""), Some(b("")));
    assert_eq!(kv.commit(transaction).await, Err(KvError::Conflict));
    kv.commit(Transaction::default()).await.unwrap();
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

/// All rows of a range, page by page.
async fn read_all(kv: &dyn Kv, direction: Direction) -> Rows {
    let (mut start, mut end) = (Bytes::new(), Bytes::from_static(&[u8::MAX]));
    let mut all = Rows::new();
    loop {
        let page = kv.range(&start, &end, 1000, direction).await.unwrap();
        let bytes: usize = page
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        assert!(bytes < RANGE_BYTES + kv.limits().value_bytes_max + 1024);
        let Some((last, _)) = page.last().cloned() else {
            return all;
        };
        match direction {
            Direction::Forward => start = [last.as_ref(), &[0]].concat().into(),
            Direction::Backward => end = last,
        }
        all.extend(page);
    }
}

async fn wide_ranges_come_in_pages(kv: &dyn Kv) {
    let value = Bytes::from(vec![3; kv.limits().value_bytes_max]);
    for number in 0..30_u8 {
        let mut transaction = Transaction::default();
        transaction.set(Bytes::from(vec![number]), value.clone());
        kv.commit(transaction).await.unwrap();
    }
    let page = kv
        .range(&[], &[99], 1000, Direction::Forward)
        .await
        .unwrap();
    assert!((1..30).contains(&page.len()), "{}", page.len());
    let mut rows = read_all(kv, Direction::Forward).await;
    assert!(rows.is_sorted());
    assert_eq!(rows.len(), 30);
    rows.reverse();
    assert!(rows == read_all(kv, Direction::Backward).await);
    assert!(keys(kv, "", "z", 0, Direction::Forward).await.is_empty());
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

/// Two that read the same rows and write different ones: only one of them may.
async fn expectations_prevent_write_skew(kv: &dyn Kv) {
    for round in 0..20 {
        put(kv, &[("x", "1"), ("y", "1")]).await;
        let leave = |key: &str| {
            let mut transaction = Transaction::default();
            transaction
                .expect(b("x"), Some(b("1")))
                .expect(b("y"), Some(b("1")))
                .set(b(key), b("0"));
            kv.commit(transaction)
        };
        let (x, y) = tokio::join!(leave("x"), leave("y"));
        let outcomes = [x, y];
        assert!(outcomes.contains(&Ok(())), "round {round}: {outcomes:?}");
        assert!(outcomes.contains(&Err(KvError::Conflict)), "{outcomes:?}");
    }
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

/// As much as one transaction may clear: many rows, and much in a few; nothing else goes with them.
async fn large_ranges_are_cleared(kv: &dyn Kv) {
    let limits = kv.limits();
    let large = limits.cleared_bytes_max / (limits.value_bytes_max + 100);
    for (rows, value) in [
        (limits.cleared_rows_max, Bytes::from_static(&[7; 20])),
        (large, Bytes::from(vec![7; limits.value_bytes_max])),
    ] {
        let mut transaction = Transaction::default();
        let at_once = limits.transaction_bytes_max / (value.len() + 100);
        for number in 0..rows {
            if transaction.writes.len() == at_once {
                kv.commit(std::mem::take(&mut transaction)).await.unwrap();
            }
            transaction.set(b(&format!("b{number:06}")), value.clone());
        }
        kv.commit(transaction).await.unwrap();
        put(kv, &[("a", "stays"), ("c", "stays")]).await;
        let mut transaction = Transaction::default();
        transaction.expect(b("a"), Some(b("stays")));
        transaction.clear_range(b("b"), b("c"));
        transaction.set(b("b"), b("new"));
        assert_eq!(kv.commit(transaction).await, Ok(()), "{rows} rows");
        let left = [b("a"), b("b"), b("c")];
        assert_eq!(keys(kv, "a", "d", 9, Direction::Forward).await, left);
    }
}

/// Random transactions over few keys, against the plainest map there is.
async fn does_what_a_plain_map_does(kv: &dyn Kv) {
    let mut random = SplitMix(20);
    let mut map = BTreeMap::new();
    let (mut done, mut conflicts) = (0, 0);
    for _ in 0..300 {
        let transaction = any_transaction(&mut random, &map);
        let holds = |(key, value): &(Bytes, Option<Bytes>)| map.get(key) == value.as_ref();
        if transaction.expect.iter().all(holds) {
            done += 1;
            assert_eq!(kv.commit(transaction.clone()).await, Ok(()));
            transaction
                .writes
                .iter()
                .for_each(|write| apply(&mut map, write));
        } else {
            conflicts += 1;
            assert_eq!(kv.commit(transaction).await, Err(KvError::Conflict));
        }
        let mut rows: Rows = map.clone().into_iter().collect();
        assert_eq!(read_all(kv, Direction::Forward).await, rows);
        rows.reverse();
        assert_eq!(read_all(kv, Direction::Backward).await, rows);
    }
    assert!(done > 100 && conflicts > 30, "{done} {conflicts}");
}

fn apply(map: &mut BTreeMap<Bytes, Bytes>, write: &Write) {
    match write {
        Write::Set(key, value) => drop(map.insert(key.clone(), value.clone())),
        Write::Clear(key) => drop(map.remove(key)),
        Write::ClearRange(start, end) => map.retain(|key, _| key < start || key >= end),
    }
}

/// Expectations hold more often than not.
fn any_transaction(random: &mut SplitMix, map: &BTreeMap<Bytes, Bytes>) -> Transaction {
    let mut transaction = Transaction::default();
    for _ in 0..random.below(3) {
        let key = any_key(random);
        let value = match random.below(6) {
            0 => Some(any_key(random)),
            1 => None,
            _ => map.get(&key).cloned(),
        };
        transaction.expect(key, value);
    }
    for _ in 0..random.below(6) {
        match random.below(8) {
            0 => transaction.clear_range(any_key(random), any_key(random)),
            1 | 2 => transaction.clear(any_key(random)),
            _ => transaction.set(any_key(random), any_key(random)),
        }
    }
    transaction
}

/// Of up to three bytes, from an alphabet in which a signed comparison would go wrong.
fn any_key(random: &mut SplitMix) -> Bytes {
    let mut key = Vec::new();
    for _ in 0..random.below(4) {
        key.push(if random.below(2) == 0 { 0 } else { 0xc3 });
    }
    key.into()
}

#[expect(
    clippy::disallowed_methods,
    reason = "concurrent callers are the point of the test"
)]
pub(crate) async fn increments_are_never_lost<K: Kv + 'static>(kv: Arc<K>) {
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
