//! Two that belong together, and two that do not: as they are found, joined, lost and told of.

use std::sync::Arc;

use metadata::kv::Memory;
use metadata::{BucketId, Metadata};
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::time::sleep;

use super::look_again::LOOK_INTERVAL;
use super::{Found, Identity, Join, Known, LookAgain, Names, judge, went_back};
use crate::jobs::Jobs;
use crate::random::Random;
use crate::storage::{Store, StoreOptions, Witness};
use crate::tasks::Tasks;

const OURS: BucketId = BucketId(1);
const OTHER: BucketId = BucketId(2);

fn names() -> Names {
    let bucket = Some("s3://b/p".to_owned());
    Names::of_store("redb:///m".to_owned(), bucket, &StoreOptions::default())
}

#[test]
fn what_to_type_is_whole_and_one_word_each() {
    let error = metadata::Error::WentBack("why".to_owned());
    let options = StoreOptions {
        s3_endpoint: Some("http://127.0.0.1:9000".to_owned()),
    };
    let bucket = Some("s3://b/p".to_owned());
    let store = "postgres://u@h/d?sslmode=disable&schema=it's".to_owned();
    let said = went_back(&Names::of_store(store, bucket.clone(), &options), &error);
    let command = r"penstock metadata --accept-older-store --store 'postgres://u@h/d?sslmode=disable&schema=it'\''s' --bucket s3://b/p --s3-endpoint http://127.0.0.1:9000";
    assert!(said.ends_with(command), "{said}");
    let at = ["here:1".to_owned()];
    let said = went_back(&Names::of_processes(&at, bucket, &options), &error);
    assert!(said.contains("--store URL --bucket s3://b/p"), "{said}");
    let away = metadata::Error::Closing;
    assert!(!went_back(&names(), &away).contains("--store"));
}

fn judged(bucket: Option<BucketId>, found: &Found) -> Result<Join, String> {
    let cluster = "mine";
    judge(&names(), Known { cluster, bucket }, found)
}

fn of(cluster: &str, bucket: BucketId) -> Found {
    Found::Witness(Witness::new(cluster, bucket))
}

/// The metadata of a new cluster, in memory.
async fn metadata(tasks: &Tasks) -> Metadata {
    let options = metadata::Options::new(Arc::new(|| metadata::Timestamp(0)));
    let started = metadata::start(Arc::new(Memory::new()), options).await;
    let (metadata, sequencer) = started.unwrap();
    tasks.spawn("sequencer", async move { Ok(sequencer.run().await?) });
    metadata
}

fn bucket() -> Store {
    Store::from_object_store(Arc::new(InMemory::new()), Path::default(), true)
}

fn identity(store: &Store, metadata: &Metadata) -> Identity {
    Identity::new(store.clone(), metadata.clone(), names(), Random::Real)
}

#[tokio::test]
async fn the_first_agent_joins_them_and_others_find_them_joined() {
    let tasks = Tasks::new();
    let (store, ours, theirs) = (bucket(), metadata(&tasks).await, metadata(&tasks).await);
    let first = identity(&store, &ours);
    assert!(first.trouble().unwrap().contains("not known yet"));
    first.settle().await.unwrap();
    first.joined().await;
    assert_eq!(first.trouble(), None);
    let (witness, _) = store.witness().await.unwrap().unwrap();
    assert_eq!(ours.bucket().await.unwrap(), Some(witness.bucket));
    assert_eq!(witness.cluster, ours.cluster_id());
    identity(&store, &ours).settle().await.unwrap();
    let stranger = identity(&store, &theirs);
    let said = stranger.settle().await.unwrap_err().to_string();
    assert!(said.contains("belongs to cluster"), "{said}");
    assert_eq!(stranger.trouble(), Some(said));
    assert_eq!(theirs.bucket().await.unwrap(), None);
}

