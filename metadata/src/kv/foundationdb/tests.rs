//! The backend over the look-alike, or over a real cluster: the contract, every error, and faults that must not make it
//! lie.

use std::sync::Arc;
use std::time::Duration;

use ::foundationdb::FdbError;

use super::super::memory::SplitMix;
use super::errors::{CLASSES, Commit};
use super::test_cluster::TestCluster;
use super::*;

/// Bounds a failure, never a success.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn keeps_the_contract() {
    let cluster = TestCluster::any();
    super::super::contract::suite(|| Arc::new(cluster.store())).await;
    cluster.empty().await;
}

#[tokio::test]
async fn keeps_the_contract_when_ranges_come_in_small_pieces() {
    let Some(cluster) = TestCluster::look_alike() else {
        return;
    };
    cluster.control("page 200");
    super::super::contract::suite(|| Arc::new(cluster.store())).await;
}

fn set(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Transaction {
    let mut transaction = Transaction::default();
    transaction.set(key.into(), value.into());
    transaction
}

/// Writes a row that must not be there yet.
fn make(key: &str) -> Transaction {
    let mut transaction = set(key.to_owned(), "made");
    transaction.expect(key.to_owned().into(), None);
    transaction
}

async fn is_there(store: &FoundationDb, key: &str) -> bool {
    store.get(key.as_bytes()).await.unwrap().is_some()
}

#[tokio::test]
async fn prefixes_keep_stores_apart() {
    let cluster = TestCluster::any();
    let stores = [cluster.store(), cluster.store()];
    for (store, other) in [(&stores[0], &stores[1]), (&stores[1], &stores[0])] {
        store.commit(set("k", "mine")).await.unwrap();
        other.commit(set("k", "another's")).await.unwrap();
        assert_eq!(store.get(b"k").await, Ok(Some("mine".into())));
        let mut all = Transaction::default();
        all.clear_range("".into(), [u8::MAX; 4].to_vec().into());
        store.commit(all).await.unwrap();
        let rows = other.range(b"", &[u8::MAX], 9, Direction::Forward).await;
        assert_eq!(rows, Ok(vec![("k".into(), "another's".into())]));
    }
    cluster.empty().await;
}

/// Also when one begins like the other, and whatever the keys are.
#[test]
fn no_prefix_is_the_beginning_of_another() {
    let cluster = TestCluster::any();
    let short = cluster.open("penstock");
    let long = cluster.open("penstock2");
    assert_eq!(short.key(b"k"), b"\x02penstock\0k");
    assert!(!long.key(b"").starts_with(&short.key(b"")));
    for wrong in ["", "a\0b"] {
        let refused = FoundationDb::open(&cluster_file(), wrong);
        assert!(matches!(refused, Err(KvError::Unavailable(_))), "{wrong:?}");
    }
}

fn cluster_file() -> std::path::PathBuf {
    "/nowhere/fdb.cluster".into()
}

#[test]
fn a_cluster_file_that_cannot_be_used_is_named() {
    let Err(KvError::Unavailable(text)) = FoundationDb::open(&cluster_file(), "penstock") else {
        panic!("there is no such file");
    };
    let told = "the cluster file /nowhere/fdb.cluster cannot be used: ";
    assert!(text.starts_with(told), "{text}");
}

/// What callers must hear, without the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Conflict,
    TooOld,
    TooLarge,
    Busy,
    Unavailable,
    Unknown,
}

fn said(error: KvError) -> Said {
    match error {
        KvError::Conflict => Said::Conflict,
        KvError::TooOld => Said::TooOld,
        KvError::TooLarge => Said::TooLarge,
        KvError::Busy(_) => Said::Busy,
        KvError::Unavailable(_) => Said::Unavailable,
        KvError::Unknown(_) => Said::Unknown,
        other => panic!("{other:?}"),
    }
}

/// For each code: what a commit that fails so is to its caller, what a failed read before it is, and whether a read is
/// tried again. The last three stand for all codes that nobody has heard of.
const TOLD: [(i32, Said, Said, bool); 24] = [
    (1007, Said::TooOld, Said::TooOld, true),
    (1009, Said::Busy, Said::Busy, true),
    (1020, Said::Conflict, Said::Unavailable, true),
    (1021, Said::Unknown, Said::Unavailable, false),
    (1022, Said::Unknown, Said::Unavailable, false),
    (1025, Said::Unknown, Said::Unavailable, false),
    (1031, Said::Unknown, Said::Unavailable, false),
    (1037, Said::Busy, Said::Busy, true),
    (1038, Said::Unavailable, Said::Unavailable, true),
    (1039, Said::Unknown, Said::Unavailable, true),
    (1042, Said::Busy, Said::Busy, true),
    (1051, Said::Busy, Said::Busy, true),
    (1078, Said::Busy, Said::Busy, true),
    (1101, Said::Unknown, Said::Unavailable, false),
    (1213, Said::Busy, Said::Busy, true),
    (1223, Said::Busy, Said::Busy, true),
    (1225, Said::Unavailable, Said::Unavailable, false),
    (1235, Said::Busy, Said::Busy, true),
    (2101, Said::TooLarge, Said::TooLarge, false),
    (2102, Said::TooLarge, Said::TooLarge, false),
    (2103, Said::TooLarge, Said::TooLarge, false),
    (1000, Said::Unknown, Said::Unavailable, false),
    (1500, Said::Unknown, Said::Unavailable, false),
    (4100, Said::Unknown, Said::Unavailable, false),
];

#[test]
fn every_class_of_errors_is_walked_below() {
    let told = TOLD.map(|(code, ..)| code);
    for class in &CLASSES {
        assert!(told.contains(&class.code), "{}", class.code);
    }
}

#[tokio::test]
async fn a_failed_commit_is_said_to_be_what_it_may_have_been() {
    let Some(cluster) = TestCluster::look_alike() else {
        return;
    };
    let store = cluster.store();
    for (code, commit, _, _) in TOLD {
        let refused = format!("refused {code}");
        cluster.control(&format!("commit refuse {code}"));
        let error = store.commit(make(&refused)).await.unwrap_err();
        assert_eq!(said(error), commit, "{code}");
        assert!(!is_there(&store, &refused).await, "{code}");
        if commit == Said::Unknown {
            let landed = format!("landed {code}");
            cluster.control(&format!("commit landed {code}"));
            let error = store.commit(make(&landed)).await.unwrap_err();
            assert_eq!(said(error), commit, "{code}");
            assert!(is_there(&store, &landed).await, "{code}");
            let late = format!("late {code}");
            cluster.control(&format!("commit late {code} 1"));
            assert!(store.commit(make(&late)).await.is_err());
            assert!(!is_there(&store, &late).await, "{code}");
            assert!(is_there(&store, &late).await, "{code}");
        }
    }
}

#[tokio::test]
async fn what_fails_before_the_commit_never_happened() {
    let Some(cluster) = TestCluster::look_alike() else {
        return;
    };
    let store = cluster.store();
    for (code, _, before, _) in TOLD {
        cluster.control(&format!("read refuse {code}"));
        let error = store.commit(make("k")).await.unwrap_err();
        assert_eq!(said(error), before, "{code}");
    }
    assert_eq!(cluster.control("commits"), 0);
    store.commit(make("k")).await.unwrap();
}

#[tokio::test]
async fn reads_are_tried_again_where_it_makes_sense() {
    let Some(cluster) = TestCluster::look_alike() else {
        return;
    };
    let store = cluster.store();
    store.commit(set("k", "v")).await.unwrap();
    for (code, _, before, again) in TOLD {
        cluster.control(&format!("read refuse {code}"));
        let found = store.get(b"k").await;
        cluster.control(&format!("read refuse {code}"));
        let rows = store.range(b"a", b"z", 9, Direction::Forward).await;
        if again {
            assert_eq!(found, Ok(Some("v".into())), "{code}");
            assert_eq!(rows, Ok(vec![("k".into(), "v".into())]), "{code}");
        } else {
            assert_eq!(said(found.unwrap_err()), before, "{code}");
            assert_eq!(said(rows.unwrap_err()), before, "{code}");
        }
    }
}