#[tokio::test]
async fn of_agents_that_race_with_different_buckets_one_wins_and_the_others_claim_nothing() {
    let tasks = Tasks::new();
    let metadata = metadata(&tasks).await;
    let stores: Vec<Store> = (0..4).map(|_| bucket()).collect();
    let settling = stores.iter().map(|store| async {
        let identity = identity(store, &metadata);
        identity.settle().await.is_ok()
    });
    let settled = futures::future::join_all(settling).await;
    assert_eq!(settled.iter().filter(|settled| **settled).count(), 1);
    for (store, settled) in stores.iter().zip(settled) {
        let witness = store.witness().await.unwrap();
        assert_eq!(witness.is_some(), settled);
    }
}

#[tokio::test]
async fn of_clusters_that_race_for_a_bucket_one_wins() {
    let tasks = Tasks::new();
    let store = bucket();
    let (one, other) = (metadata(&tasks).await, metadata(&tasks).await);
    let (one, other) = (identity(&store, &one), identity(&store, &other));
    let (one, other) = tokio::join!(one.settle(), other.settle());
    assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1);
}

#[tokio::test]
async fn an_agent_that_ended_halfway_is_followed_by_another() {
    let tasks = Tasks::new();
    let (store, metadata) = (bucket(), metadata(&tasks).await);
    let wanted = Witness::new(metadata.cluster_id(), OURS);
    store.claim(&wanted).await.unwrap();
    identity(&store, &metadata).settle().await.unwrap();
    assert_eq!(metadata.bucket().await.unwrap(), Some(OURS));
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_wiped_under_a_running_agent_is_noticed() {
    let tasks = Tasks::new();
    let (store, metadata) = (bucket(), metadata(&tasks).await);
    let identity = identity(&store, &metadata);
    identity.settle().await.unwrap();
    let jobs = Jobs::new(tasks.sibling(), Random::seeded(1));
    jobs.start(LookAgain::at(identity.clone()));
    let segment = async |number| {
        let bytes = vec![bytes::Bytes::from_static(b"segment")];
        let key = metadata::ObjectKey(number);
        store.put_segment(key, bytes).await.unwrap();
        store.delete(key).await.unwrap();
    };
    segment(1).await;
    sleep(2 * LOOK_INTERVAL).await;
    assert_eq!(identity.trouble(), None);
    let (witness, _) = store.witness().await.unwrap().unwrap();
    store.disclaim().await;
    segment(2).await;
    sleep(2 * LOOK_INTERVAL).await;
    assert!(identity.trouble().unwrap().contains("is empty"));
    // And brought back.
    store.claim(&witness).await.unwrap();
    sleep(2 * LOOK_INTERVAL).await;
    assert_eq!(identity.trouble(), None);
}

#[test]
fn those_that_know_each_other_or_nobody_are_joined() {
    assert_eq!(judged(Some(OURS), &of("mine", OURS)), Ok(Join::Known(OURS)));
    assert_eq!(judged(None, &of("mine", OURS)), Ok(Join::Bind(OURS)));
    assert_eq!(judged(None, &Found::Nothing), Ok(Join::Claim));
}

#[test]
fn strangers_are_told_apart_with_both_names_and_a_way_on() {
    let segments = Found::Segments("p/segments/00/x".to_owned());
    for (bucket, found, part) in [
        (
            Some(OURS),
            of("mine", OTHER),
            "the bucket that it began with",
        ),
        (None, of("yours", OTHER), "is new, of cluster mine"),
        (
            Some(OURS),
            of("yours", OTHER),
            "the metadata of cluster yours",
        ),
        // A bucket restored into another account keeps its id.
        (
            Some(OURS),
            of("yours", OURS),
            "the metadata of cluster yours",
        ),
        (Some(OURS), Found::Nothing, "is empty"),
        (None, segments.clone(), "delete them if nobody needs them"),
        (Some(OURS), segments, "\"cluster\": \"mine\""),
    ] {
        let said = judged(bucket, &found).unwrap_err();
        for part in [part, "s3://b/p", "redb:///m", ": "] {
            assert!(said.contains(part), "no {part:?} in {said:?}");
        }
    }
}