/// What the client library itself says of its codes; of a real one, this is a real test.
#[test]
fn the_client_agrees_with_the_table() {
    let _cluster = TestCluster::any();
    for class in &CLASSES {
        let error = FdbError::from_code(class.code);
        let unknown = class.commit == Commit::Unknown;
        if error.is_maybe_committed() {
            assert!(unknown, "{}", class.code);
        }
        // This one is newer than some clients.
        if class.code != 1235 {
            let certain = class.read_again && class.code != 1039;
            assert_eq!(
                error.is_retryable_not_committed(),
                certain,
                "{}",
                class.code
            );
        }
        assert!(!(error.is_retryable_not_committed() && unknown));
    }
    for code in 1..3000 {
        let known = CLASSES.iter().find(|class| class.code == code);
        let certain = known.is_some_and(|class| class.commit != Commit::Unknown);
        let maybe = FdbError::from_code(code).is_maybe_committed();
        assert!(!(certain && maybe), "{code}");
    }
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_given_up() {
    let Some(cluster) = TestCluster::look_alike() else {
        return;
    };
    let mut store = cluster.store();
    store.commit(set("k", "v")).await.unwrap();
    store.time_max = Duration::from_millis(200);
    let given_up = async {
        cluster.control("read hang");
        let found = store.get(b"k").await;
        assert_eq!(said(found.unwrap_err()), Said::Unavailable);
        cluster.control("read hang");
        let rows = store.range(b"a", b"z", 9, Direction::Forward).await;
        assert_eq!(said(rows.unwrap_err()), Said::Unavailable);
        cluster.control("read hang");
        let expecting = store.commit(make("other")).await;
        assert_eq!(said(expecting.unwrap_err()), Said::Unavailable);
        cluster.control("commit hang");
        let committed = store.commit(make("other")).await;
        assert_eq!(said(committed.unwrap_err()), Said::Unknown);
        // Refused again and again, as by an overloaded cluster.
        cluster.control("random 1 1000");
        while store.get(b"k").await.is_ok() {}
    };
    let given_up = tokio::time::timeout(PATIENCE, given_up).await;
    given_up.expect("attempts come to an end");
    cluster.control("cease");
    assert_eq!(store.get(b"k").await, Ok(Some("v".into())));
    assert!(!is_there(&store, "other").await);
}

#[tokio::test]
async fn a_transaction_may_take_five_seconds() {
    let Some(cluster) = TestCluster::look_alike() else {
        return;
    };
    let store = cluster.store();
    cluster.control("commit aged");
    assert_eq!(store.commit(make("k")).await, Err(KvError::TooOld));
    assert!(!is_there(&store, "k").await);
    cluster.control("read aged");
    assert_eq!(store.commit(make("k")).await, Err(KvError::TooOld));
    cluster.control("read aged");
    assert!(!is_there(&store, "k").await, "a read is tried again");
    // What depends on nothing is never too old.
    cluster.control("commit aged");
    store.commit(set("k", "v")).await.unwrap();
}

#[tokio::test]
async fn the_clusters_own_limits_are_kept() {
    let cluster = TestCluster::any();
    let store = cluster.store();
    let long = vec![b'k'; 10_001];
    let too_long = store.commit(set(long, "v")).await;
    assert_eq!(too_long, Err(KvError::TooLarge));
    // Small for us, but each key counts three times and more there.
    let mut many = Transaction::default();
    for number in 0..250_000_u32 {
        many.clear(number.to_be_bytes().to_vec().into());
    }
    assert_eq!(many.check(store.limits()), Ok(()));
    assert_eq!(store.commit(many).await, Err(KvError::TooLarge));
    cluster.empty().await;
}

/// The same value again and again is no conflict by itself, so only the cluster can see this one: between the look and
/// the write another transaction wrote what was looked at.
#[tokio::test]
async fn a_row_written_between_look_and_commit_is_a_conflict() {
    let cluster = TestCluster::any();
    let store = cluster.store();
    store.commit(set("k", "v")).await.unwrap();
    let mut slow = set("other", "v");
    slow.expect("k".into(), Some("v".into()));
    let slow = store.prepare(&slow).await.unwrap();
    store.commit(set("k", "v")).await.unwrap();
    let refused = slow.commit().await.unwrap_err();
    assert_eq!(errors::of_commit(refused.code()), KvError::Conflict);
    assert!(!is_there(&store, "other").await);
    cluster.empty().await;
}

/// Each commit writes a row of its own: what was said of it must agree with whether the row is there in the end.
#[tokio::test]
async fn random_faults_never_make_it_lie() {
    let Some(cluster) = TestCluster::look_alike() else {
        return;
    };
    let store = cluster.store();
    let (mut there, mut absent) = (0, 0);
    for seed in 0..5 {
        cluster.control(&format!("random {seed} 400"));
        let mut heard = Vec::new();
        for number in 0..300 {
            let key = format!("{seed}/{number}");
            heard.push((store.commit(make(&key)).await, key));
        }
        cluster.control("cease");
        cluster.control("land");
        for (heard, key) in heard {
            let found = is_there(&store, &key).await;
            match heard {
                Ok(()) => assert!(found, "{key}"),
                Err(KvError::Unknown(_)) if found => there += 1,
                Err(KvError::Unknown(_)) => absent += 1,
                Err(error) => assert!(!found, "{key}: {error}"),
            }
        }
    }
    assert!(there > 40 && absent > 20, "{there} {absent}");
}

/// One of those who count.
struct Counter {
    store: FoundationDb,
    id: u64,
    random: SplitMix,
    unknown: u32,
}

impl Counter {
    /// Adds one to the counter and leaves a row that says so. Told to be unknown, it looks; it may even land while it is
    /// tried again, and then one of the two finds the row there.
    async fn add(&mut self, number: u64) {
        let mine: Bytes = format!("done/{}/{number}", self.id).into();
        loop {
            let Ok(done) = self.store.get(&mine).await else {
                continue;
            };
            let Ok(old) = self.store.get(b"n").await else {
                continue;
            };
            if done.is_some() {
                return;
            }
            let count = old.as_ref().map_or(0, |text| {
                str::from_utf8(text).unwrap().parse::<u64>().unwrap()
            });
            let mut transaction = set("n", (count + 1).to_string());
            transaction.expect("n".into(), old);
            transaction.expect(mine.clone(), None);
            transaction.set(mine.clone(), Bytes::new());
            match self.store.commit(transaction).await {
                Ok(()) => return,
                Err(KvError::Unknown(_)) => self.unknown += 1,
                Err(
                    KvError::Conflict
                    | KvError::TooOld
                    | KvError::Busy(_)
                    | KvError::Unavailable(_),
                ) => {}
                Err(error) => panic!("{error}"),
            }
            for _ in 0..self.random.below(4) {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "concurrent callers are the point of the test"
)]
#[tokio::test]
async fn a_counter_is_never_wrong() {
    const COUNTERS: u64 = 6;
    const EACH: u64 = 20;
    let Some(cluster) = TestCluster::look_alike() else {
        return;
    };
    for seed in 0..6 {
        let store = cluster.store();
        cluster.control(&format!("random {seed} 250"));
        let tasks: Vec<_> = (0..COUNTERS)
            .map(|id| {
                let mut counter = Counter {
                    store: store.clone(),
                    id,
                    random: SplitMix(seed * 100 + id),
                    unknown: 0,
                };
                tokio::spawn(async move {
                    for number in 0..EACH {
                        counter.add(number).await;
                    }
                    counter.unknown
                })
            })
            .collect();
        let mut unknown = 0;
        for task in tasks {
            unknown += task.await.unwrap();
        }
        cluster.control("cease");
        cluster.control("land");
        let count = store.get(b"n").await.unwrap().unwrap();
        assert_eq!(count, (COUNTERS * EACH).to_string(), "seed {seed}");
        let done = store.range(b"done/", b"done0", 1000, Direction::Forward);
        assert_eq!(done.await.unwrap().len() as u64, COUNTERS * EACH);
        assert!(unknown > 5, "seed {seed}: {unknown}");
    }
}
